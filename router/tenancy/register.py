"""The register of tenants: the terms in force, which are those stored in Redis and else those of the settings file."""

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import structlog
from pydantic import ValidationError
from pydantic_core import to_json

from router.background import background
from router.errors import ConfiguredTenant, EtagMismatch, InvalidTerms, StoreUnavailable, TenantExists, UnknownTenant
from router.rows import Change, FieldChange, Rows
from router.section import Section
from router.settings import Settings
from router.store import Store, attached
from router.tenants import Tenant
from router.terms import TenantSettings, unknown_names

log = structlog.get_logger("rheostat.tenancy")
_TRIES = 32  # to be the next to write, among those who change one tenant

Offered = tuple[Collection[str], Collection[str]]  # names of plans and of policies
Watcher = Callable[[Mapping[str, "Tenancy"]], None]
Given = dict[str, Any]  # terms by name, as they were stated: those that were not have the defaults


class _Row(Section):
    """A tenant as it is stored; times are Unix seconds."""

    terms: TenantSettings
    created: float
    updated: float
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """One tenant's terms and where they come from. `created` and `updated`, in Unix seconds, are 0 for those of the file."""

    name: str
    terms: TenantSettings
    etag: str
    stored: bool = False
    created: float = 0.0
    updated: float = 0.0
    tenant: Tenant = field(init=False, compare=False)
    """The terms as the router's noun: made once, as there may be thousands of tenants and one that changes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tenant", self.terms.tenant(self.name))

    @property
    def given(self) -> Given:
        """The terms that were stated."""
        return self.terms.model_dump(mode="json", exclude_unset=True)


class Register:
    """All tenancies that this router knows, in `tenancies`. `offered` gives the plans and the policies that terms may name."""

    def __init__(self, store: Store, configured: Mapping[str, TenantSettings], offered: Callable[[], Offered]) -> None:
        self._configured = {name: Tenancy(name=name, terms=terms, etag=_digest(terms)) for name, terms in configured.items()}
        self._offered = offered
        self._watchers: list[Watcher] = []
        self._rows_seen: Mapping[str, bytes] = {}
        self._rows = Rows(store, "tenants", self._see)
        self.tenancies: Mapping[str, Tenancy] = self._configured
        self.look, self.follow = self._rows.look, self._rows.follow

    @property
    def terms(self) -> dict[str, TenantSettings]:
        """Those in force, by tenant."""
        return {name: one.terms for name, one in self.tenancies.items()}

    def watch(self, changed: Watcher) -> None:
        """Have the tenancies in force told to this one, now and whenever they change."""
        self._watchers.append(changed)
        changed(self.tenancies)

    def __getitem__(self, name: str) -> Tenancy:
        """The tenancy of this name; raises UnknownTenant."""
        try:
            return self.tenancies[name]
        except KeyError:
            raise _unknown(name) from None

    async def create(self, name: str, given: Given, *, actor: str, dry: bool = False) -> Tenancy:
        """Store a tenant that there is not yet. Raises TenantExists, and what `update` raises."""
        return await self._write(name, lambda _: given, actor=actor, dry=dry, fresh=True)

    async def update(
        self, name: str, change: Callable[[Given], Given], *, actor: str, etag: str = "", missing: bool = False, dry: bool = False
    ) -> Tenancy:
        """Store what `change` makes of the stated terms; with `missing`, of a new tenant's too; with `dry`, only say what would come of it.

        Raises UnknownTenant, InvalidTerms, and EtagMismatch where the etag is another by now.
        """
        return await self._write(name, change, actor=actor, etag=etag, missing=missing, dry=dry)

    async def delete(self, name: str, *, actor: str, etag: str = "") -> None:
        """Remove what is stored. Raises UnknownTenant, EtagMismatch, and ConfiguredTenant for one that only the file has."""
        for _ in range(_TRIES):
            was = await self._rows.one(name)
            old = self._expected(name, was, etag)
            if old is None:
                raise _unknown(name)
            if not was:
                raise ConfiguredTenant(f"tenant {name!r} stands in the settings file of the service: remove it there", tenant=name)
            if await self._rows.put(name, was, b"", _change("deleted", actor, name, old.given, {})):
                return await self._rows.look()
        raise _busy(name)

    async def _write(
        self,
        name: str,
        change: Callable[[Given], Given],
        *,
        actor: str,
        etag: str = "",
        missing: bool = False,
        dry: bool = False,
        fresh: bool = False,
    ) -> Tenancy:
        for _ in range(_TRIES):
            was = await self._rows.one(name)
            old = self._expected(name, was, etag)
            if fresh and old:
                raise TenantExists(f"there is a tenant {name!r} already: update it", tenant=name)
            if not (old or fresh or missing):
                raise _unknown(name)
            before = old.given if old else {}
            new = self._next(name, old, change(dict(before)))
            if dry or (old and old.stored and new.given == before):
                return new if dry or not old else old
            if await self._rows.put(name, was, _row(new), _change("updated" if old else "created", actor, name, before, new.given)):
                await self._rows.look()
                return new
        raise _busy(name)

    def _next(self, name: str, old: Tenancy | None, given: Given) -> Tenancy:
        """Raises InvalidTerms with every field that is not in order."""
        try:
            terms = TenantSettings(**given)
        except ValidationError as error:
            raise InvalidTerms(violations=[(str(one["loc"][0]) if one["loc"] else "", one["msg"]) for one in error.errors()], tenant=name) from error
        if odd := list(unknown_names(terms, *self._offered())):
            raise InvalidTerms(violations=odd, tenant=name)
        now = time.time()
        return Tenancy(name=name, terms=terms, etag=uuid4().hex, stored=True, created=(old and old.created) or now, updated=now)

    def _expected(self, name: str, row: bytes, etag: str) -> Tenancy | None:
        """What is in force while this row is stored, if it has the etag that is asked for."""
        old = self._read(name, row) if row else self._configured.get(name)
        if etag and (old is None or old.etag != etag):
            raise EtagMismatch(f"tenant {name!r} was changed meanwhile: get it again, and repeat the change", tenant=name)
        return old

    def _see(self, rows: Mapping[str, bytes]) -> None:
        stored = {name: one for name, row in rows.items() if (one := self._read(name, row))}
        self._rows_seen, self.tenancies = rows, self._configured | stored
        for changed in self._watchers:
            changed(self.tenancies)

    def _read(self, name: str, row: bytes) -> Tenancy | None:
        """What it was, where the row is as it was. A row that is damaged leaves this tenant alone with its last terms; it is reported once."""
        if self._rows_seen.get(name) == row:
            return self.tenancies.get(name)
        try:
            found = _Row.model_validate_json(row)
        except ValidationError as error:
            log.error("tenant_damaged", tenant=name, error=str(error))
            return self.tenancies.get(name)
        return Tenancy(name=name, stored=True, **{part: getattr(found, part) for part in _Row.model_fields})


@asynccontextmanager
async def open_register(store: Store, settings: Settings, offered: Callable[[], Offered]) -> AsyncIterator[Register]:
    """The tenants in force, followed while this is open; if Redis is away when it begins, those of the settings file until it is back."""
    register = Register(store, settings.tenants, offered)
    with suppress(StoreUnavailable):
        await register.look()
    async with background(tenants_follow=register.follow()):
        yield register


async def registered(store: Store, settings: Settings) -> Register:
    """As it is now, for a command beside the service."""
    register = Register(store, settings.tenants, lambda: (settings.plans, settings.policies))
    await register.look()
    return register


async def with_stored(settings: Settings) -> Settings:
    """The settings, with the tenants that are stored, if the Redis of a service with these settings can be reached."""
    async with attached(settings.redis_url, settings.data / "redis") as store:
        with suppress(StoreUnavailable):
            return settings.model_copy(update={"tenants": (await registered(store, settings)).terms})
    return settings


def _row(one: Tenancy) -> bytes:
    return to_json({"terms": one.given, "created": one.created, "updated": one.updated, "etag": one.etag})


def _digest(terms: TenantSettings) -> str:
    return hashlib.blake2b(terms.model_dump_json().encode(), digest_size=16).hexdigest()


def _change(action: Any, actor: str, tenant: str, old: Given, new: Given) -> Change:  # noqa: ANN401 - one of the actions
    fields = [
        FieldChange(field=name, old=_json(old, name), new=_json(new, name)) for name in TenantSettings.model_fields if old.get(name) != new.get(name)
    ]
    return Change(at=time.time(), actor=actor, tenant=tenant, action=action, fields=tuple(fields))


def _json(given: Given, name: str) -> str:
    return to_json(given[name]).decode() if name in given else ""


def _unknown(name: str) -> UnknownTenant:
    return UnknownTenant(f"there is no tenant {name!r}", tenant=name)


def _busy(name: str) -> EtagMismatch:
    return EtagMismatch(f"tenant {name!r} is being changed by many at once: try again", tenant=name)
