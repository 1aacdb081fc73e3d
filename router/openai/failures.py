"""What went wrong, in OpenAI's shape: their clients raise their own errors for it, and try again only where that may help."""

import math
from http import HTTPStatus

import grpc
import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.errors import DeadlineExceeded, InvalidQuery, Overloaded, RouterError
from router.openai.telling import Failed, Fault
from router.redaction import masked
from router.status import error_of

log = structlog.get_logger("rheostat.http")
_KINDS = {
    "INVALID_ARGUMENT": (400, "invalid_request_error"),
    "FAILED_PRECONDITION": (400, "invalid_request_error"),
    "UNAUTHENTICATED": (401, "authentication_error"),
    "PERMISSION_DENIED": (403, "permission_error"),
    "NOT_FOUND": (404, "invalid_request_error"),
    "ALREADY_EXISTS": (409, "invalid_request_error"),
    "ABORTED": (409, "invalid_request_error"),
    "RESOURCE_EXHAUSTED": (429, "rate_limit_error"),
    "UNAVAILABLE": (503, "service_unavailable_error"),
    "DEADLINE_EXCEEDED": (504, "timeout_error"),
}
_FAULT = (500, "server_error")
_PATIENCE = 60.0  # seconds: who is to wait for longer is not to try again by itself
CLIENT_GONE = 499
STATUSES = (*sorted({status for status, _ in _KINDS.values()} - {409}), 413, 415, 500)
"""Those that a caller may see."""


def http_status(code: str) -> int:
    """The status of HTTP for a code of gRPC's."""
    return _KINDS.get(code, _FAULT)[0]


def fault_of(error: RouterError, param: str | None = None) -> Failed:
    """As the body of a response, or an event of a stream."""
    kind = "insufficient_quota" if error.reason == "BUDGET_EXHAUSTED" else _KINDS.get(error.code, _FAULT)[1]
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
    return JSONResponse(fault_of(error, param).model_dump(), status or http_status(error.code), headers)


def error_from(failure: grpc.aio.AioRpcError) -> RouterError:
    """The error that the service told of; for a status of gRPC's own, what it means here."""
    if error := error_of(failure):
        return error
    match failure.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded("the deadline passed before an answer was there")
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.RESOURCE_EXHAUSTED | grpc.StatusCode.CANCELLED:
            return Overloaded("this router takes no more requests just now")
    return RouterError("internal error")


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
