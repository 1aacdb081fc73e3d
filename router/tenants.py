"""Tenants: who asks, on what terms."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from router.errors import UnknownTenant
from router.types import Knobs, Objective


class Retention(StrEnum):
    """What the decision log keeps of a tenant's prompts."""

    NONE = "none"
    HASH = "hash"
    FULL = "full"


class Priority(StrEnum):
    """How much of what is scarce a tenant gets, beside others: four times as much at each step."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def weight(self) -> float:
        """Its share of what is scarce, beside that of others."""
        return {Priority.LOW: 0.25, Priority.NORMAL: 1.0, Priority.HIGH: 4.0}[self]


class CacheScope(StrEnum):
    """Who may be given a tenant's answers again: the tenant, or every tenant that declares its answers public too."""

    TENANT = "tenant"
    PUBLIC = "public"


class Unit(StrEnum):
    """What a window counts: what is spent, requests that begin, or requests that are under way at once."""

    COST = "micro-dollars"
    TOKENS = "tokens"
    REQUESTS = "requests"
    OPEN = "requests at once"


class Window(NamedTuple):
    """At most `limit` of a unit in every `seconds`, counted from the beginning of 1970 (UTC); None: it is only counted.

    No `seconds` are a month of the calendar; requests that are under way at once have no window, and 0 there.
    """

    name: str
    seconds: float | None
    limit: int | None = None
    unit: Unit = Unit.COST


DAY = Window("day", 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant's standing terms. With an objective, what it learns takes the place of the knob `value`."""

    id: str
    knobs: Knobs = field(default_factory=Knobs)
    objective: Objective | None = None
    windows: tuple[Window, ...] = (DAY,)
    retention: Retention = Retention.HASH
    priority: Priority = Priority.NORMAL
    cache_scope: CacheScope = CacheScope.TENANT
    semantic_risk: float | None = None

    @property
    def counts_tokens(self) -> bool:
        """Whether its tokens are limited, so that only plans with a ceiling on theirs may be bought."""
        return any(window.unit is Unit.TOKENS for window in self.windows)

    def retain(self, prompt: str) -> str:
        """What may be kept of a prompt: nothing, a hash that is this tenant's own, or the text."""
        match self.retention:
            case Retention.NONE:
                return ""
            case Retention.HASH:
                return hashlib.blake2b(f"{self.id}\0{prompt}".encode(), digest_size=16).hexdigest()
            case Retention.FULL:
                return prompt


class Tenants:
    """The tenants there are now. They come and go with `swap`; what one of them may spend is still told when it is gone, to whom it owes."""

    def __init__(self, tenants: Mapping[str, Tenant]) -> None:
        self._tenants = dict(tenants)
        self._gone: dict[str, Tenant] = {}

    def __getitem__(self, tenant: str) -> Tenant:
        """The tenant of this id; raises UnknownTenant."""
        try:
            return self._tenants[tenant]
        except KeyError:
            raise UnknownTenant(f"there is no tenant {tenant!r}", tenant=tenant) from None

    def __iter__(self) -> Iterator[Tenant]:
        """All of them."""
        return iter(self._tenants.values())

    def swap(self, tenants: Mapping[str, Tenant]) -> None:
        """Have these from now on."""
        self._gone = {name: one for name, one in (self._gone | self._tenants).items() if name not in tenants}
        self._tenants = dict(tenants)

    def windows(self, tenant: str) -> tuple[Window, ...]:
        """What this tenant may spend; raises UnknownTenant for one that never was here."""
        if gone := self._gone.get(tenant):
            return gone.windows
        return self[tenant].windows
