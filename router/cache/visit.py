"""A visit: one request at the cache, from its beginning to its end."""

import asyncio
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, TypeVar

from router.cache import entries
from router.cache.flights import Flights, reused
from router.cache.identity import Keys
from router.cache.likeness import Likeness
from router.cache.recent import Recent
from router.cache.shelf import ANSWERS, REQUESTS, Entry, Shelves
from router.errors import DeadlineExceeded
from router.store import cache_key
from router.telemetry import Telemetry
from router.tenants import Retention, Tenant
from router.types import Answer, CacheHit, Features, Final, Outcome, Query, Receipt, Usage

T = TypeVar("T")
Bought = tuple[tuple[str, Outcome], ...]
_RETRYING = 600.0  # seconds
_CONCLUSIVE = ("stopped", "stages", "abstained")
_SOONEST, _LATEST = 0.01, 0.25  # seconds between two looks at what another router is about to bring


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What every visit has to do with. `leases` are all that this router holds; `owner` is its name in them."""

    shelves: Shelves
    recent: Recent
    flights: Flights
    likeness: Likeness
    telemetry: Telemetry
    leases: dict[str, str]
    owner: str
    lease_seconds: float
    answer_seconds: float
    evidence_seconds: float
    request_seconds: float


class Visit:
    """See ports.Visit. `keeps`: whether answers may be found and kept; `shares`: whether other requests for the same may wait for this one."""

    def __init__(self, room: Room, query: Query, tenant: Tenant, keys: Keys, request: str, *, keeps: bool, shares: bool) -> None:
        self.found: Final | None = None
        self.bought: Bought = ()
        self.seeks = bool(keeps and keys.alike and query.seed is None and query.knobs.risk >= 1)
        self._room, self._query, self._tenant, self._keys = room, query, tenant, keys
        self._answer = cache_key("answer", keys.answer) if keeps else ""
        self._evidence = cache_key("evidence", keys.question) if keeps and query.seed is None else ""
        self._request = cache_key("request", request) if request else ""
        self._flights = {name: query.body if name == self._request else "" for name in (self._request, keys.answer if shares else "") if name}
        self._leading: list[str] = []
        self._leases: dict[str, str] = {}
        self._saved = 0  # of what was bought
        self._absent: list[str] = []  # of what was looked for; what is there but cannot be read is as good as absent, and never comes
        self._pause = _SOONEST
        self._compared: tuple[Answer, float] | None = None

    async def __aenter__(self) -> Self:
        try:
            with self._room.telemetry.step("cache"):
                await self._enter()
        except BaseException:
            await self._leave({}, None)
            raise
        self._saved = len(self.bought)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.found or self._answer:
            self._room.telemetry.looked_up(self.found.receipt.hit.value if self.found else "miss")
        await self._leave(self._evidence_entry(), None)

    async def near(self, features: Features) -> Final | None:
        """See ports.Visit."""
        near = self._room.likeness.nearest(self._keys.scope, self._keys.alike, features)
        treatment = self._room.likeness.treatment(self._tenant, features, near) if near else "leave"
        if near is None or treatment == "leave":
            return None
        (stored,) = await self._room.shelves.read([cache_key("answer", near.answer)])
        if (answer := _decoded(entries.answer_from_bytes, stored)) is None:
            return None
        if treatment == "check":
            self._compared = (answer, near.similarity)
            return None
        return self._by_likeness(answer)

    async def keep(self, final: Final, features: Features | None = None) -> None:
        """See ports.Visit."""
        kept, shared = self._evidence_entry(), _shared(final)
        if self._request:
            kept[self._request] = Entry(REQUESTS, entries.final_to_bytes(final, self._query.body), self._request_seconds)
        if self._answer and shared:
            kept[self._answer] = Entry(ANSWERS, entries.answer_to_bytes(shared), self._room.answer_seconds)
        await self._leave(kept, final)
        if features is not None and self.seeks and not final.receipt.cached:
            await self._compare(final, features)
            if shared:
                await self._room.likeness.add(self._keys.scope, self._keys.alike, self._keys.answer, features)

    async def _enter(self) -> None:
        """Look; and where nothing is found wait for who is about to bring it, or be the one who does."""
        if not self._request and (known := self._room.recent[self._answer]):
            self._find(known)
            return
        if self._recall(await self._read()) or not self._flights:
            return
        deadline = self._query.deadline
        try:
            async with asyncio.timeout_at(None if math.isinf(deadline) else deadline):
                while not await self._leads():
                    if self.found or self._recall(await self._read()):
                        return
        except TimeoutError as error:
            raise DeadlineExceeded("another request for the same answer had not brought it by the deadline") from error

    async def _leads(self) -> bool:
        """Whether this is the one to get the answer; False after waiting for another, so that it is worth looking again."""
        if await self._queued():
            return False
        wanted = {cache_key("lease", name): f"{self._room.owner} {body}" for name, body in self._flights.items()}
        claim = await self._room.shelves.claim(wanted, self._absent, self._room.lease_seconds)
        if claim.owner:
            await self._wait_for(claim.owner)
        if claim.owner or claim.made:
            return False
        self._leases = wanted
        self._room.leases.update(wanted)
        return True

    async def _queued(self) -> bool:
        """Take this request's places on this router, after those ahead; whether there were any."""
        waited = False
        for name, body in self._flights.items():
            if name in self._leading:
                continue
            waited |= self._room.flights.busy(name)
            if brought := await self._room.flights.join(name, body):
                self.found = _repeated(brought) if name == self._request else _given(brought.answer, CacheHit.JOINED)
                return True
            self._leading.append(name)
        return waited

    async def _wait_for(self, owner: str) -> None:
        """Another router is at it; raises RequestIdReused where it is another request of this id."""
        _, _, body = owner.partition(" ")
        if body and body != self._query.body:
            raise reused()
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LATEST)

    async def _read(self) -> list[bytes | None]:
        """What is stored of the request, the answer and the evidence."""
        keys = (self._request, self._answer, self._evidence)
        values = iter(await self._room.shelves.read([key for key in keys if key]))
        stored = [next(values) if key else None for key in keys]
        self._absent = [key for key, value in zip(keys[:2], stored, strict=False) if key and value is None]
        return stored

    def _recall(self, stored: list[bytes | None]) -> bool:
        """Whether an answer is among it; what was bought for the question is taken along."""
        request, answer, evidence = stored
        if ended := _decoded(entries.final_from_bytes, request):
            self.found, body = ended
            if body != self._query.body:
                raise reused()
        elif known := _decoded(entries.answer_from_bytes, answer):
            self._room.recent[self._answer] = known
            self._find(known)
        else:
            self.bought = _decoded(entries.evidence_from_bytes, evidence) or ()
        return self.found is not None

    def _find(self, known: Answer) -> None:
        self.found = _given(known, CacheHit.EXACT)
        self._room.shelves.touch(self._answer)

    def _by_likeness(self, answer: Answer) -> Final | None:
        """An answer that may be to another question is believed less by as much; None where that is too little for the tenant's bar."""
        believed = replace(answer, confidence=answer.confidence * (1 - (self._tenant.semantic_risk or 0.0)))
        if believed.confidence < self._query.knobs.abstain_below:
            return None
        self.found = _given(believed, CacheHit.SEMANTIC)
        return self.found

    async def _compare(self, final: Final, features: Features) -> None:
        """Where the answer was got to be compared: was the nearest question's the same? A withheld one is not."""
        if self._compared and final.ending in _CONCLUSIVE:
            answer, similarity = self._compared
            same = final.answer is not None and final.answer.answer == answer.answer
            self._room.telemetry.checked(same=same)
            await self._room.likeness.check(self._tenant, features, similarity, same=same)

    def _evidence_entry(self) -> dict[str, Entry]:
        """What is new of what was bought."""
        if not self._evidence or len(self.bought) == self._saved:
            return {}
        self._saved = len(self.bought)
        return {self._evidence: Entry(ANSWERS, entries.evidence_to_bytes(self.bought), self._room.evidence_seconds)}

    async def _leave(self, kept: dict[str, Entry], final: Final | None) -> None:
        """Keep these, and make way: for those who wait, with the final answer where there is one that they may have too."""
        leases, self._leases, leading, self._leading = self._leases, {}, self._leading, []
        for key in leases:
            self._room.leases.pop(key, None)
        kept = {key: entry for key, entry in kept.items() if len(entry.value) <= entries.LARGEST}
        try:
            if kept or leases:
                await self._room.shelves.put(kept, leases)
        finally:
            for name in leading:
                self._room.flights.land(name, final if name == self._request or (final and _shared(final)) else None)

    @property
    def _request_seconds(self) -> float:
        """A tenant of whom nothing is to be kept has its answers kept as long as somebody may be trying again, and no longer."""
        seconds = self._room.request_seconds
        return min(seconds, _RETRYING) if self._tenant.retention is Retention.NONE else seconds


def _shared(final: Final) -> Answer | None:
    """The answer that the next one who asks the same may have."""
    whole = final.ending in ("stopped", "stages") and not final.degraded and not final.receipt.cached
    return final.answer if whole else None


def _given(answer: Answer | None, hit: CacheHit) -> Final:
    """An answer that was paid for, to a request that has no decision of its own yet."""
    return Final(decision_id="", answer=answer, receipt=Receipt(usage=Usage(), hit=hit), ending="stopped")


def _repeated(final: Final) -> Final:
    return replace(final, receipt=replace(final.receipt, hit=CacheHit.REPEATED))


def _decoded(decode: Callable[[bytes], T], stored: bytes | None) -> T | None:
    """None for what is not there, and for what another version of this service has left there."""
    try:
        return None if stored is None else decode(stored)
    except (ValueError, TypeError, KeyError, zlib.error):
        return None
