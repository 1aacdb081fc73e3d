"""Who is calling, and for whom that one may act."""

from contextvars import ContextVar
from dataclasses import dataclass

from structlog.contextvars import bind_contextvars

from router.access.roles import Role
from router.errors import ForeignTenant

_NOBODY_SAYS = "default"  # whose call it is, where neither the call nor its credentials say


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of credentials. `subject` is fit for logs: never a secret."""

    subject: str
    roles: frozenset[Role]
    tenant: str = ""

    def acting_for(self, tenant: str) -> str:
        """The tenant of a call that names this one, or with "" none; raises ForeignTenant."""
        if Role.ADMIN in self.roles:
            return tenant or self.tenant or _NOBODY_SAYS
        if not self.tenant or tenant not in ("", self.tenant):
            raise ForeignTenant("these credentials are another tenant's: leave the tenant out, or name your own", tenant=tenant)
        return self.tenant


ANYONE = Principal("anyone", frozenset(Role))
"""Where no credentials are asked for."""

_bearer: ContextVar[Principal] = ContextVar("bearer", default=ANYONE)


def bearer() -> Principal:
    """Of the call that is being served."""
    return _bearer.get()


def serve_as(principal: Principal) -> None:
    """From here on, what this task serves is this one's call."""
    _bearer.set(principal)


def acting_for(tenant: str) -> str:
    """The tenant of the call that is being served, which names this one or, with "", none; raises ForeignTenant."""
    return bearer().acting_for(tenant)


def noted(tenant: str) -> str:
    """As `acting_for`; it stands in the call's line, even when the tenant is unknown, or not the caller's."""
    bind_contextvars(tenant=tenant)
    found = acting_for(tenant)
    bind_contextvars(tenant=found)
    return found
