"""The one table of who may call what. A call that does not stand in it is refused to everybody."""

from enum import StrEnum


class Role(StrEnum):
    """What the bearer of credentials may do."""

    CALLER = "caller"
    OPERATOR = "operator"
    ADMIN = "admin"


_ADMIN = frozenset({Role.ADMIN})
_OPERATOR = frozenset({Role.OPERATOR, Role.ADMIN})
_ANY = frozenset(Role)

CALLS = {
    "rheostat.v1.RouterService/PlanQuery": _ANY,
    "rheostat.v1.RouterService/PlanBatch": _ANY,
    "rheostat.v1.RouterService/AnswerQuery": _ANY,
    "rheostat.v1.RouterService/ReportOutcome": _ANY,
    "rheostat.v1.RouterService/ExplainDecision": _ANY,
    "rheostat.v1.RouterService/EvaluatePolicy": _OPERATOR,
    "rheostat.v1.RouterService/PreviewKnob": _OPERATOR,
    "rheostat.v1.OperationsService/ListDecisions": _OPERATOR,
    "rheostat.v1.OperationsService/SummarizeDecisions": _OPERATOR,
    "rheostat.v1.OperationsService/GetStanding": _OPERATOR,
    "rheostat.v1.OperationsService/GetFleet": _OPERATOR,
    "rheostat.v1.OperationsService/BeginPromotion": _ADMIN,
    "rheostat.v1.OperationsService/StopPromotion": _ADMIN,
    "rheostat.v1.TenantService/GetTenant": _OPERATOR,
    "rheostat.v1.TenantService/ListTenants": _ADMIN,
    "rheostat.v1.TenantService/CreateTenant": _ADMIN,
    "rheostat.v1.TenantService/UpdateTenant": _ADMIN,
    "rheostat.v1.TenantService/DeleteTenant": _ADMIN,
    "rheostat.v1.TenantService/ListTenantChanges": _ADMIN,
    "rheostat.v1.AccessService/CreateApiKey": _ADMIN,
    "rheostat.v1.AccessService/ListApiKeys": _ADMIN,
    "rheostat.v1.AccessService/RotateApiKey": _ADMIN,
    "rheostat.v1.AccessService/RevokeApiKey": _ADMIN,
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ADMIN,
}
"""Roles by call, of which one is enough. All but an administrator may call only for the tenant of their credentials."""

OPEN = frozenset({"grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"})
"""Calls that need no credentials."""
