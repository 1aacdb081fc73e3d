"""Tenants in a real Redis: what is in force, who may write over whom, and that every change is on record."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from router.background import background
from router.errors import ConfiguredTenant, EtagMismatch, InvalidTerms, StoreUnavailable, TenantExists, UnknownTenant
from router.rows import Change, changes
from router.store import Store, open_redis, rows_key
from router.tenancy.register import Register, Tenancy
from router.terms import TenantSettings
from router.types import Knobs

FILE = {"default": TenantSettings(), "filed": TenantSettings(floor=0.8, plans=("once",))}


def a_register(store: Store, configured: dict[str, TenantSettings] | None = None) -> Register:
    return Register(store, FILE if configured is None else configured, lambda: (("once", "vote"), ("allocator",)))


@pytest.fixture
async def register(store: Store) -> Register:
    found = a_register(store)
    await found.look()
    return found


async def trail(store: Store, tenant: str = "") -> list[Change]:
    """The audit trail, oldest first."""
    return (await changes(store, tenant, 1_000, ""))[0][::-1]


def to(**terms: Any) -> Any:
    """A change that states these."""
    return lambda old: old | terms


async def seen(register: Register, name: str, **terms: Any) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(1.0):
        while name not in register.tenancies or any(getattr(register[name].terms, term) != value for term, value in terms.items()):
            await asyncio.sleep(0.01)


async def test_stored_terms_come_before_those_of_the_file_which_come_back(register: Register, store: Store) -> None:
    await register.update("filed", to(floor=0.9), actor="ada")
    assert register.terms["filed"] == TenantSettings(floor=0.9, plans=("once",))
    assert register["filed"].stored
    await register.delete("filed", actor="bob")
    assert register.terms["filed"] == FILE["filed"]
    with pytest.raises(ConfiguredTenant, match="settings file"):
        await register.delete("filed", actor="bob")
    told = await trail(store)
    assert [(one.actor, one.action) for one in told] == [("ada", "updated"), ("bob", "deleted")]
    assert [(field.field, field.old, field.new) for field in told[0].fields] == [("floor", "0.8", "0.9")]
    assert {field.field: (field.old, field.new) for field in told[1].fields} == {"floor": ("0.9", ""), "plans": ('["once"]', "")}


async def test_what_contradicts_itself_or_is_not_there_is_refused_by_name_and_leaves_no_trace(register: Register, store: Store) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"floor": 0.9, "cap": 5}, ""),
        ({"floor": 2.0}, "floor"),
        ({"plans": ["none-such"]}, "plans"),
        ({"policy": "none-such"}, "policy"),
        ({"concurrency": 0}, "concurrency"),
    ]
    for terms, field in refused:
        with pytest.raises(InvalidTerms) as caught:
            await register.create("acme", terms, actor="ada")
        assert [name for name, _ in caught.value.violations] == [field]
    with pytest.raises(UnknownTenant):
        await register.update("acme", to(value=1.0), actor="ada")
    with pytest.raises(UnknownTenant):
        await register.delete("acme", actor="ada")
    with pytest.raises(TenantExists):
        await register.create("filed", {}, actor="ada")
    await register.create("dry", {"value": 5.0}, actor="ada", dry=True)
    assert register.terms == FILE
    assert await trail(store) == []


async def test_an_etag_that_is_old_is_refused(register: Register) -> None:
    first = await register.create("acme", {"value": 5.0}, actor="ada")
    second = await register.update("acme", to(value=6.0), actor="ada", etag=first.etag)
    assert second.etag != first.etag
    for late in (register.update("acme", to(value=7.0), actor="bob", etag=first.etag), register.delete("acme", actor="bob", etag=first.etag)):
        with pytest.raises(EtagMismatch):
            await late
    assert register.terms["acme"].value == 6.0
    again = await register.update("acme", to(value=6.0), actor="ada")
    assert again == second  # nothing changed: no new etag, and no line
    filed = register["filed"]
    await register.update("filed", to(risk=0.5), actor="ada", etag=filed.etag)
    with pytest.raises(EtagMismatch):
        await register.update("filed", to(risk=0.6), actor="bob", etag=filed.etag)


async def test_writers_at_once_lose_no_update_and_each_leaves_its_line(redis_url: str, tmp_path: Path) -> None:
    """Eight routers, each changing terms of its own of one tenant, five times over."""
    names = ["per_minute", "per_day", "per_month", "tokens_per_minute", "tokens_per_day", "tokens_per_month", "requests_per_minute", "concurrency"]
    async with open_redis(redis_url, tmp_path) as store:
        registers = [a_register(store) for _ in names]
        await registers[0].create("acme", {}, actor="ada")

        async def write(register: Register, name: str) -> None:
            for value in range(1, 6):
                await register.update("acme", to(**{name: value}), actor=name)

        await asyncio.gather(*map(write, registers, names))
        for register in registers:
            await register.look()
            assert all(getattr(register.terms["acme"], name) == 5 for name in names)
        lines = (await trail(store))[1:]
    assert len(lines) == 40
    for name in names:
        written = [(one.fields[0].old, one.fields[0].new) for one in lines if one.actor == name]
        assert written == [("", "1"), ("1", "2"), ("2", "3"), ("3", "4"), ("4", "5")]


async def test_of_writers_with_one_etag_one_wins(register: Register, store: Store) -> None:
    made = await register.create("acme", {}, actor="ada")
    attempts = (register.update("acme", to(value=float(i)), actor=str(i), etag=made.etag) for i in range(10))
    found = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(one, EtagMismatch) for one in found) == 9
    assert len(await trail(store)) == 2


async def test_a_change_is_seen_by_others_within_a_second_and_a_dead_redis_changes_nothing(tmp_path: Path, mortal_redis: Any) -> None:
    async with open_redis(mortal_redis.url, tmp_path) as store:
        here, there = a_register(store), a_register(store)
        told: list[Mapping[str, Tenancy]] = []
        there.watch(told.append)
        async with background(here=here.follow(), there=there.follow()):
            await here.update("acme", to(value=5.0), actor="ada", missing=True)
            await seen(there, "acme", value=5.0)
            assert told[-1]["acme"].terms.value == 5.0
            mortal_redis.kill()
            with pytest.raises(StoreUnavailable):
                await here.update("acme", to(value=6.0), actor="ada")
            await asyncio.sleep(0.5)  # twice as long as between two looks
            assert there.terms["acme"].value == 5.0
            mortal_redis.start()
            async with asyncio.timeout(5.0):
                while True:
                    try:
                        await here.update("acme", to(value=7.0), actor="ada")
                        break
                    except StoreUnavailable:
                        await asyncio.sleep(0.05)
            await seen(there, "acme", value=7.0)


async def test_a_damaged_row_leaves_that_tenant_alone_with_its_last_terms(register: Register, store: Store, redis_url: str) -> None:
    await register.create("acme", {"value": 5.0}, actor="ada")
    with redis.Redis.from_url(redis_url) as client, capture_logs() as logs:
        client.hset(rows_key("tenants"), "acme", b'{"terms": {"floor": 7}}')
        client.hset(rows_key("tenants"), "filed", b"\xff")
        client.hset(rows_key("tenants"), "new", b"{}")
        for value in (1.0, 2.0):  # twice: it is reported once
            await register.update("other", to(value=value), actor="ada", missing=True)
    assert register.terms["acme"].value == 5.0
    assert register.terms["filed"] == FILE["filed"]
    assert register.terms["other"].value == 2.0
    assert "new" not in register.terms
    assert sorted(one["tenant"] for one in logs if one["event"] == "tenant_damaged") == ["acme", "filed", "new"]
    await register.update("acme", to(value=8.0), actor="ada")  # a write mends it
    assert register.terms["acme"].value == 8.0
    fresh = a_register(store)
    await fresh.look()
    assert fresh.terms["acme"].value == 8.0


async def test_a_lost_answer_is_no_lost_update(register: Register, store: Store) -> None:
    """The client's library sends a script again when the answer did not come: the second time counts as the first."""
    rows, line = register._rows, Change(at=0.0, actor="ada", tenant="acme", action="created")
    assert await rows.put("acme", b"", b"one", line)
    assert await rows.put("acme", b"", b"one", line)
    assert not await rows.put("acme", b"", b"two", line)
    assert len(await trail(store)) == 1


async def test_the_trail_is_told_in_pages(register: Register, store: Store) -> None:
    for i in range(7):
        await register.update("acme" if i % 2 else "other", to(value=float(i)), actor="ada", missing=True)
    found, last = await changes(store, "acme", 2, "")
    assert [json.loads(one.fields[0].new) for one in found] == [5.0, 3.0]
    rest, end = await changes(store, "acme", 2, last)
    assert [json.loads(one.fields[0].new) for one in rest] == [1.0]
    assert end == ""


NAMES = st.sampled_from(["filed", "acme", "b"])
TERMS = st.fixed_dictionaries({}, optional={"value": st.sampled_from([1.0, 2.0]), "floor": st.just(0.5), "per_day": st.sampled_from([5, 6])})
STEPS = st.lists(st.tuples(st.sampled_from(["create", "update", "delete"]), NAMES, TERMS), max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_any_sequence_of_changes_ends_as_a_dictionary_would(redis_url: str, tmp_path: Path, steps: list[tuple[str, str, dict[str, Any]]]) -> None:
    asyncio.run(_as_a_dictionary(redis_url, tmp_path, steps))


async def _as_a_dictionary(redis_url: str, tmp_path: Path, steps: list[tuple[str, str, dict[str, Any]]]) -> None:
    stored: dict[str, dict[str, Any]] = {}
    lines = 0
    async with open_redis(redis_url, tmp_path) as store:
        await store.client.flushall()
        register = a_register(store)
        for kind, name, terms in steps:
            before = stored.get(name, FILE[name].model_dump(exclude_unset=True, mode="json") if name in FILE else None)
            after = terms if kind == "create" else (before or {}) | terms
            refused = (kind == "create" and before is not None) or (kind != "create" and before is None) or (kind == "delete" and name not in stored)
            refused |= kind != "delete" and "value" in after and "floor" in after
            try:
                if kind == "delete":
                    await register.delete(name, actor="a")
                elif kind == "create":
                    await register.create(name, terms, actor="a")
                else:
                    await register.update(name, lambda old, terms=terms: old | terms, actor="a")
            except (UnknownTenant, TenantExists, ConfiguredTenant, InvalidTerms):
                assert refused
                continue
            assert not refused
            lines += kind == "delete" or stored.get(name) != after
            if kind == "delete":
                del stored[name]
            else:
                stored[name] = after
        fresh = a_register(store)
        await fresh.look()
        expected = FILE | {name: TenantSettings(**terms) for name, terms in stored.items()}
        assert register.terms == fresh.terms == expected
        assert len(await trail(store)) == lines


def test_terms_have_every_knob() -> None:
    assert set(Knobs.__dataclass_fields__) <= set(TenantSettings.model_fields)
