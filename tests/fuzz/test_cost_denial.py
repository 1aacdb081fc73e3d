"""Prompts that are made to cost, in small: a tenant draws its own budget with them, and nothing of anybody else's."""

import grpc
import pytest
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import service
from router.settings import Settings, WorkerSettings
from tests.fuzz import cost_denial
from tests.fuzz.cost_denial import flooded, terms, violations
from tests.integration.conftest import PLANS, POOLS, worker

__all__ = ["worker"]


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_flood_draws_no_more_than_the_budget_of_its_tenant(tmp_path, worker, monkeypatch) -> None:
    monkeypatch.setattr(cost_denial, "BUDGET", 60_000)
    at = WorkerSettings(address=worker, pools=POOLS.pools)
    dear, cheap = ({"plans": (name,)} for name in ("long", "quick"))
    tenants = {name: one.model_copy(update=dear if name == "attacker" else cheap) for name, one in terms().items()}
    settings = Settings(data=tmp_path, server={"address": "127.0.0.1:0"}, worker=at, plans=PLANS, tenants=tenants)
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        found = await flooded(RouterServiceStub(channel), running, tmp_path, 4, 30.0)
    assert violations(found) == []
    assert found["spent"]["attacker"] > 20_000


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"spent": {"attacker": 101, "victim": 5}, "logged": {"attacker": 101, "victim": 5}}, "drew 101 of 100"),
        ({"logged": {"attacker": 99, "victim": 5}}, "attacker was charged 100, and 99"),
        ({"spent": {"attacker": 100, "victim": 6}, "logged": {"attacker": 100, "victim": 6}}, "charged 6 for answers of 5"),
        ({"victim": {"answered": 1, "asked": 2, "cost": 5}}, "1 of 2 answers"),
    ],
)
def test_what_a_flood_must_not_do_is_noticed(changed: dict, told: str) -> None:
    good = {"budget": 100, "spent": {"attacker": 100, "victim": 5}, "logged": {"attacker": 100, "victim": 5}}
    good |= {"victim": {"answered": 2, "asked": 2, "cost": 5}}
    assert violations(good) == []
    assert told in " ".join(violations(good | changed))
