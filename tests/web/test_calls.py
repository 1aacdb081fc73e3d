"""Every unary call as JSON over HTTP: what operators look at, what they decide, and what is refused, by a whole service."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2
import pytest
from rheostat.v1 import operations_service_pb2 as pb
from rheostat.v1.operations_service_pb2_grpc import OperationsServiceStub

from router.access.roles import CALLS
from router.app import Service
from router.console.calls import SERVICES
from tests.integration.conftest import settings  # noqa: F401 - a fixture
from tests.openai.conftest import keyed, open_settings, running, worker  # noqa: F401 - fixtures

QUESTIONS = ["What is 2 + 2?", "What is 30 + 4?", "What is 5 + 1?"]


class Web:
    """Calls as a page makes them."""

    def __init__(self, http: httpx2.AsyncClient, key: str = "") -> None:
        self._http = http
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def __call__(self, name: str, **body: Any) -> dict[str, Any]:
        response = await self.answered(name, **body)
        assert response.status_code == 200, response.text
        return response.json()

    async def answered(self, name: str, **body: Any) -> httpx2.Response:
        return await self._http.post(f"/rheostat.v1.{name}", json=body, headers=self._headers)

    async def refused(self, name: str, **body: Any) -> tuple[int, str]:
        response = await self.answered(name, **body)
        return response.status_code, response.json()["reason"]


def at(service: Service) -> httpx2.AsyncClient:
    assert service.http
    return httpx2.AsyncClient(base_url=service.http.console.removesuffix("/console/"), timeout=30)


@pytest.fixture
async def web(running: Service) -> AsyncIterator[Web]:  # noqa: F811
    async with at(running) as http:
        yield Web(http)


async def decided(web: Web) -> list[str]:
    """Ids of answered questions, the last of them rated."""
    ids = []
    for question in QUESTIONS:
        body = {"model": "quick", "messages": [{"role": "user", "content": question}], "rheostat": {"tenant": "default"}}
        response = await web._http.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        ids.append(response.headers["x-request-id"])
    await web("RouterService/ReportOutcome", decisionId=ids[-1], reward=0.0, source="REWARD_SOURCE_USER")
    return ids


async def test_decisions_are_listed_searched_and_summed_up(web: Web) -> None:
    ids = await decided(web)
    found = await web("OperationsService/ListDecisions")
    assert [one["decisionId"] for one in found["decisions"]] == ids[::-1]
    assert found["total"] == 3
    last = found["decisions"][0]
    assert (last["plans"], last["state"], last["reward"]) == (["quick"], "DECISION_STATE_ANSWERED", 0.0)
    assert int(last["costMicrodollars"]) > 0
    assert [one["decisionId"] for one in (await web("OperationsService/ListDecisions", rewardAtMost=0.5))["decisions"]] == ids[-1:]
    assert [one["decisionId"] for one in (await web("OperationsService/ListDecisions", search=ids[1].upper()))["decisions"]] == ids[1:2]
    assert (await web("OperationsService/ListDecisions", plan="long"))["decisions"] == []
    assert (await web("OperationsService/ListDecisions", state="DECISION_STATE_ABSTAINED"))["decisions"] == []
    summed = await web("OperationsService/SummarizeDecisions")
    assert (summed["decisions"], summed["rated"], summed["quality"]["value"]) == (3, 1, 0.0)
    assert [(one["plan"], one["decisions"]) for one in summed["plans"]] == [("quick", 3)]
    assert sum(int(one["costMicrodollars"]) for one in summed["plans"]) == sum(int(one["costMicrodollars"]) for one in found["decisions"])


async def test_pages_hold_each_decision_once_in_every_order(web: Web) -> None:
    ids = await decided(web)
    for order in pb.DecisionOrder.DESCRIPTOR.values_by_name:
        seen, token = [], ""
        while True:
            page = await web("OperationsService/ListDecisions", pageSize=2, pageToken=token, order=order)
            seen += [one["decisionId"] for one in page["decisions"]]
            if not (token := page.get("nextPageToken", "")):
                break
        assert sorted(seen) == sorted(ids), order


async def test_standing_follows_what_is_spent_and_what_is_changed(web: Web) -> None:
    await decided(web)
    spent = sum(int(one["costMicrodollars"]) for one in (await web("OperationsService/ListDecisions"))["decisions"])
    before = await web("OperationsService/GetStanding")
    assert [(one["window"], one["unit"], int(one["spent"])) for one in before["budgets"]] == [("day", "microdollars", spent)]
    assert "pace" not in before
    await web("TenantService/UpdateTenant", tenant={"name": "default", "capMicrodollars": 10_000, "tokensPerMinute": 50_000}, allowMissing=True)
    async with asyncio.timeout(5):
        while "pace" not in (after := await web("OperationsService/GetStanding")):
            await asyncio.sleep(0.05)
    assert {(one["window"], one["unit"]): int(one["limit"]) for one in after["budgets"] if "limit" in one} == {
        ("cap", "microdollars"): 10_000,
        ("minute-tokens", "tokens"): 50_000,
    }
    assert all(one["resetTime"] > "2026" for one in after["budgets"])


async def test_what_serves_is_told(web: Web) -> None:
    found = await web("OperationsService/GetFleet")
    assert {one["plan"]: one["served"] for one in found["plans"]} == {"quick": True, "long": True}
    assert all(one["workers"] == 1 for one in found["pools"])
    assert found["policies"]
    assert found["predictor"].split()[0] in ("learned", "prior")


async def test_a_candidate_is_begun_once_and_taken_back(web: Web) -> None:
    begun = await web("OperationsService/BeginPromotion", knobs={"policy": "fixed", "exploration": 0.1})
    assert (begun["promotion"]["stage"], begun["promotion"]["policy"], begun["promotion"]["knobs"]) == (
        "shadow",
        "fixed",
        {"exploration": 0.1, "plans": []},
    )
    assert await web.refused("OperationsService/BeginPromotion", knobs={"exploration": 0.2}) == (400, "INVALID_QUERY")
    assert (await web("OperationsService/GetStanding"))["promotion"]["events"][0]["why"] == "begun"
    stopped = await web("OperationsService/StopPromotion")
    assert [event["stage"] for event in stopped["promotion"]["events"]] == ["shadow", "rolled back"]
    assert await web.refused("OperationsService/StopPromotion") == (400, "INVALID_QUERY")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"knobs": {"valueMicrodollars": 5.0}},
        {"knobs": {"policy": "nothing"}},
        {"predictor": "nothing"},
        {"predictor": "redis"},
        {"predictor": "../elsewhere"},
        {"knobs": {"exploration": 2.0}},
    ],
)
async def test_a_candidate_that_cannot_be_is_refused(web: Web, body: dict[str, Any]) -> None:
    status, reason = await web.refused("OperationsService/BeginPromotion", **body)
    assert (status, reason) in ((400, "INVALID_QUERY"), (400, "BAD_ARTIFACT")), reason
    assert "promotion" not in await web("OperationsService/GetStanding")


async def test_what_is_not_in_order_is_refused_with_a_reason(web: Web) -> None:
    assert await web.refused("OperationsService/GetStanding", tenant="nobody") == (404, "UNKNOWN_TENANT")
    assert await web.refused("OperationsService/ListDecisions", pageToken="#") == (400, "INVALID_TERMS")
    assert await web.refused("OperationsService/ListDecisions", pageToken="LTE=") == (400, "INVALID_TERMS")
    assert await web.refused("OperationsService/ListDecisions", pageSize=-1) == (400, "INVALID_QUERY")
    assert await web.refused("OperationsService/ListDecisions", nothing=1) == (400, "INVALID_QUERY")
    assert await web.refused("OperationsService/Nothing") == (404, "INVALID_QUERY")
    assert await web.refused("RouterService/AnswerQuery") == (404, "INVALID_QUERY"), "what streams is not answered once"
    assert await web.refused("WorkerService/Describe") == (404, "INVALID_QUERY"), "workers are nobody's affair"
    kinds = [(b"{", "application/json", 400), (b"\xff", "application/json", 400), (b"[]", "application/json", 400), (b"{}", "text/plain", 415)]
    for body, kind, status in kinds:
        response = await web._http.post("/rheostat.v1.OperationsService/GetFleet", content=body, headers={"content-type": kind})
        assert (response.status_code, response.json()["reason"]) == (status, "INVALID_QUERY"), body
    deep = await web._http.post(
        "/rheostat.v1.OperationsService/GetFleet", content=b'{"a":' * 5_000 + b"1" + b"}" * 5_000, headers={"content-type": "application/json"}
    )
    assert deep.status_code == 400
    hurried = await web._http.post("/rheostat.v1.OperationsService/GetFleet", json={}, headers={"connect-timeout-ms": "soon"})
    assert hurried.status_code == 400


async def test_json_and_protobuf_tell_the_same(running: Service, web: Web) -> None:  # noqa: F811
    await decided(web)
    async with grpc.aio.insecure_channel(running.address) as channel:
        listed = await OperationsServiceStub(channel).ListDecisions(pb.ListDecisionsRequest())
    told = await web("OperationsService/ListDecisions")
    assert [one.decision_id for one in listed.decisions] == [one["decisionId"] for one in told["decisions"]]
    offered = {f"{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}
    assert offered == {name for name in CALLS if name.startswith("rheostat.")}


async def test_roles_hold_here_too(keyed: tuple[Service, dict[str, str]]) -> None:  # noqa: F811
    service, keys = keyed
    async with at(service) as http:
        assert await Web(http).refused("OperationsService/GetFleet") == (401, "MISSING_CREDENTIALS")
        assert await Web(http, "wrong").refused("OperationsService/GetFleet") == (401, "INVALID_CREDENTIALS")
        assert await Web(http, keys["caller"]).refused("OperationsService/ListDecisions") == (403, "ROLE_LACKING")
        operator = Web(http, keys["operator"])
        assert (await operator("OperationsService/SummarizeDecisions"))["decisions"] == 0
        assert await operator.refused("OperationsService/SummarizeDecisions", tenant="poor") == (403, "FOREIGN_TENANT")
        assert await operator.refused("OperationsService/BeginPromotion", knobs={"exploration": 0.1}) == (403, "ROLE_LACKING")
        assert await operator.refused("TenantService/UpdateTenant", tenant={"name": "default"}) == (403, "ROLE_LACKING")
        assert (await Web(http, keys["admin"])("TenantService/ListTenants"))["tenants"][0]["name"] == "default"


async def test_the_page_is_served_and_keeps_to_itself(running: Service) -> None:  # noqa: F811
    async with at(running) as http:
        assert (await http.get("/")).headers["location"] == "/console/"
        page = await http.get("/console/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-cache"
        assert (await http.get("/console/../../settings.py")).status_code == 404
        assert (await http.get("/console/%2e%2e/page.py")).status_code == 404
        other = await http.get("/console/", headers={"host": "elsewhere.example"})
        assert other.status_code == 403
        assert json.loads(other.text)["error"]["code"]
