"""What surrounds every call of our services: span, canonical line and histogram; inside them errors as statuses; inside these gate and validation.

Streams are sent with `context.write`, not yielded: so a cancellation always reaches the code that is at work, and what it holds is let go before the
call ends.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc_status import rpc_status
from opentelemetry import trace

from router.access.gate import Gate
from router.access.roles import OPEN
from router.errors import InvalidQuery, RouterError
from router.status import refusal, status_of
from router.telemetry import Line, Telemetry, trace_id
from router.telemetry.line import lined

Context = grpc.aio.ServicerContext[Message, Message]
Request = TypeVar("Request")
Response = TypeVar("Response")

_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})  # those that are the server's
_CONSTANT = frozenset({"rheostat.v1.WorkerService/Describe"})  # asked several times a second
_log = structlog.get_logger("rheostat.access")


class Interceptor(grpc.aio.ServerInterceptor):
    """Surrounds every call of the package `rheostat`, unary or answered by a stream; the others only have to pass the gate.

    Without a gate everybody may call: a worker's clients are ours.
    """

    def __init__(self, telemetry: Telemetry, gate: Gate | None = None) -> None:
        self._telemetry = telemetry
        self._gate = gate
        self._surrounded: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}  # handlers by method, which never change

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Request, Response] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Request, Response] | None":
        """The handler, surrounded."""
        method = handler_call_details.method.removeprefix("/")
        if (known := self._surrounded.get(method)) is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if not method.startswith("rheostat."):
            return self._kept(method, handler)
        # The stubs type behaviours as those of the threaded server.
        behaviour = cast(Callable[[Message, Context], Awaitable[Message | None]], handler.unary_stream or handler.unary_unary)

        # Read here and not by gRPC, which calls bytes that are no message an error of the server's.
        read = cast(Callable[[bytes], Message], handler.request_deserializer)

        async def call(body: bytes, context: Context) -> Message | None:
            with lined() as line, self._observed(method, context, line):
                try:
                    if self._gate:
                        self._gate.admit(method, context)
                    request = _read(read, body)
                    protovalidate.validate(request)
                    return await behaviour(request, context)
                except grpc.aio.AbortError:
                    raise
                except grpc.aio.InternalError as error:  # what a write raises when the client went meanwhile
                    raise asyncio.CancelledError from error
                except Exception as error:  # the outermost boundary: whatever went wrong becomes a status
                    return await context.abort_with_status(rpc_status.to_status(self._refused(method, error, line)))

        make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        surrounded: grpc.RpcMethodHandler[Any, Any] = make(call, None, handler.response_serializer)
        self._surrounded[method] = surrounded
        return surrounded

    def _refused(self, method: str, error: Exception, line: Line) -> status_pb2.Status:
        status, line.ending = _status(method, error)
        self._telemetry.rejected(line.ending)
        return status

    def _kept(self, method: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> "grpc.RpcMethodHandler[Any, Any]":
        """Health, which is everybody's, as it is; reflection, and what else may come, behind the gate."""
        if self._gate is None or method in OPEN:
            return handler
        # The stubs type behaviours as those of the threaded server.
        gate, behaviour = self._gate, cast(Callable[[AsyncIterator[Message], Context], AsyncIterator[Message]], handler.stream_stream)

        async def call(requests: AsyncIterator[Message], context: Context) -> AsyncIterator[Message]:
            try:
                gate.admit(method, context)
            except RouterError as error:
                await context.abort_with_status(rpc_status.to_status(status_of(error)))
            async for response in behaviour(requests, context):
                yield response

        return grpc.stream_stream_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)

    @contextmanager
    def _observed(self, method: str, context: Context, line: Line) -> Iterator[None]:
        """The span, the line and the observations. The line has what the service bound, tenant and decision id; never a prompt."""
        started, code = time.perf_counter(), "UNKNOWN"
        with self._telemetry.serving(method, context.invocation_metadata() or ()) as span:
            try:
                yield
                code = "OK"
            except grpc.aio.AbortError:
                code = context.code().name
                raise
            except asyncio.CancelledError:
                code = "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
                raise
            finally:
                seconds = time.perf_counter() - started
                span.set_attribute("rpc.response.status_code", code)
                if code in _FAULTS:
                    span.set_status(trace.StatusCode.ERROR)
                self._telemetry.called(method, code, seconds)
                if line.tenant:
                    line.ending = line.ending or code
                    self._telemetry.answered(line, seconds)
                level = logging.DEBUG if method in _CONSTANT else logging.INFO
                if _log.is_enabled_for(level):
                    _log.log(level, "call_served", method=method, code=code, ms=round(seconds * 1e3, 1), trace_id=trace_id(), **line.facts())


def _read(read: Callable[[bytes], Message], body: bytes) -> Message:
    try:
        return read(body)
    except DecodeError as error:
        raise InvalidQuery("the request is no message of this call") from error


def _status(method: str, error: Exception) -> tuple[status_pb2.Status, str]:
    """The rich status of an error, and its reason; a bug is logged, and its text stays here."""
    if isinstance(error, RouterError):
        return status_of(error), error.reason
    if isinstance(error, protovalidate.ValidationError):
        return refusal(map(_violation, error.violations)), InvalidQuery.reason
    _log.error("call_failed", method=method, exc_info=error)
    return status_of(RouterError("internal error")), RouterError.reason


def _violation(violation: protovalidate.Violation) -> tuple[str, str]:
    path = violation.proto.field.elements if violation.proto.field else ()
    return ".".join(_step(element) for element in path), violation.proto.message


def _step(element: protovalidate.FieldPathElementPb) -> str:
    return element.field_name if element.subscript is None else f"{element.field_name}[{element.subscript.value}]"
