"""OpenAI's own client, unchanged, at a real service with a real worker."""

import asyncio
import json
import re
import sys
import time
from pathlib import Path

import grpc
import httpx2
import openai
import pytest
from rheostat.v1 import worker_service_pb2
from rheostat.v1.worker_service_pb2_grpc import WorkerServiceStub

from router.app import Service, service
from router.settings import Settings
from router.terms import TenantSettings
from tests.integration.test_faults import LEGS, STORY

CALLERS = (Path(__file__).parents[2] / "docs" / "callers.md").read_text()
QUICK = {"model": "rheostat-quick", "messages": [{"role": "user", "content": STORY}]}
LONG = {"model": "long", "messages": [{"role": "user", "content": LEGS}], "seed": 1}


def asked(**rheostat: object) -> dict[str, object]:
    return {"rheostat": rheostat}


async def test_a_conversation_is_answered(client: openai.AsyncOpenAI) -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": STORY[:20]}, {"type": "text", "text": STORY[20:]}]},
    ]
    told = await client.chat.completions.create(model="rheostat-quick", messages=turns, temperature=0.2, max_tokens=50, extra_body=asked(task="math"))
    assert told.choices[0].message.content
    assert (told.choices[0].finish_reason, told.choices[0].message.refusal, told.model) == ("stop", None, "rheostat-quick")
    ours = told.rheostat
    assert told.id == f"chatcmpl-{ours['decision_id']}"
    assert told._request_id == ours["decision_id"]
    assert [one["plan"] for one in ours["stages"]] == [ours["plan"]] == ["quick"]
    assert ours["usage"]["cost_microdollars"] > 0
    assert 0 <= ours["confidence"] <= 1
    assert ours["ignored"] == ["temperature", "max_tokens"]
    spent = ours["usage"]
    assert told.usage.total_tokens == sum(spent[name] for name in spent if name.endswith("_tokens"))
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (spent["prompt_tokens"], spent["kept_tokens"])
    # What was answered is sent back as the client has it.
    turns += [told.choices[0].message, {"role": "user", "content": STORY}]
    assert (await client.chat.completions.create(model="quick", messages=turns)).rheostat["plan"] == "quick"


async def test_the_example_in_the_readme(open_settings: Settings) -> None:
    (code,) = [one for one in re.findall(r"```python\n(.*?)```", CALLERS, re.DOTALL) if "from openai" in one]
    async with service(open_settings) as running:
        code = code.replace("http://127.0.0.1:50080/v1", running.http.url)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    assert process.returncode == 0
    *_, confidence, cost = out.decode().split()
    assert 0 < float(confidence) <= 1
    assert int(cost) > 0


async def test_a_stream_tells_of_stages_and_then_the_answer(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**QUICK, stream=True, stream_options={"include_usage": True}, extra_body=asked(trace=True))
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    stages = [chunk.rheostat for chunk in chunks if chunk.model_extra and "action" in chunk.rheostat]
    assert [(one["stage"], one["action"], one["bought"]) for one in stages][:2] == [(0, "buy", False), (0, "buy", True)]
    (receipt,) = [chunk.rheostat for chunk in chunks if chunk.model_extra and "ending" in chunk.rheostat]
    assert receipt["trace"]["stages"][0]["plan"] == "quick"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens >= chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_prompt_is_answered_whole_and_streamed(client: openai.AsyncOpenAI) -> None:
    told = await client.completions.create(model="quick", prompt=STORY, extra_body=asked(seed=None) | {"seed": 3, "rheostat": {"task": "math"}})
    stream = await client.completions.create(model="quick", prompt=[STORY], seed=3, stream=True, extra_body=asked(task="math"))
    assert "".join([chunk.choices[0].text async for chunk in stream]) == told.choices[0].text != ""
    assert told.object == "text_completion"


async def test_an_answer_that_is_withheld_is_a_refusal(client: openai.AsyncOpenAI) -> None:
    told = await client.chat.completions.create(model="rheostat-coy", messages=QUICK["messages"])
    message = told.choices[0].message
    assert (message.content, "likely enough" in message.refusal, told.rheostat["ending"]) == (None, True, "abstained")
    again = [*QUICK["messages"], message, *QUICK["messages"]]
    assert (await client.chat.completions.create(model="quick", messages=again)).choices[0].message.content
    text = await client.completions.create(model="rheostat-coy", prompt=STORY)
    assert (text.choices[0].text, text.choices[0].finish_reason) == ("", "content_filter")


async def test_models_are_profiles_and_plans(client: openai.AsyncOpenAI) -> None:
    found = {one.id: one.kind async for one in client.models.list()}
    assert found == {"rheostat": "profile", "rheostat-quick": "profile", "rheostat-coy": "profile", "quick": "plan", "long": "plan"}
    assert (await client.models.retrieve("quick")).id == "quick"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("none-such")


async def test_a_repetition_by_its_id_is_paid_for_once(client: openai.AsyncOpenAI) -> None:
    once, again = [await client.chat.completions.create(**QUICK, extra_body=asked(id="mine")) for _ in range(2)]
    assert (once.rheostat["cache_hit"], again.rheostat["cache_hit"]) == (None, "repeated")
    assert again.id == once.id


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_stops_all_that_was_ordered(running: Service, client: openai.AsyncOpenAI, worker: str, stream: bool) -> None:
    """By the worker's own word, within a second."""
    async with grpc.aio.insecure_channel(worker) as channel:
        stub = WorkerServiceStub(channel)

        async def active() -> int:
            told = await stub.Describe(worker_service_pb2.DescribeRequest())
            return sum(one.running for one in told.pools)

        async def ask() -> None:
            told = await client.chat.completions.create(**LONG, stream=stream)
            if stream:
                async for _ in told:
                    pass

        asking = asyncio.create_task(ask())
        async with asyncio.timeout(30):
            while not await active():
                await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        gone = time.perf_counter()
        async with asyncio.timeout(1):
            while await active():
                await asyncio.sleep(0.01)
        assert time.perf_counter() - gone < 1


async def test_the_key_says_whose_request_it_is(keyed: tuple[Service, dict[str, str]]) -> None:
    running, keys = keyed
    async with openai.AsyncOpenAI(base_url=running.http.url, api_key=keys["caller"], max_retries=0) as client:
        assert (await client.chat.completions.create(**QUICK)).choices[0].message.content
        assert len([one async for one in client.models.list()]) == 5
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await client.chat.completions.create(**QUICK, extra_body=asked(tenant="poor"))
        assert refused.value.code == "FOREIGN_TENANT"
    async with openai.AsyncOpenAI(base_url=running.http.url, api_key="rheo_no_such", max_retries=0) as client:
        for call in (client.chat.completions.create(**QUICK), client.models.list()):
            with pytest.raises(openai.AuthenticationError) as refused:
                await call
            assert refused.value.code == "INVALID_CREDENTIALS"
    async with httpx2.AsyncClient() as bare:
        told = await bare.get(f"{running.http.url}/models")
        assert (told.status_code, told.headers["www-authenticate"], told.json()["error"]["code"]) == (401, "Bearer", "MISSING_CREDENTIALS")


async def test_who_has_spent_all_is_told_when_to_come_again_and_does_not_hammer(open_settings: Settings) -> None:
    """A minute's budget: the official client, which tries again twice by itself, waits or leaves it."""
    tenants = {"default": TenantSettings(per_day=1, exploration=0.0, cache=False), "brief": TenantSettings(requests_per_minute=1, cache=False)}
    async with (
        service(open_settings.model_copy(update={"tenants": tenants})) as running,
        openai.AsyncOpenAI(base_url=running.http.url, api_key="x") as client,
    ):
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(**QUICK)
        assert (refused.value.code, refused.value.type) == ("BUDGET_EXHAUSTED", "insufficient_quota")
        headers = refused.value.response.headers
        assert headers["x-should-retry"] == ("true" if 0 < int(headers.get("retry-after", 0)) <= 60 else "false")
        patient = client.with_options(max_retries=0)
        await patient.chat.completions.create(**QUICK, extra_body=asked(tenant="brief"))
        with pytest.raises(openai.RateLimitError) as refused:
            await patient.chat.completions.create(**QUICK, extra_body=asked(tenant="brief"))
        assert refused.value.code == "RATE_LIMITED"
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60


async def test_time_that_runs_out_is_a_gateway_timeout(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as late:
        await client.chat.completions.create(**LONG, extra_body=asked(deadline=0.05))
    assert (late.value.status_code, late.value.code, late.value.response.headers["x-should-retry"]) == (504, "DEADLINE_EXCEEDED", "false")


async def test_drain_answers_what_has_come_and_takes_no_more(open_settings: Settings) -> None:
    stop = asyncio.Event()
    async with service(open_settings) as running, openai.AsyncOpenAI(base_url=running.http.url, api_key="x", max_retries=0) as client:
        stream = await client.chat.completions.create(**(LONG | QUICK | {"model": "long"}), stream=True)
        serving = asyncio.create_task(running.serve_until(stop, 0.0, 30.0))
        stop.set()
        await asyncio.sleep(0.3)
        async with httpx2.AsyncClient() as other:
            with pytest.raises(httpx2.ConnectError):
                await other.get(f"{running.http.url}/models")
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices[0].finish_reason == "stop"
        async with asyncio.timeout(10):
            await serving


# What is changed in a request that is in order, the field that is named, the status.
REFUSED: list[tuple[dict[str, object], str | None, int]] = [
    ({"model": "none-such"}, None, 404),
    ({"model": ""}, "model", 400),
    ({"n": 2}, "n", 400),
    ({"tools": [{"type": "function"}]}, "tools", 400),
    ({"tool_choice": "auto"}, "tool_choice", 400),
    ({"response_format": {"type": "json_object"}}, "response_format.type", 400),
    ({"logprobs": True}, "logprobs", 400),
    ({"stop": ["x"]}, "stop", 400),
    ({"modalities": ["audio"]}, "modalities.0", 400),
    ({"no_such_field": 1}, "no_such_field", 400),
    ({"seed": -1}, "seed", 400),
    ({"temperature": 3}, "temperature", 400),
    ({"stream": "yes"}, "stream", 400),
    ({"messages": []}, "messages", 400),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", 400),
    ({"messages": [{"role": "user", "content": " "}]}, None, 400),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages.0.content.0.type", 400),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, None, 400),
    ({"messages": [{"role": "user", "content": "x" * 100_001}]}, "messages.0.content", 400),
    ({"rheostat": {"value": -1}}, "rheostat.value", 400),
    ({"rheostat": {"valeu": 1}}, "rheostat.valeu", 400),
    ({"rheostat": {"plans": ["none-such"]}}, None, 404),
    ({"rheostat": {"policy": "none-such"}}, None, 404),
    ({"rheostat": {"tenant": "none-such"}}, None, 404),
    ({"rheostat": {"budget": {"tokens": 1}}}, None, 429),
    ({"model": "quick", "rheostat": {"plans": ["long"]}}, "rheostat.plans", 400),
]


async def test_what_is_not_done_is_said(running: Service) -> None:
    async with httpx2.AsyncClient() as bare:
        for change, param, status in REFUSED:
            told = await bare.post(f"{running.http.url}/chat/completions", json=QUICK | change)
            error = told.json()["error"]
            assert (told.status_code, set(error)) == (status, {"message", "type", "param", "code"}), (change, error)
            assert error["message"], change
            assert param in (None, error["param"]), (change, error)


async def test_requests_that_are_none(running: Service) -> None:
    url, typed = f"{running.http.url}/chat/completions", {"content-type": "application/json"}
    async with httpx2.AsyncClient() as bare:
        found = {
            "no JSON": await bare.post(url, content=b"{", headers=typed),
            "not text": await bare.post(url, content=b"\xff\xfe", headers=typed),
            "deep": await bare.post(url, content=b"[" * 100_000, headers=typed),
            "a form": await bare.post(url, content=json.dumps(QUICK), headers={"content-type": "text/plain"}),
            "too long": await bare.post(url, content=b" " * (4 * 2**20 + 1), headers=typed),
            "no page": await bare.post(f"{running.http.url}/embeddings", json={}),
            "no method": await bare.get(url),
            "another site": await bare.post(url, json=QUICK, headers={"host": "rebound.example"}),
        }
    assert {name: told.status_code for name, told in found.items()} == {
        **{"no JSON": 400, "not text": 400, "deep": 400, "a form": 415, "too long": 413, "no page": 404, "no method": 405, "another site": 403}
    }
    for told in found.values():
        assert set(told.json()["error"]) == {"message", "type", "param", "code"}
