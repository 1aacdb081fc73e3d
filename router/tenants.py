"""Tenants: who asks, on what terms."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from router.errors import UnknownTenant
from router.types import Knobs


class Retention(StrEnum):
    """What the decision log keeps of a tenant's prompts."""

    NONE = "none"
    HASH = "hash"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Micro-dollars a tenant may spend in each minute and each day (UTC); None is no limit."""

    minute: int | None = None
    day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant's standing terms."""

    id: str
    knobs: Knobs = field(default_factory=Knobs)
    limits: Limits = Limits()
    retention: Retention = Retention.HASH

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
    """The tenants that are configured."""

    def __init__(self, tenants: Mapping[str, Tenant]) -> None:
        self._tenants = dict(tenants)

    def __getitem__(self, tenant: str) -> Tenant:
        """The tenant of this id; raises UnknownTenant."""
        try:
            return self._tenants[tenant]
        except KeyError:
            raise UnknownTenant(f"no tenant {tenant!r} is configured", tenant=tenant) from None

    def limits(self, tenant: str) -> Limits:
        """What this tenant may spend; raises UnknownTenant."""
        return self[tenant].limits
