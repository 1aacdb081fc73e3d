"""What can go wrong, on purpose.

    RouterError               INTERNAL            INTERNAL
      |- InvalidQuery         INVALID_ARGUMENT    INVALID_QUERY
      |- ContradictoryKnobs   INVALID_ARGUMENT    CONTRADICTORY_KNOBS
      |- RequestIdReused      INVALID_ARGUMENT    REQUEST_ID_REUSED
      |- UnknownPlan          NOT_FOUND           UNKNOWN_PLAN
      |- UnknownPolicy        NOT_FOUND           UNKNOWN_POLICY
      |- UnknownTenant        NOT_FOUND           UNKNOWN_TENANT
      |- UnknownDecision      NOT_FOUND           UNKNOWN_DECISION
      |- UnknownKey           NOT_FOUND           UNKNOWN_KEY
      |- InvalidTerms         INVALID_ARGUMENT    INVALID_TERMS
      |- TenantExists         ALREADY_EXISTS      TENANT_EXISTS
      |- ConfiguredTenant     FAILED_PRECONDITION CONFIGURED_TENANT
      |- EtagMismatch         ABORTED             ETAG_MISMATCH
      |- MissingCredentials   UNAUTHENTICATED     MISSING_CREDENTIALS
      |- InvalidCredentials   UNAUTHENTICATED     INVALID_CREDENTIALS
      |- ExpiredCredentials   UNAUTHENTICATED     EXPIRED_CREDENTIALS
      |- RoleLacking          PERMISSION_DENIED   ROLE_LACKING
      |- ForeignTenant        PERMISSION_DENIED   FOREIGN_TENANT
      |- BudgetExhausted      RESOURCE_EXHAUSTED  BUDGET_EXHAUSTED
      |- RateLimited          RESOURCE_EXHAUSTED  RATE_LIMITED
      |- Overloaded           UNAVAILABLE         OVERLOADED
      |- StoreUnavailable     UNAVAILABLE         STORE_UNAVAILABLE
      |- JournalUnavailable   UNAVAILABLE         JOURNAL_UNAVAILABLE
      |- LogUnavailable       UNAVAILABLE         LOG_UNAVAILABLE
      |- BackendUnavailable   UNAVAILABLE         BACKEND_UNAVAILABLE
      |- DeadlineExceeded     DEADLINE_EXCEEDED   DEADLINE_EXCEEDED
      |- BadArtifact          FAILED_PRECONDITION BAD_ARTIFACT
      |- NoGuarantee          FAILED_PRECONDITION NO_GUARANTEE
      |- Unreachable          FAILED_PRECONDITION UNREACHABLE_FLOOR
      '- NoSupport            FAILED_PRECONDITION NO_SUPPORT

Codes are the names of gRPC's; `reason` goes into `google.rpc.ErrorInfo` with the metadata given as keywords.
"""

from collections.abc import Iterable
from typing import ClassVar


class RouterError(Exception):
    """Base of all: a gRPC code, a machine-readable reason, what the caller can do, a message for people and metadata for machines."""

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"
    remedy: ClassVar[str] = "Whoever runs the service finds `call_failed` in its log, with what was raised."
    retry_after: float | None = None  # seconds; set where trying again is safe and may help

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = {name: str(value) for name, value in metadata.items()}


class InvalidQuery(RouterError):
    """The request breaks a rule of the contract."""

    code, reason = "INVALID_ARGUMENT", "INVALID_QUERY"
    remedy = "Mend what the message names."


class ContradictoryKnobs(RouterError):
    """The request states a knob that the tenant's objective sets."""

    code, reason = "INVALID_ARGUMENT", "CONTRADICTORY_KNOBS"
    remedy = "Leave the value out of the request, or have the tenant's floor or cap removed."


class RequestIdReused(RouterError):
    """The id was given to another request before, within a day."""

    code, reason = "INVALID_ARGUMENT", "REQUEST_ID_REUSED"
    remedy = "Give every question an id of its own."


class UnknownPlan(RouterError):
    """No plan of this id is in the catalogue."""

    code, reason = "NOT_FOUND", "UNKNOWN_PLAN"
    remedy = "Take one of the plans that `rheostat config show` has, or add it to the settings."


class UnknownPolicy(RouterError):
    """No policy of this name is configured."""

    code, reason = "NOT_FOUND", "UNKNOWN_POLICY"
    remedy = "Take one of the `policies` that `rheostat config show` has, or add it to the settings."


class UnknownTenant(RouterError):
    """No tenant of this id is configured."""

    code, reason = "NOT_FOUND", "UNKNOWN_TENANT"
    remedy = "`rheostat tenants list` has those there are; `rheostat tenants set NAME field=value` makes one."


class UnknownDecision(RouterError):
    """No decision of this id is in the journal, or it is another tenant's."""

    code, reason = "NOT_FOUND", "UNKNOWN_DECISION"
    remedy = "Take the id from an answer, and name the tenant that asked."


class UnknownKey(RouterError):
    """No API key has this id."""

    code, reason = "NOT_FOUND", "UNKNOWN_KEY"
    remedy = "`rheostat keys list` has those there are."


class InvalidTerms(RouterError):
    """A tenant's terms, or what names them, are not in order; `violations` are pairs of field path and description."""

    code, reason = "INVALID_ARGUMENT", "INVALID_TERMS"
    remedy = "Mend the fields that the message names."

    def __init__(self, message: str = "", *, violations: Iterable[tuple[str, str]] = (), **metadata: object) -> None:
        self.violations = tuple(violations)
        super().__init__(message or "; ".join(f"{field}: {told}" for field, told in self.violations[:3]), **metadata)


class TenantExists(RouterError):
    """There is a tenant of this name already."""

    code, reason = "ALREADY_EXISTS", "TENANT_EXISTS"
    remedy = "Change it with UpdateTenant or `rheostat tenants set`."


class ConfiguredTenant(RouterError):
    """The tenant stands in the settings file, where alone it can be removed."""

    code, reason = "FAILED_PRECONDITION", "CONFIGURED_TENANT"
    remedy = "Remove it from the settings file."


class EtagMismatch(RouterError):
    """Somebody else changed it meanwhile."""

    code, reason = "ABORTED", "ETAG_MISMATCH"
    remedy = "Read it again, and make the change to what it is now."


class MissingCredentials(RouterError):
    """The call brings no credentials, and here they are asked for."""

    code, reason = "UNAUTHENTICATED", "MISSING_CREDENTIALS"
    remedy = "Send an API key or a token: `authorization: Bearer ...`, or RHEOSTAT_KEY for commands."


class InvalidCredentials(RouterError):
    """The call's credentials are not good here; what is wrong with them is not told."""

    code, reason = "UNAUTHENTICATED", "INVALID_CREDENTIALS"
    remedy = "Ask whoever runs the service for a key: `rheostat keys create`."

    def __init__(self, message: str = "these credentials are not accepted", **metadata: object) -> None:
        super().__init__(message, **metadata)


class ExpiredCredentials(RouterError):
    """The call's credentials were good, and have ended."""

    code, reason = "UNAUTHENTICATED", "EXPIRED_CREDENTIALS"
    remedy = "Get new ones: `rheostat keys rotate`, or a new token from its issuer."

    def __init__(self, message: str = "these credentials have expired: get new ones", **metadata: object) -> None:
        super().__init__(message, **metadata)


class RoleLacking(RouterError):
    """The credentials do not allow this call."""

    code, reason = "PERMISSION_DENIED", "ROLE_LACKING"
    remedy = "Ask whoever runs the service for a key with the role that the message names."


class ForeignTenant(RouterError):
    """The call names a tenant that is not its credentials'."""

    code, reason = "PERMISSION_DENIED", "FOREIGN_TENANT"
    remedy = "Leave the tenant out, or use its own credentials."


class BudgetExhausted(RouterError):
    """The tenant, or the request, cannot pay for any more; `retry_after` seconds there may be money again."""

    code, reason = "RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED"
    remedy = "Wait until there is money again, or have the budget raised: `rheostat tenants set NAME per_day=...`."

    def __init__(self, message: str, *, retry_after: float | None = None, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after = retry_after


class RateLimited(RouterError):
    """The tenant, or all together, ask too often or too much at once; `retry_after` seconds there may be room again."""

    code, reason = "RESOURCE_EXHAUSTED", "RATE_LIMITED"
    remedy = "Wait as long as the error says, and ask less at once."

    def __init__(self, message: str, *, retry_after: float | None = None, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after = retry_after


class Overloaded(RouterError):
    """Every permit is taken, and so is every place in the queue."""

    code, reason, retry_after = "UNAVAILABLE", "OVERLOADED", 0.5
    remedy = "Try again a little later; if it goes on, there are too few routers or workers."

    def __init__(self, message: str, *, retry_after: float = 0.5, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after = retry_after


class StoreUnavailable(RouterError):
    """Redis cannot be reached."""

    code, reason, retry_after = "UNAVAILABLE", "STORE_UNAVAILABLE", 1.0
    remedy = "Try again a little later; whoever runs the service looks after Redis."


class JournalUnavailable(RouterError):
    """The decision log cannot be written."""

    code, reason, retry_after = "UNAVAILABLE", "JOURNAL_UNAVAILABLE", 5.0
    remedy = "Try again a little later; whoever runs the service looks at the disk of the data folder."


class LogUnavailable(RouterError):
    """The storage that a log is to be read from does not answer, or refuses."""

    code, reason, retry_after = "UNAVAILABLE", "LOG_UNAVAILABLE", 5.0
    remedy = "Look at the address and the credentials of the storage, and try again."


class BackendUnavailable(RouterError):
    """A worker pool cannot be reached, or failed."""

    code, reason, retry_after = "UNAVAILABLE", "BACKEND_UNAVAILABLE", 1.0
    remedy = "Try again a little later; whoever runs the service looks after the workers of the pool."


class DeadlineExceeded(RouterError):
    """Time ran out before any answer was in hand."""

    code, reason = "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"
    remedy = "Give it more time, or allow cheaper plans."


class BadArtifact(RouterError):
    """A model artifact on disk is damaged or does not fit this service."""

    code, reason = "FAILED_PRECONDITION", "BAD_ARTIFACT"
    remedy = "Fit it again with `rheostat retrain`, or put the one of a backup in its place."


class NoGuarantee(RouterError):
    """The risk asked for cannot be promised with what has been learned so far."""

    code, reason = "FAILED_PRECONDITION", "NO_GUARANTEE"
    remedy = "Report outcomes and run `rheostat retrain`, or ask for a higher risk."


class Unreachable(RouterError):
    """No plan is good enough for the quality that the tenant's objective demands."""

    code, reason = "FAILED_PRECONDITION", "UNREACHABLE_FLOOR"
    remedy = "Lower the floor to what the message says is reachable, or add better plans."


class NoSupport(RouterError):
    """The log holds too little of what a policy would do for the policy to be judged by it."""

    code, reason = "FAILED_PRECONDITION", "NO_SUPPORT"
    remedy = "Log more of what the policy would do: raise `exploration`, rate each stage, and judge again."


def error_named(reason: str, message: str, **metadata: object) -> RouterError:
    """The error with this reason; a RouterError for one that is not known here."""
    kinds = {kind.reason: kind for kind in RouterError.__subclasses__()}
    return kinds.get(reason, RouterError)(message, **metadata)
