"""Answers: every way in which one that was paid for comes to be given again, behind one door."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import blake2b
from uuid import uuid4

from router.background import background
from router.cache.flights import Flights
from router.cache.identity import catalogue_version, keys
from router.cache.likeness import Likeness
from router.cache.recent import Recent
from router.cache.section import CacheSettings
from router.cache.shelf import Shelves
from router.cache.visit import Room, Visit
from router.store import Store
from router.telemetry import Telemetry
from router.tenants import Retention, Tenants
from router.types import Plan, Query

_MIB = 2**20
_SECONDS = 1.0  # between two looks at what other routers have added; a third of a lease or less


class Answers:
    """See ports.Cache. `models` says what stands behind the pools."""

    def __init__(self, store: Store, settings: CacheSettings, tenants: Tenants, telemetry: Telemetry, models: str = "") -> None:
        self._tenants = tenants
        self._models = models
        self._catalogue: Mapping[str, Plan] = {}
        self._version = ""
        self._room = Room(
            shelves=Shelves(store, (settings.megabytes * _MIB, settings.request_megabytes * _MIB)),
            recent=Recent(),
            flights=Flights(),
            likeness=Likeness(store, settings.questions, settings.seconds, settings.check_share),
            telemetry=telemetry,
            leases={},
            owner=uuid4().hex,
            lease_seconds=settings.lease_seconds,
            answer_seconds=settings.seconds,
            evidence_seconds=settings.evidence_seconds,
            request_seconds=settings.request_seconds,
        )
        telemetry.watch_cache(lambda: self._room.shelves.bytes)

    def visit(self, query: Query, catalogue: Mapping[str, Plan], predictor: str) -> Visit:
        """See ports.Cache."""
        tenant = self._tenants[query.tenant]
        keeps = query.knobs.cache and tenant.retention is not Retention.NONE
        shares = query.knobs.cache and query.seed is None
        request = blake2b(f"{query.tenant}\0{query.id}".encode(), digest_size=20).hexdigest() if query.body else ""
        known = keys(query, tenant, self._versioned(catalogue), predictor)
        return Visit(self._room, query, tenant, known, request, keeps=keeps, shares=shares)

    async def follow(self) -> None:
        """Hold on to what is held, and take in what other routers have added."""
        await self._room.shelves.renew(dict(self._room.leases), self._room.lease_seconds)
        await self._room.likeness.follow()

    def _versioned(self, catalogue: Mapping[str, Plan]) -> str:
        if catalogue is not self._catalogue:
            self._catalogue, self._version = catalogue, catalogue_version(catalogue, self._models)
        return self._version


@asynccontextmanager
async def open_answers(store: Store, settings: CacheSettings, tenants: Tenants, telemetry: Telemetry, models: str = "") -> AsyncIterator[Answers]:
    """The cache, following what other routers add."""
    answers = Answers(store, settings, tenants, telemetry, models)

    async def followed() -> None:
        while True:
            await asyncio.sleep(min(_SECONDS, settings.lease_seconds / 3))
            await answers.follow()

    async with background(cache=followed()):
        yield answers
