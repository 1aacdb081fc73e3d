"""The cache stays within its bytes of a Redis that evicts nothing, and leases are one router's at a time."""

import asyncio
from pathlib import Path

import pytest

from router.cache.shelf import ANSWERS, REQUESTS, Claim, Entry, Shelves
from router.ledger.ledger import RedisLedger
from router.store import Store, cache_key, cache_sizes_key, cache_used_key, open_redis
from router.tenants import DAY
from router.types import Amount

MIB = 2**20


def answer(value: bytes, seconds: float = 100.0) -> Entry:
    return Entry(ANSWERS, value, seconds)


async def test_what_is_put_is_read_for_about_its_time(store: Store) -> None:
    shelves = Shelves(store, (MIB, MIB))
    keys = [cache_key("answer", str(index)) for index in range(20)]
    for key in keys:
        await shelves.put({key: answer(b"\xff\0value")}, {})
    assert await shelves.read([keys[0], "none such", keys[1]]) == [b"\xff\0value", None, b"\xff\0value"]
    lifetimes = [await store.client.pttl(key) for key in keys]
    assert all(85_000 < lifetime <= 110_000 for lifetime in lifetimes)
    assert max(lifetimes) - min(lifetimes) > 1_000
    await shelves.put({cache_key("request", "r"): Entry(REQUESTS, b"v", 100.0)}, {})
    assert await store.client.pttl(cache_key("request", "r")) >= 99_000


async def test_reads_that_come_together_go_together(store: Store) -> None:
    shelves = Shelves(store, (MIB, MIB))
    await shelves.put({cache_key("answer", str(index)): answer(str(index).encode()) for index in range(50)}, {})
    before = (await store.client.info("commandstats"))["cmdstat_mget"]["calls"] if "cmdstat_mget" in await store.client.info("commandstats") else 0
    found = await asyncio.gather(*(shelves.read([cache_key("answer", str(index))]) for index in range(50)))
    assert found == [[str(index).encode()] for index in range(50)]
    assert (await store.client.info("commandstats"))["cmdstat_mget"]["calls"] - before <= 3


async def test_a_cache_that_is_away_has_nothing_and_grants_everything(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store:
        shelves = Shelves(store, (MIB, MIB))
        await shelves.put({"k": answer(b"v")}, {})
        assert await shelves.read(["k"]) == [None]
        assert await shelves.claim({"l": "me"}, ["k"], 1.0) == Claim()
        assert shelves.unreachable == 3


async def test_filled_far_beyond_its_bytes_it_stays_within_them_and_touches_nothing_else(store: Store) -> None:
    """Budgets, holds and streams are in the same Redis, which must never evict them."""
    ledger = RedisLedger(store, lambda _: (DAY,))
    held = await ledger.reserve("acme", "hold", Amount(500, 10), 60.0)
    await store.client.xadd("rheostat:v1:stream:{decisions}", {"row": b"{}"})
    others = {key: await store.client.dump(key) for key in await store.client.keys("*")}
    before = (await store.client.info("memory"))["used_memory"]
    shelves, most = Shelves(store, (2 * MIB, MIB // 2)), 2.5 * MIB
    for batch in range(100):
        sizes = range(50, 2_050, 20)
        await shelves.put({cache_key("answer", f"{batch}/{size}"): answer(bytes(size)) for size in sizes}, {})
        await shelves.put({cache_key("request", f"{batch}/{size}"): Entry(REQUESTS, bytes(300), 9e4) for size in range(50)}, {})
        taken = (await store.client.info("memory"))["used_memory"] - before
        assert taken < 1.1 * most, f"{taken} bytes after batch {batch}"
    assert taken > most / 3  # it is not merely empty
    print(
        f"filled with {100 * 105_000 / MIB:.0f} MiB: took {taken / MIB:.2f} MiB of {most / MIB:.2f}, by its own count {sum(shelves.bytes) / MIB:.2f}"
    )
    for shelf, name in ((ANSWERS, "answers"), (REQUESTS, "requests")):
        keys = await store.client.zcard(cache_used_key(name))
        assert keys == await store.client.hlen(cache_sizes_key(name)) - 1
        assert shelves.bytes[shelf] == int(await store.client.hget(cache_sizes_key(name), "")) <= (2 * MIB, MIB // 2)[shelf]
    assert {key: await store.client.dump(key) for key in others} == others
    assert held == Amount(500, 10)


async def test_what_was_not_used_for_longest_makes_room(store: Store) -> None:
    shelves = Shelves(store, (20_000, MIB))
    keys = [cache_key("answer", str(index)) for index in range(12)]
    for key in keys[:4]:
        await shelves.put({key: answer(bytes(2_000))}, {})
    shelves.touch(keys[0])
    await shelves.renew({}, 1.0)
    for key in keys[4:9]:
        await shelves.put({key: answer(bytes(2_000))}, {})
    present = [value is not None for value in await shelves.read(keys[:9])]
    assert present[0]
    assert present[8]
    assert not any(present[1:4])


async def test_what_has_expired_gives_its_bytes_back(store: Store) -> None:
    shelves = Shelves(store, (MIB, MIB))
    await shelves.put({cache_key("answer", "short"): answer(bytes(5_000), 0.01)}, {})
    full = shelves.bytes[ANSWERS]
    while await store.client.exists(cache_key("answer", "short")):
        await asyncio.sleep(0.005)
    await shelves.put({cache_key("answer", "next"): answer(b"")}, {})
    assert shelves.bytes[ANSWERS] < full - 5_000
    for _ in range(3):
        await shelves.put({cache_key("answer", "next"): answer(bytes(5_000))}, {})
    assert shelves.bytes[ANSWERS] == full


async def test_an_entry_larger_than_the_shelf_leaves_it_empty(store: Store) -> None:
    shelves = Shelves(store, (10_000, MIB))
    await shelves.put({cache_key("answer", "small"): answer(b"v")}, {})
    await shelves.put({cache_key("answer", "huge"): answer(bytes(20_000))}, {})
    assert shelves.bytes[ANSWERS] == 0
    await store.client.hincrby(cache_sizes_key("answers"), "", 50_000)  # books that were damaged mend themselves
    await shelves.put({cache_key("answer", "small"): answer(b"v")}, {})
    await shelves.put({cache_key("answer", "small"): answer(b"v")}, {})
    assert await shelves.read([cache_key("answer", "small")]) == [b"v"]


@pytest.mark.parametrize("ended", [True, False])
async def test_a_lease_is_one_routers_until_it_ends_or_is_let_go(store: Store, ended: bool) -> None:
    mine, other = Shelves(store, (MIB, MIB)), Shelves(store, (MIB, MIB))
    assert await mine.claim({"lease": "me", "second": "me"}, ["answer"], 0.15) == Claim()
    assert await mine.claim({"lease": "me"}, ["answer"], 0.15) == Claim()
    assert await other.claim({"third": "you", "lease": "you"}, ["answer"], 5.0) == Claim(owner="me")
    assert not await store.client.exists("third")
    await mine.renew({"lease": "me", "third": "me"}, 0.3)
    assert await store.client.pttl("lease") > 200
    if ended:
        await mine.put({"answer": answer(b"v")}, {"lease": "me", "second": "somebody else's"})
        assert await other.claim({"lease": "you"}, ["answer"], 5.0) == Claim(made=True)
        assert await other.claim({"lease": "you"}, [], 5.0) == Claim()
    else:
        async with asyncio.timeout(5):
            while await other.claim({"lease": "you"}, ["answer"], 5.0) != Claim():
                await asyncio.sleep(0.02)
    await mine.put({}, {"lease": "me"})
    assert await store.client.get("lease") == b"you"
