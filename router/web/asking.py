"""What comes with a request: who asks, and a body of JSON."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from router.errors import InvalidCredentials

_MOST_BYTES = 4 * 2**20  # of a request, as gRPC's door has it
_PASSED_ON = ("authorization", "traceparent", "tracestate")
Metadata = tuple[tuple[str, str], ...]


def metadata_of(request: Request) -> Metadata:
    """What the service is told of who asks, and of the trace that the request belongs to; raises InvalidCredentials for what gRPC cannot carry."""
    found = tuple((name, value) for name in _PASSED_ON for value in request.headers.getlist(name))
    if any(not (value.isascii() and value.isprintable()) for _, value in found):
        raise InvalidCredentials
    return found


async def json_body(request: Request) -> bytes:
    """The body; raises HTTPException for one that is not said to be JSON, or too long.

    Pages of other sites can have a browser send a body of any other kind without asking us first.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON, with `content-type: application/json`")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, f"a request has at most {_MOST_BYTES} bytes")
    return bytes(body)
