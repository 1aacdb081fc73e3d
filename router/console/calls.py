"""Every unary call of the contract as JSON over HTTP, as Connect has it: `POST /rheostat.v1.Service/Method`, with a body of protobuf's JSON."""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import grpc
import structlog
from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from rheostat.v1 import access_service_pb2, operations_service_pb2, router_service_pb2, tenant_service_pb2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.errors import InvalidQuery, RouterError
from router.redaction import masked
from router.web.asking import json_body, metadata_of
from router.web.presence import while_there
from router.web.refusal import HTTP, error_from

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for file in (router_service_pb2, tenant_service_pb2, operations_service_pb2, access_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)
_TIMEOUT = 120.0  # seconds, where the caller does not say
_LARGE = 8_192  # bytes of a message from which on another thread writes its JSON
log = structlog.get_logger("rheostat.http")


class _Call(NamedTuple):
    """A unary call, and the message that it takes."""

    ask: Any
    takes: type[Message]


class Calls:
    """Has our own service, at the other end of the channel, do what is asked; it decides who may."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._calls = dict(_unary(channel))

    def routes(self) -> list[Route]:
        """One for all calls."""
        return [Route("/rheostat.v1.{service}/{method}", self.called, methods=["POST"])]

    async def called(self, request: Request) -> Response:
        """The response of the call, or the error in Connect's shape with the reason beside it."""
        try:
            call = self._calls.get(f"rheostat.v1.{request.path_params['service']}/{request.path_params['method']}")
            if call is None:
                raise HTTPException(404, "there is no such call that is answered once: see the reference of the API")
            asked, metadata = _read(await json_body(request), call.takes), metadata_of(request)
            return await _told(await while_there(request, call.ask(asked, metadata=metadata, timeout=_patience(request))))
        except grpc.aio.AioRpcError as failure:
            return _refused(error_from(failure))
        except RouterError as error:
            log.info("request_refused", reason=error.reason)
            return _refused(error)
        except HTTPException as error:
            log.info("request_refused", status=error.status_code)
            return _refused(InvalidQuery(error.detail), error.status_code)


def _unary(channel: grpc.aio.Channel) -> Iterator[tuple[str, _Call]]:
    for service in SERVICES:
        for method in service.methods:
            if not method.server_streaming:
                takes, gives = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
                name = f"{service.full_name}/{method.name}"
                yield name, _Call(channel.unary_unary(f"/{name}", takes.SerializeToString, gives.FromString), takes)


def _read(body: bytes, kind: type[Message]) -> Message:
    try:
        found = json.loads(body or b"{}")
        if not isinstance(found, dict):
            raise json_format.ParseError("an object is wanted")
        return json_format.ParseDict(found, kind())
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise InvalidQuery(f"the body is no {kind.DESCRIPTOR.name} in protobuf's JSON: {error}") from error


def _patience(request: Request) -> float:
    """Seconds, as Connect's header has it, in milliseconds; raises InvalidQuery."""
    told = request.headers.get("connect-timeout-ms", "")
    if told and not (told.isascii() and told.isdigit() and len(told) <= 10):
        raise InvalidQuery("connect-timeout-ms: milliseconds, in at most ten digits")
    return int(told) / 1_000 if told else _TIMEOUT


async def _told(message: Message) -> Response:
    """What is large is written elsewhere: protobuf takes milliseconds for it, and calls would wait."""
    write = asyncio.to_thread(_json, message) if message.ByteSize() > _LARGE else None
    return Response(await write if write else _json(message), media_type="application/json")


def _json(message: Message) -> bytes:
    """Numbers that are 0 are said too; what is absent is absent."""
    return json.dumps(json_format.MessageToDict(message, always_print_fields_with_no_presence=True), separators=(",", ":")).encode()


def _refused(error: RouterError, status: int = 0) -> Response:
    status = status or HTTP.get(error.code, 500)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    told: Mapping[str, object] = {
        "code": "unimplemented" if status == 404 and isinstance(error, InvalidQuery) else error.code.lower(),
        "message": masked(error.message),
        "reason": error.reason,
        "metadata": error.metadata,
    }
    return Response(json.dumps(told), status, headers, "application/json")
