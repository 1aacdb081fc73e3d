"""What gRPC's statuses are in HTTP, and what stands behind those that are not the service's own."""

import grpc

from router.errors import DeadlineExceeded, Overloaded, RouterError
from router.status import error_of

HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""By gRPC code; any other is 500."""


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
