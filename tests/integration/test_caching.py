"""What was paid for once is not paid for again, through the whole service: a real worker, real Redis, real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from rheostat.v1 import answer_pb2, query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import Service, service
from router.cache.section import CacheSettings
from router.exam import draw
from router.settings import ServerSettings, Settings, WorkerSettings
from router.terms import TenantSettings
from tests.integration.conftest import POOLS
from tests.integration.test_faults import LEGS, final_of, refusal

STORY = "Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?"
TERMS = {"exploration": 0.0, "guard": False}
TENANTS = {
    "default": TenantSettings(**TERMS),
    "other": TenantSettings(**TERMS),
    "lenient": TenantSettings(**TERMS, semantic_risk=0.8),
    "also": TenantSettings(**TERMS, semantic_risk=0.8),
    "silent": TenantSettings(**TERMS, retention="none"),
    "open": TenantSettings(**TERMS, cache_scope="public"),
    "library": TenantSettings(**TERMS, cache_scope="public"),
}
HIT = answer_pb2.CacheHit


def ask(text: str = STORY, knobs: dict[str, Any] | None = None, **given: Any) -> router_service_pb2.AnswerQueryRequest:
    stated = query_pb2.Knobs(**({"plans": ["quick"], "policy": "fixed"} if knobs is None else knobs))
    return router_service_pb2.AnswerQueryRequest(
        query=query_pb2.Query(messages=[query_pb2.Message(role="ROLE_USER", content=text)], task="TASK_MATH", knobs=stated, **given)
    )


async def got(stub: RouterServiceStub, text: str = STORY, **given: Any) -> answer_pb2.FinalAnswer:
    return await final_of(stub.AnswerQuery(ask(text, **given), timeout=60))


@pytest.fixture
def shared(settings: Settings, worker: str, redis_url: str) -> Settings:
    """Settings of routers that share one Redis and one worker."""
    changes = {"worker": WorkerSettings(address=worker, pools=POOLS.pools), "tenants": TENANTS, "redis_url": redis_url}
    return settings.model_copy(update=changes)


@asynccontextmanager
async def router(settings: Settings, name: str = "a") -> AsyncIterator[tuple[RouterServiceStub, Service]]:
    async with (
        service(settings.model_copy(update={"data": settings.data / name})) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        yield RouterServiceStub(channel), running


@pytest.fixture
async def stub(shared: Settings) -> AsyncIterator[RouterServiceStub]:
    async with router(shared) as (stub, _):
        yield stub


async def test_the_same_question_is_paid_for_once(stub: RouterServiceStub) -> None:
    first = await got(stub)
    again = await got(stub, f"  {STORY.replace(' ', '  ')}")
    assert (first.receipt.cache_hit, again.receipt.cache_hit) == (HIT.CACHE_HIT_UNSPECIFIED, HIT.CACHE_HIT_EXACT)
    assert (again.receipt.cached, again.receipt.usage.cost_microdollars) == (True, 0)
    assert again.answer == first.answer
    assert again.decision_id != first.decision_id
    told = await stub.ExplainDecision(router_service_pb2.ExplainDecisionRequest(decision_id=again.decision_id), timeout=10)
    assert [one.reason for one in told.stages] == ["answered from the cache"]


async def test_the_same_question_at_the_same_time_is_paid_for_once(stub: RouterServiceStub) -> None:
    finals = await asyncio.gather(*(got(stub, LEGS) for _ in range(12)))
    hits = sorted(one.receipt.cache_hit for one in finals)
    assert hits == [HIT.CACHE_HIT_UNSPECIFIED, *[HIT.CACHE_HIT_JOINED] * 11]
    assert sum(one.receipt.usage.cost_microdollars > 0 for one in finals) == 1
    assert len({one.decision_id for one in finals}) == 12
    assert len({one.answer.SerializeToString() for one in finals}) == 1


async def test_a_repeated_request_has_the_same_end(shared: Settings) -> None:
    """On the router that was asked, and on another one after that is gone."""
    async with router(shared) as (stub, _):
        first, joined = await asyncio.gather(got(stub, id="r1"), got(stub, id="r1"))
        assert first.decision_id == joined.decision_id
        assert {first.receipt.cache_hit, joined.receipt.cache_hit} == {HIT.CACHE_HIT_UNSPECIFIED, HIT.CACHE_HIT_REPEATED}
        original = first if first.receipt.cache_hit == HIT.CACHE_HIT_UNSPECIFIED else joined
        assert await refusal(stub.AnswerQuery(ask(LEGS, id="r1"), timeout=60)) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
        assert (await got(stub, id="r1", tenant="other")).decision_id != first.decision_id
    async with router(shared, "b") as (stub, _):
        again = await got(stub, id="r1")
    assert again.receipt.usage == original.receipt.usage
    assert list(again.receipt.stages) == list(original.receipt.stages)
    assert (again.decision_id, again.answer, again.ending) == (original.decision_id, original.answer, original.ending)


async def test_replicas_do_not_pay_twice(shared: Settings) -> None:
    async with AsyncExitStack() as stack:
        stubs = [(await stack.enter_async_context(router(shared, name)))[0] for name in ("a", "b")]
        finals = await asyncio.gather(*(got(stub, STORY, knobs={"plans": ["long"], "policy": "fixed"}) for stub in stubs * 2))
        repeated = await asyncio.gather(*(got(stub, STORY, id="both") for stub in stubs))
    assert sum(one.receipt.usage.cost_microdollars > 0 for one in finals) == 1
    assert len({one.answer.SerializeToString() for one in finals}) == 1
    assert repeated[0].decision_id == repeated[1].decision_id


@pytest.mark.parametrize(("tenant", "also", "shared_by_both"), [("default", "other", False), ("open", "library", True), ("open", "default", False)])
async def test_nothing_crosses_from_tenant_to_tenant_unless_both_are_public(
    stub: RouterServiceStub, tenant: str, also: str, shared_by_both: bool
) -> None:
    """By the same words, at the same time, under the same request id, and by what was bought."""
    first, second = await asyncio.gather(got(stub, LEGS, tenant=tenant, id="x"), got(stub, LEGS, tenant=also, id="x"))
    assert first.decision_id != second.decision_id
    assert (first.receipt.cached or second.receipt.cached) is shared_by_both
    await got(stub, tenant=tenant)
    assert (await got(stub, tenant=also)).receipt.cached is shared_by_both
    last = draw("test", 3, 1)[0].question
    await got(stub, last, tenant=tenant, knobs={"max_stages": 1, "plans": ["quick"]})
    final = await got(stub, last, tenant=also, knobs={"max_stages": 2, "plans": ["quick"], "policy": "threshold"})
    told = await stub.ExplainDecision(router_service_pb2.ExplainDecisionRequest(decision_id=final.decision_id, tenant=also), timeout=10)
    assert (told.stages[0].in_hand > 0) is shared_by_both


async def test_of_a_tenant_that_keeps_nothing_nothing_is_kept(stub: RouterServiceStub) -> None:
    first, joined = await asyncio.gather(got(stub, tenant="silent"), got(stub, tenant="silent"))
    assert joined.receipt.cached != first.receipt.cached
    assert not (await got(stub, tenant="silent")).receipt.cached
    assert (await got(stub, tenant="silent", id="r")).decision_id == (await got(stub, tenant="silent", id="r")).decision_id


async def test_requests_that_fix_the_draw_or_want_no_cache_are_on_their_own(stub: RouterServiceStub) -> None:
    for given in ({"seed": 7}, {"knobs": {"plans": ["quick"], "policy": "fixed", "cache": False}}):
        finals = await asyncio.gather(*(got(stub, LEGS, **given) for _ in range(2)))
        assert [one.receipt.cached for one in finals] == [False, False]


async def test_a_request_that_wants_more_goes_on_from_what_was_bought(tmp_path: Path) -> None:
    """Over questions of all kinds with the bundled models: at least as sure as the poorer request was, and cheaper than from nothing."""
    plans = ["nano-direct", "small-solve", "small-vote", "large-solve"]
    poor = {"value_microdollars": 6_000, "max_stages": 1, "plans": plans}
    rich = {"value_microdollars": 60_000, "max_stages": 3, "plans": plans}
    settings = Settings(data=tmp_path / "data", server=ServerSettings(address="127.0.0.1:0", drain_delay=0.0), tenants=TENANTS)
    async with router(settings) as (stub, running):
        questions = [one.question for one in draw("test", 11, 14)]
        first = [await got(stub, one, knobs=poor) for one in questions]
        warm = [await got(stub, one, knobs=rich) for one in questions]
        cold = [await got(stub, one, knobs=rich, tenant="other") for one in questions]
        rows = [row for one in warm for row in await running.pipeline.explain(one.decision_id, "default")]
        again = [await got(stub, one, knobs={**rich, "value_microdollars": 61_000}) for one in questions]
    sure = [np.mean([one.answer.confidence for one in finals]) for finals in (first, warm, cold)]
    cost = [paid(finals) for finals in (first, warm, cold)]
    print(f"belief {np.round(sure, 3)} for {cost} micro-dollars: poor, rich after poor, rich from nothing; and rich once more: {paid(again)}")
    bought = [one for one in zip(first, warm, strict=True) if one[0].receipt.stages]
    assert len(bought) > 7
    assert sure[1] >= sure[0]
    assert cost[1] < cost[2]
    assert paid(again) < cost[1] / 2
    inherited = {row.decision_id: row.inherited for row in rows}
    assert all(inherited[richer.decision_id] == (f"{poorer.decision_id}/0",) for poorer, richer in bought)
    assert all(row.stage == place for one in warm for place, row in enumerate([row for row in rows if row.decision_id == one.decision_id]))
    assert all(row.propensity > 0 and (not row.chances or abs(sum(row.chances) - 1) < 1e-9) for row in rows)


def paid(finals: list[answer_pb2.FinalAnswer]) -> int:
    return sum(one.receipt.usage.cost_microdollars for one in finals)


async def test_stages_are_counted_from_what_is_bought_now(shared: Settings) -> None:
    """A request of one stage buys once, whatever others have bought before."""
    async with router(shared) as (stub, _):
        await got(stub, STORY, knobs={"plans": ["quick"], "policy": "fixed"})
        final = await got(stub, STORY, knobs={"plans": ["quick", "long"], "policy": "threshold", "max_stages": 1, "abstain_below": 0.9999})
        assert [one.plan for one in final.receipt.stages] == ["long"]
        assert final.ending == answer_pb2.ENDING_ABSTAINED
        only = await got(stub, STORY, knobs={"plans": ["long"], "policy": "threshold", "value_microdollars": 1})
        told = await stub.ExplainDecision(router_service_pb2.ExplainDecisionRequest(decision_id=only.decision_id), timeout=10)
    assert only.answer.plan in ("long", "")  # what its own knobs do not allow it is not given either
    assert [stage.plan for stage in told.stages if stage.plan] == []  # and what they allow is there already


NAMES = ("Tom", "Mia", "Ben", "Ana", "Leo", "Eva", "Sam", "Zoe", "Max", "Ivy", "Dan", "Lily", "Omar", "Nina", "Raj", "Kim")


async def test_other_words_are_answered_once_enough_of_them_were_checked(shared: Settings) -> None:
    """The right answers are the same, and the model's mostly, so the checks find few false hits; other numbers or tenants are never answered so."""
    settings = shared.model_copy(update={"cache": CacheSettings(check_share=1e-9)})
    stories = [STORY.replace("Tom", name) for name in NAMES]
    async with router(settings) as (stub, running):
        finals = []
        for story in stories:
            finals.append(await got(stub, story, tenant="lenient"))
            await running.pipeline._parts.cache.follow()  # type: ignore[attr-defined]
        hits = [one.receipt.cache_hit for one in finals]
        given = next((one for one in finals if one.receipt.cached), finals[-1])
        told = await stub.ExplainDecision(router_service_pb2.ExplainDecisionRequest(decision_id=given.decision_id, tenant="lenient"), timeout=10)
        others = [
            await got(stub, stories[-1].replace("5", "6"), tenant="lenient"),
            await got(stub, stories[-1].replace("5", "five").replace("3", "two"), tenant="lenient"),
            await got(stub, stories[-1], tenant="also"),
            await got(stub, stories[-1], tenant="default"),
            await got(stub, f"{stories[-1]} ", tenant="lenient", knobs={"plans": ["quick"], "policy": "fixed", "cache": False}),
        ]
    assert set(hits) == {HIT.CACHE_HIT_UNSPECIFIED, HIT.CACHE_HIT_SEMANTIC}
    assert hits.index(HIT.CACHE_HIT_SEMANTIC) >= 5
    assert given.receipt.usage.cost_microdollars == 0
    assert given.answer.answer in {one.answer.answer for one in finals if not one.receipt.cached}
    assert given.answer.confidence <= 0.2
    assert [one.reason for one in told.stages] == ["answered from the cache, as the same question in other words"]
    assert not any(one.receipt.cached for one in others)
