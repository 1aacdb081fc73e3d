"""What went wrong, in OpenAI's shape: their clients raise their own errors for it, and try again only where that may help."""

import math
from http import HTTPStatus
from typing import Any

import grpc
import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.errors import InvalidQuery, RouterError
from router.openai.telling import Failed, Fault
from router.redaction import masked
from router.web.refusal import HTTP, error_from

log = structlog.get_logger("rheostat.http")
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}
_FAULT = "server_error"
_PATIENCE = 60.0  # seconds: who is to wait for longer is not to try again by itself
STATUSES = (*sorted(_KINDS.keys() - {409}), 413, 415, 500)
"""Those that a caller may see."""


def fault_of(error: RouterError, param: str | None = None) -> Failed:
    """As the body of a response, or an event of a stream."""
    kind = "insufficient_quota" if error.reason == "BUDGET_EXHAUSTED" else _KINDS.get(HTTP.get(error.code, 500), _FAULT)
    param = param or error.metadata.get("field")
    return Failed(error=Fault(message=masked(error.message), type=kind, param=param, code=error.reason))


def response_of(error: RouterError, *, param: str | None = None, status: int | None = None) -> Response:
    """With how long to wait, where trying again may help, and with a word to clients that would try again where it may not."""
    wait = error.retry_after
    headers = {"x-should-retry": "true" if wait is not None and wait <= _PATIENCE else "false"}
    if wait is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait)))
    if error.code == "UNAUTHENTICATED":
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(fault_of(error, param).model_dump(), status or HTTP.get(error.code, 500), headers)


def _refused(error: RouterError, *, param: str | None = None, status: int | None = None) -> Response:
    """With a line of its own: the service, which has one for every call, never heard of it."""
    response = response_of(error, param=param, status=status)
    log.info("request_refused", status=response.status_code, reason=error.reason)
    return response


async def on_rpc_error(_: Request, error: Exception) -> Response:
    """The service refused, or failed."""
    assert isinstance(error, grpc.aio.AioRpcError)
    return response_of(error_from(error))


async def on_router_error(_: Request, error: Exception) -> Response:
    """What was asked was refused at the door already."""
    assert isinstance(error, RouterError)
    return _refused(error)


async def on_invalid(_: Request, error: Exception) -> Response:
    """What was asked is not in order."""
    assert isinstance(error, ValidationError)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(step) for step in first["loc"] if step not in ("whole", "parts"))
    message = {
        "none_required": "this is not offered here: leave it out",
        "extra_forbidden": "there is no such field",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))
    return _refused(InvalidQuery(f"{param}: {message}" if param else message), param=param or None)


async def on_http_error(_: Request, error: Exception) -> Response:
    """No such page, no such method, too much, of the wrong kind."""
    assert isinstance(error, HTTPException)
    response = _refused(InvalidQuery(error.detail or HTTPStatus(error.status_code).phrase), status=error.status_code)
    response.headers.update(error.headers or {})
    return response


async def on_bug(_: Request, error: Exception) -> Response:
    """It is logged, and its text stays here."""
    log.error("request_failed", exc_info=error)
    return response_of(RouterError("internal error"))


HANDLERS: dict[Any, Any] = {
    grpc.aio.AioRpcError: on_rpc_error,
    RouterError: on_router_error,
    ValidationError: on_invalid,
    HTTPException: on_http_error,
    Exception: on_bug,
}
"""By what is raised."""
