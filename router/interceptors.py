"""What surrounds every call of our services: span, canonical line and histogram; inside them errors as statuses; inside these gate and validation.

Streams are sent with `context.write`, not yielded: so a cancellation always reaches the code that is at work, and what it holds is let go before the
call ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import grpc
import protovalidate
import structlog
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status
from opentelemetry import trace

from router.access.gate import Gate
from router.access.roles import OPEN
from router.errors import RouterError
from router.status import refusal, status_of
from router.telemetry import Telemetry

Context = grpc.aio.ServicerContext[Message, Message]
Request = TypeVar("Request")
Response = TypeVar("Response")

_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})  # those that are the server's
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

        async def call(request: Message, context: Context) -> Message | None:
            with self._observed(method, context):
                try:
                    if self._gate:
                        self._gate.admit(method, context)
                    protovalidate.validate(request)
                    return await behaviour(request, context)
                except grpc.aio.AbortError:
                    raise
                except grpc.aio.InternalError as error:  # what a write raises when the client went meanwhile
                    raise asyncio.CancelledError from error
                except Exception as error:  # the outermost boundary: whatever went wrong becomes a status
                    return await context.abort_with_status(rpc_status.to_status(_status(method, error)))

        make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        surrounded = make(call, handler.request_deserializer, handler.response_serializer)
        self._surrounded[method] = surrounded
        return surrounded

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
    def _observed(self, method: str, context: Context) -> Iterator[None]:
        """The span, the line and the observation. The line has what the service bound, tenant and decision id; never a prompt."""
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
                _log.info("call_served", method=method, code=code, ms=round(seconds * 1e3, 1))


def _status(method: str, error: Exception) -> status_pb2.Status:
    """The rich status of an error; a bug is logged, and its text stays here."""
    if isinstance(error, RouterError):
        return status_of(error)
    if isinstance(error, protovalidate.ValidationError):
        return refusal(map(_violation, error.violations))
    _log.error("call_failed", method=method, exc_info=error)
    return status_of(RouterError("internal error"))


def _violation(violation: protovalidate.Violation) -> tuple[str, str]:
    path = violation.proto.field.elements if violation.proto.field else ()
    return ".".join(_step(element) for element in path), violation.proto.message


def _step(element: protovalidate.FieldPathElementPb) -> str:
    return element.field_name if element.subscript is None else f"{element.field_name}[{element.subscript.value}]"
