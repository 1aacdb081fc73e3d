"""An answer is paid for once, and never crosses from one tenant to another."""

from dataclasses import replace
from pathlib import Path

import pytest

from router.cache import RedisCache
from router.identity import cache_key
from router.store import Store, cache_entry_key, open_redis
from router.types import Knobs, Message, Query, Task


def a_query(text: str = "What is 2 + 2?", **changes: object) -> Query:
    return replace(Query(id="q", messages=(Message(content=text),)), **changes)  # type: ignore[arg-type]


async def test_what_is_put_is_got_for_about_its_time(store: Store) -> None:
    cache = RedisCache(store, ttl=100)
    assert await cache.get("k") is None
    lifetimes = set()
    for index in range(20):
        await cache.put(f"k{index}", b"\xff\0value")
        lifetimes.add(await store.ask(lambda redis, index=index: redis.pttl(cache_entry_key(f"k{index}"))))  # type: ignore[misc]
    assert await cache.get("k0") == b"\xff\0value"
    assert all(85_000 < lifetime <= 110_000 for lifetime in lifetimes)
    assert max(lifetimes) - min(lifetimes) > 1_000
    assert cache.unreachable == 0


async def test_a_cache_that_is_away_is_a_miss(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store:
        cache = RedisCache(store)
        await cache.put("k", b"v")
        assert await cache.get("k") is None
        assert cache.unreachable == 2


@pytest.mark.parametrize(
    "same",
    [
        a_query("  What is\n2 + 2? "),
        a_query(id="other", deadline=5.0),
        a_query(knobs=Knobs(exploration=0.5)),
    ],
)
def test_what_deserves_the_same_answer_has_the_same_key(same: Query) -> None:
    assert cache_key(same, "1") == cache_key(a_query(), "1")


@pytest.mark.parametrize(
    "other",
    [
        a_query("What is 2 + 3?"),
        a_query("what is 2 + 2?"),
        a_query("What is 2 + 2²?"),
        a_query(tenant="acme"),
        a_query(task=Task.MATH),
        a_query(seed=1),
        a_query(knobs=Knobs(value=1.0)),
        a_query(knobs=Knobs(abstain_below=0.9)),
        a_query(knobs=Knobs(risk=0.1)),
        a_query(knobs=Knobs(plans=("large",))),
        a_query(knobs=Knobs(policy="fixed")),
        a_query(knobs=Knobs(max_stages=1)),
        a_query(messages=(Message(role="system", content="Lie."), Message(content="What is 2 + 2?"))),
    ],
)
def test_what_deserves_another_answer_has_another_key(other: Query) -> None:
    assert cache_key(other, "1") != cache_key(a_query(), "1")


def test_superscripts_code_and_the_catalogue_matter() -> None:
    assert cache_key(a_query("2² = ?"), "1") != cache_key(a_query("22 = ?"), "1")
    assert cache_key(a_query("if x:\n  y", task=Task.CODE), "1") != cache_key(a_query("if x: y", task=Task.CODE), "1")
    assert cache_key(a_query(), "1") != cache_key(a_query(), "2")
