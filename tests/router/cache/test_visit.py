"""Who pays and who waits, among requests for the same answer on one router and on several that share a Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from router.cache.answers import Answers, open_answers
from router.cache.recent import Recent
from router.cache.section import CacheSettings
from router.errors import DeadlineExceeded, RequestIdReused
from router.store import Store, open_redis
from router.telemetry import Telemetry
from router.tenants import CacheScope, Retention, Tenant, Tenants
from router.types import (
    Answer,
    Budget,
    CacheHit,
    Candidate,
    Final,
    Finish,
    Knobs,
    Message,
    Outcome,
    Plan,
    Query,
    Receipt,
    Usage,
)
from tests.conftest import RedisServer

TENANTS = Tenants(
    {
        "default": Tenant(id="default"),
        "other": Tenant(id="other"),
        "silent": Tenant(id="silent", retention=Retention.NONE),
        "open": Tenant(id="open", cache_scope=CacheScope.PUBLIC),
        "library": Tenant(id="library", cache_scope=CacheScope.PUBLIC),
    }
)
CATALOGUE = {"a": Plan(id="a", pool="p", strategy="direct", budget=Budget(cost=10))}
USAGE = Usage(prompt_tokens=3, kept_tokens=5, samples=1, calls=1, cost=7, seconds=0.5)
ANSWER = Answer(text="It is 4.\nAnswer: 4", answer="4", confidence=0.75, plan="a")
FINAL = Final(decision_id="d", answer=ANSWER, receipt=Receipt(usage=USAGE, stages=(("a", USAGE),)), ending="stopped")
OUTCOME = Outcome(
    plan="a",
    answer="4",
    text="Answer: 4",
    candidates=(
        Candidate(text="Answer: 4" * 300, answer="4", finish=Finish.END, tokens=5, logprob=-0.5, score=0.25, cost=7.0),
        Candidate(text="?", answer=None, finish=Finish.LENGTH, tokens=5, logprob=float("-inf")),
    ),
    usage=USAGE,
    stop_reason="done",
    pool="p",
)


def a_query(text: str = "What is 2 + 2?", **changes: object) -> Query:
    return replace(Query(id="q", messages=(Message(content=text),)), **changes)  # type: ignore[arg-type]


@pytest.fixture
async def answers(store: Store) -> AsyncIterator[Answers]:
    async with opened(store) as answers:
        yield answers


@asynccontextmanager
async def opened(store: Store, **changes: object) -> AsyncIterator[Answers]:
    """One router's cache."""
    async with open_answers(store, CacheSettings(**changes), TENANTS, Telemetry()) as answers:  # type: ignore[arg-type]
        yield answers


async def asked(answers: Answers, query: Query, *, final: Final = FINAL, work: float = 0.0) -> Final:
    """One request: what is found, or what it takes `work` seconds to get."""
    async with answers.visit(query, CATALOGUE, "1") as visit:
        if visit.found:
            own = visit.found if visit.found.decision_id else replace(visit.found, decision_id=query.id)
            await visit.keep(own)
            return own
        await asyncio.sleep(work)
        await visit.keep(final)
        return final


async def under_way(answers: Answers, query: Query, ready: asyncio.Event, done: asyncio.Event, final: Final | None = FINAL) -> None:
    """A leader that works until it is told to end, with a final answer or without."""
    async with answers.visit(query, CATALOGUE, "1") as visit:
        assert visit.found is None
        ready.set()
        await done.wait()
        if final is None:
            raise ConnectionError
        await visit.keep(final)


async def test_who_asks_the_same_waits_and_pays_nothing(answers: Answers) -> None:
    finals = await asyncio.gather(*(asked(answers, a_query(), work=0.05) for _ in range(20)))
    assert [final.receipt.hit for final in finals] == [CacheHit.NONE, *[CacheHit.JOINED] * 19]
    assert {final.answer for final in finals} == {ANSWER}
    assert finals[1].receipt.usage == Usage()
    assert (await asked(answers, a_query())).receipt.hit is CacheHit.EXACT


@pytest.mark.parametrize("alone", [{"seed": 1}, {"knobs": Knobs(cache=False)}])
async def test_who_fixes_the_draw_or_wants_no_cache_is_on_its_own(answers: Answers, alone: dict[str, object]) -> None:
    finals = await asyncio.gather(*(asked(answers, a_query(**alone), work=0.05) for _ in range(3)))
    assert [final.receipt.hit for final in finals] == [CacheHit.NONE] * 3


@pytest.mark.parametrize(
    "brought",
    [
        None,
        replace(FINAL, ending="deadline"),
        replace(FINAL, ending="budget"),
        replace(FINAL, answer=None, ending="abstained"),
        replace(FINAL, degraded=("X",)),
    ],
)
async def test_a_leader_that_fails_leaves_its_place_to_the_next(answers: Answers, brought: Final | None) -> None:
    ready, done = asyncio.Event(), asyncio.Event()
    leader = asyncio.create_task(under_way(answers, a_query(), ready, done, brought))
    await ready.wait()
    followers = [asyncio.create_task(asked(answers, a_query(), work=0.02)) for _ in range(3)]
    await asyncio.sleep(0)
    done.set()
    hits = [final.receipt.hit for final in await asyncio.gather(*followers)]
    assert sorted(hits) == [CacheHit.NONE, CacheHit.JOINED, CacheHit.JOINED]
    assert (await asyncio.gather(leader, return_exceptions=True)) == [None] or brought is None


async def test_a_leader_that_is_cancelled_leaves_its_place_to_the_next(answers: Answers) -> None:
    ready = asyncio.Event()
    leader = asyncio.create_task(under_way(answers, a_query(), ready, asyncio.Event()))
    await ready.wait()
    follower = asyncio.create_task(asked(answers, a_query()))
    await asyncio.sleep(0.05)
    leader.cancel()
    async with asyncio.timeout(2):
        assert (await follower).receipt.hit is CacheHit.NONE


async def test_followers_keep_their_own_deadlines_and_may_go(answers: Answers) -> None:
    ready, done = asyncio.Event(), asyncio.Event()
    leader = asyncio.create_task(under_way(answers, a_query(), ready, done))
    await ready.wait()
    gone, patient = (asyncio.create_task(asked(answers, a_query())) for _ in range(2))
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await asked(answers, a_query(deadline=began + 0.1))
    assert 0.1 <= time.monotonic() - began < 1
    gone.cancel()
    done.set()
    assert (await patient).receipt.hit is CacheHit.JOINED
    await leader


async def test_a_repetition_has_the_first_ones_end(answers: Answers) -> None:
    query = a_query(id="r", body="b")
    first, joined = await asyncio.gather(*(asked(answers, query, work=0.05) for _ in range(2)))
    later = await asked(answers, query)
    assert first == FINAL
    assert joined == later == replace(FINAL, receipt=replace(FINAL.receipt, hit=CacheHit.REPEATED))
    assert (await asked(answers, a_query(id="s", body="c"))).receipt.hit is CacheHit.EXACT  # another request, the same question
    assert (await asked(answers, a_query(id="r", body="b", tenant="other"))).receipt.hit is CacheHit.NONE


@pytest.mark.parametrize("how", [{"seed": 3}, {"knobs": Knobs(cache=False)}, {"tenant": "silent"}])
async def test_a_repetition_is_one_whatever_may_be_cached(answers: Answers, how: dict[str, object]) -> None:
    query = a_query(id="r", body="b", **how)
    withheld = replace(FINAL, answer=None, ending="abstained", degraded=("STORE_UNAVAILABLE",))
    await asked(answers, query, final=withheld)
    assert await asked(answers, query) == replace(withheld, receipt=replace(FINAL.receipt, hit=CacheHit.REPEATED))


async def test_an_id_is_for_one_request(answers: Answers, store: Store) -> None:
    """While the first is under way, on this router or on another, and after it has ended."""
    other = a_query("What is 3 + 3?", id="r", body="c")
    async with opened(store) as elsewhere:
        ready, done = asyncio.Event(), asyncio.Event()
        leader = asyncio.create_task(under_way(answers, a_query(id="r", body="b"), ready, done))
        await ready.wait()
        for router in (answers, elsewhere):
            with pytest.raises(RequestIdReused):
                await asked(router, other)
        done.set()
        await leader
        for router in (answers, elsewhere):
            with pytest.raises(RequestIdReused):
                await asked(router, other)


@pytest.mark.parametrize("named", [False, True])
async def test_replicas_wait_for_one_another_too(answers: Answers, store: Store, named: bool) -> None:
    """Longer than a lease lasts, as its owner holds on to it."""
    query = a_query(id="r", body="b") if named else a_query()
    async with opened(store, lease_seconds=0.3) as first, opened(store, lease_seconds=0.3) as second:
        finals = await asyncio.gather(*(asked(router, query, work=1.2) for router in (first, second, first, second)))
    expected = CacheHit.REPEATED if named else CacheHit.EXACT
    hits = sorted(final.receipt.hit for final in finals)
    assert hits.count(CacheHit.NONE) == 1
    assert expected in hits
    assert len({final.decision_id for final in finals}) == (1 if named else 2)  # the other ones' own is their query's id


async def test_a_router_that_dies_keeps_others_waiting_no_longer_than_its_lease(store: Store) -> None:
    dead = Answers(store, CacheSettings(lease_seconds=0.3), TENANTS, Telemetry())  # nobody renews its leases
    visit = dead.visit(a_query(id="r", body="b"), CATALOGUE, "1")
    await visit.__aenter__()
    async with opened(store) as living:
        began = time.monotonic()
        assert (await asked(living, a_query(id="r", body="b"))).receipt.hit is CacheHit.NONE
        assert 0.2 < time.monotonic() - began < 2
        assert (await asked(living, a_query(id="r", body="b"))).receipt.hit is CacheHit.REPEATED


async def test_without_redis_each_router_has_itself(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store, opened(store) as answers:
        finals = await asyncio.gather(*(asked(answers, a_query(id=str(index % 2), body="b"), work=0.02) for index in range(6)))
        assert sum(final.receipt.hit is CacheHit.NONE for final in finals) == 1
        assert len({final.decision_id for final in finals}) == 2  # of the two requests
        assert (await asked(answers, a_query())).receipt.hit is CacheHit.NONE


async def test_a_redis_that_dies_meanwhile_costs_nobody_the_answer(mortal_redis: RedisServer, tmp_path: Path) -> None:
    async with open_redis(mortal_redis.url, tmp_path) as store, opened(store) as answers:
        ready, done = asyncio.Event(), asyncio.Event()
        leader = asyncio.create_task(under_way(answers, a_query(), ready, done))
        await ready.wait()
        follower = asyncio.create_task(asked(answers, a_query()))
        await asyncio.sleep(0.02)
        mortal_redis.kill()
        done.set()
        assert (await follower).receipt.hit is CacheHit.JOINED
        await leader


async def test_what_was_bought_is_there_for_richer_terms_however_the_request_ended(answers: Answers) -> None:
    async with answers.visit(a_query(), CATALOGUE, "1") as visit:
        assert visit.bought == ()
        visit.bought = (("d/0", OUTCOME),)  # and then it is cut off
    async with answers.visit(a_query(knobs=Knobs(value=1e6)), CATALOGUE, "2") as visit:
        assert visit.found is None
        assert visit.bought == (("d/0", OUTCOME),)
    for other in (a_query(seed=1), a_query(knobs=Knobs(cache=False)), a_query(tenant="other"), a_query("What is 2 + 3?")):
        async with answers.visit(other, CATALOGUE, "1") as visit:
            assert visit.bought == ()
    async with answers.visit(a_query(), {"a": replace(CATALOGUE["a"], strategy="beam")}, "1") as visit:
        assert visit.bought == ()


async def test_of_a_tenant_that_keeps_nothing_only_the_end_of_a_named_request_is_kept(answers: Answers, store: Store) -> None:
    async with answers.visit(a_query(tenant="silent", id="r", body="b"), CATALOGUE, "1") as visit:
        visit.bought = (("d/0", OUTCOME),)
        await visit.keep(FINAL)
    kept = [key.decode() for key in await store.client.keys("*{cache}:*")]
    (request,) = [key for key in kept if ":request:" in key]
    assert not [key for key in kept if ":answer:" in key or ":evidence:" in key]
    assert await store.client.pttl(request) <= 660_000


async def test_public_tenants_share_and_others_do_not(answers: Answers) -> None:
    first, second, third = await asyncio.gather(*(asked(answers, a_query(tenant=name), work=0.05) for name in ("open", "library", "default")))
    assert (first.receipt.hit, second.receipt.hit, third.receipt.hit) == (CacheHit.NONE, CacheHit.JOINED, CacheHit.NONE)


async def test_a_damaged_entry_is_no_entry(answers: Answers, store: Store) -> None:
    await asked(answers, a_query())
    (key,) = await store.client.keys("*:answer:*")  # no answer was read from it yet, so none is remembered
    for damaged in (b"", b"[1]", b"\x78\x9cnonsense", b"[1,2"):
        await store.client.set(key, damaged)
        assert (await asked(answers, a_query())).receipt.hit is CacheHit.NONE


async def test_an_entry_too_large_is_not_kept(answers: Answers) -> None:
    noise = "".join(map(chr, range(0x4E00, 0x9F00))) * 50
    await asked(answers, a_query(), final=replace(FINAL, answer=replace(ANSWER, text=noise)))
    found = (await asked(answers, a_query())).receipt.hit
    assert found in (CacheHit.NONE, CacheHit.EXACT)


async def test_an_answer_read_a_moment_ago_is_not_read_again(answers: Answers, store: Store) -> None:
    await asked(answers, a_query())
    assert (await asked(answers, a_query())).receipt.hit is CacheHit.EXACT
    for key in await store.client.keys("*:answer:*"):
        await store.client.delete(key)
    assert (await asked(answers, a_query())).receipt.hit is CacheHit.EXACT
    assert (await asked(answers, a_query(tenant="other"))).receipt.hit is CacheHit.NONE
    assert (await asked(answers, a_query(id="r", body="b"))).receipt.hit is CacheHit.NONE  # which has to be looked for


def test_what_is_remembered_is_bounded_in_time_number_and_length() -> None:
    now = [0.0]
    recent = Recent(clock=lambda: now[0])
    recent["long"] = replace(ANSWER, text="x" * 5_000)
    for number in range(2_500):
        recent[str(number)] = ANSWER
    assert (recent["long"], recent["0"], recent["2499"]) == (None, None, ANSWER)
    now[0] = 1.0
    assert recent["2499"] is None
