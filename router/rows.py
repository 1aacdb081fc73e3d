"""Rows that few write and every router follows: in Redis, versioned, and each change with its line in the audit trail."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import structlog
from pydantic import ValidationError

from router.errors import StoreUnavailable
from router.section import Section
from router.store import Store, changes_key, rows_key, rows_version_key

log = structlog.get_logger("rheostat.rows")
_LOOK = 0.25  # seconds between two looks at the version
_MOST = 100_000  # changes that are kept

# KEYS: rows, version, changes. ARGV: name, what it was ("" for nothing), what it is to be ("" for nothing), changes to keep, the change.
# A row that is as wanted was written by the same call, whose answer was lost: no two writes are alike.
_PUT = """
local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now == ARGV[3] then return 1 end
if now ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[4], '*', 'change', ARGV[5])
return 1
"""

# KEYS: version, rows.
_ALL = "return {redis.call('GET', KEYS[1]) or '', redis.call('HGETALL', KEYS[2])}"


class FieldChange(Section):
    """One field, as JSON, "" for nothing."""

    field: str
    old: str = ""
    new: str = ""


class Change(Section):
    """One line of the audit trail. `at` is in Unix seconds."""

    at: float
    actor: str
    tenant: str
    action: Literal["created", "updated", "deleted", "key created", "key rotated", "key revoked"]
    fields: tuple[FieldChange, ...] = ()


class Rows:
    """One kind of rows. `see` is given all of them whenever any has changed. Everything raises StoreUnavailable."""

    def __init__(self, store: Store, kind: str, see: Callable[[Mapping[str, bytes]], None]) -> None:
        self._store, self._see = store, see
        self._rows, self._version = rows_key(kind), rows_version_key(kind)
        self._seen: bytes | None = None
        self._looking = asyncio.Lock()
        self._alone = False

    @property
    def seen(self) -> bool:
        """Whether they were ever seen."""
        return self._seen is not None

    async def one(self, name: str) -> bytes:
        """As it is now; empty for none."""
        return cast(bytes, await self._store.ask(lambda redis: redis.hget(self._rows, name)) or b"")

    async def put(self, name: str, was: bytes, becomes: bytes, change: Change) -> bool:
        """Write a row, and the change, over what it was; false where it is that no longer. No two rows that are written may ever be the same."""
        script = self._store.client.register_script(_PUT)
        keys = [self._rows, self._version, changes_key()]
        return bool(await self._store.ask(lambda _: script(keys=keys, args=[name, was, becomes, _MOST, change.model_dump_json()])))

    async def look(self) -> None:
        """See what has changed."""
        async with self._looking:
            version = await self._store.ask(lambda redis: redis.get(self._version)) or b""
            if version != self._seen:
                script = self._store.client.register_script(_ALL)
                version, flat = await self._store.ask(lambda _: script(keys=[self._version, self._rows]))
                self._see({name.decode(): row for name, row in zip(flat[::2], flat[1::2], strict=True)})
                self._seen = version

    async def follow(self) -> None:
        """See changes, whoever made them, within a moment; while Redis is away, what was seen last goes on."""
        while True:
            try:
                await self.look()
                self._alone = False
            except StoreUnavailable as error:
                if not self._alone:
                    log.warning("rows_unknown", rows=self._rows, error=error.message)
                self._alone = True
            except Exception:  # whatever was wrong with these, the next are looked at
                log.exception("rows_not_seen", rows=self._rows)
            await asyncio.sleep(_LOOK)


async def changes(store: Store, tenant: str, size: int, before: str) -> tuple[list[Change], str]:
    """The audit trail, latest first: at most so many older than the line `before` ("" for the end), and the line to go on from, "" at the end."""
    found: list[Change] = []
    last = f"({before}" if before else "+"
    while True:
        lines: list[tuple[bytes, Any]] = await store.ask(lambda redis, last=last: redis.xrevrange(changes_key(), last, "-", count=1_000))  # type: ignore[misc]
        for line, fields in lines:
            change = _change(fields)
            if change and (not tenant or change.tenant == tenant):
                if len(found) == size:
                    return found, before
                found.append(change)
            before = line.decode()
        if len(lines) < 1_000:
            return found, ""
        last = f"({before}"


def _change(fields: Mapping[bytes, bytes]) -> Change | None:
    """A line that is damaged is no reason not to show the others."""
    try:
        return Change.model_validate_json(fields[b"change"])
    except (ValidationError, KeyError) as error:
        log.error("change_damaged", error=str(error))
        return None
