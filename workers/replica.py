"""A replica: a worker that Ray Serve's gRPC ingress calls in place of a gRPC server of its own. A call may come to any replica of a deployment."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from rheostat.v1 import usage_pb2
from rheostat.v1 import worker_service_pb2 as pb

from workers.executor import LocalExecutor
from workers.outlast import outlast
from workers.scaling import LOAD, TOKENS
from workers.server import SERVICE, WorkerService

Everybody = Callable[..., Awaitable[Sequence[object]]]
Load = tuple[int, int, int]  # of a pool: samples it draws at once, samples being drawn, samples that wait

_LOOK = 0.25  # seconds between two looks at what the other replicas do; a router looks as often
_LOOKS = 100  # that a replica is asked for in a second, at most
_SILENT = 2.0  # seconds until they are asked again when they did not answer: then what they last said counts


class RayContext(Protocol):
    """Ray Serve's context of a call, which travels with the call's first message, and back with every message."""

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """What the caller sent beside its message."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """See gRPC's context."""

    def set_details(self, details: str) -> None:
        """See gRPC's context."""

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, Any]]) -> None:
        """See gRPC's context."""


class Replica:
    """WorkerService and health, for this and all other replicas. `everybody` asks them, by the name of a method here; this one too.

    Made by `replica`.
    """

    def __init__(self, executor: LocalExecutor, service: WorkerService, handlers: Mapping[str, Callable[..., Any]], everybody: Everybody) -> None:
        self._executor = executor
        self._service = service
        self._handlers = handlers
        self._everybody = everybody
        self._loads: Mapping[str, Load] = {}
        self._look_at = 0.0
        self._looking = asyncio.Lock()

    async def execute(self, request: pb.ExecuteRequest, context: RayContext) -> AsyncIterator[pb.ExecuteResponse]:
        """See WorkerService; what it sends."""
        call = _Call(context, request.seconds if request.HasField("seconds") else None)
        running = asyncio.create_task(self._handlers["Execute"](request, call))
        running.add_done_callback(lambda _: call.sent.put_nowait(None))
        try:
            while (message := await call.sent.get()) is not None:
                yield message
            if call.refused:  # Ray passes details of a status on with a message, or not at all: a charge of nothing
                yield pb.ExecuteResponse(charge=usage_pb2.Usage())
        finally:
            running.cancel()
            await outlast(running)

    async def stop_execution(self, request: pb.StopExecutionRequest, context: RayContext) -> pb.StopExecutionResponse:
        """See WorkerService; the execution may run on any replica."""
        if not self.stop(request.execution_id):
            await self._everybody("stop", request.execution_id)
        return pb.StopExecutionResponse()

    async def describe(self, request: pb.DescribeRequest, context: RayContext) -> pb.DescribeResponse:
        """See WorkerService; how busy all replicas are together."""
        described: pb.DescribeResponse = await self._handlers["Describe"](request, _Call(context))
        await self._look()
        for pool in described.pools:
            pool.slots, pool.running, pool.waiting = self._loads.get(pool.name, (pool.slots, pool.running, pool.waiting))
        return described

    async def check(self, request: health_pb2.HealthCheckRequest, context: RayContext) -> health_pb2.HealthCheckResponse:
        """See gRPC's health; a replica that is not well is replaced, and not called."""
        if request.service in {"", SERVICE}:
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        context.set_code(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse()

    def stop(self, execution_id: str) -> bool:
        """Stop an execution; whether it ran here."""
        return self._service.stop(execution_id)

    def loads(self) -> dict[str, Load]:
        """Of this replica's pools with a limit."""
        limited = {name: pool.turnstile for name, pool in self._executor.pools.items() if pool.turnstile}
        return {name: (one.permits, one.taken, one.waiting) for name, one in limited.items()}

    def backlog(self) -> dict[str, float]:
        """What `workers.scaling` goes by."""
        pools = self._executor.pools.values()
        loads = [pool.outstanding.samples / pool.turnstile.permits for pool in pools if pool.turnstile]
        return {LOAD: max(loads, default=0.0), TOKENS: sum(pool.outstanding.tokens for pool in pools)}

    async def _look(self) -> None:
        """Ask everybody how busy they are, unless that was done a moment ago; the more there are, the less often."""
        async with self._looking:
            if time.monotonic() < self._look_at:
                return
            told = [one for one in await self._everybody("loads") if isinstance(one, dict)]
            self._look_at = time.monotonic() + (max(_LOOK, len(told) / _LOOKS) if told else _SILENT)
            self._loads = _added(told) if told else self._loads


class _Call:
    """A call of Ray's as a context of gRPC's, as far as our services and what surrounds them look at it. `seconds` is how long it may take."""

    def __init__(self, context: RayContext, seconds: float | None = None) -> None:
        self._context = context
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._code = grpc.StatusCode.OK
        self.sent: asyncio.Queue[Any] = asyncio.Queue()  # None is the end

    @property
    def refused(self) -> bool:
        """Whether it ended with a status that is not OK."""
        return self._code is not grpc.StatusCode.OK

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._context.invocation_metadata()

    def time_remaining(self) -> float | None:
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    def code(self) -> grpc.StatusCode:
        return self._code

    async def write(self, message: Message) -> None:
        self.sent.put_nowait(message)

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        self._code = status.code
        self._context.set_code(status.code)
        self._context.set_details(status.details)
        self._context.set_trailing_metadata(list(status.trailing_metadata))
        raise grpc.aio.AbortError


class _Details(grpc.HandlerCallDetails):
    """What an interceptor is told of a call before there is one."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


async def replica(executor: LocalExecutor, interceptor: grpc.aio.ServerInterceptor, everybody: Everybody) -> Replica:
    """A replica whose calls the interceptor surrounds, as those of a worker with a server of its own."""
    service = WorkerService(executor)
    surrounded = {
        "Execute": await _surrounded(interceptor, "Execute", grpc.unary_stream_rpc_method_handler(service.Execute, _same)),
        "Describe": await _surrounded(interceptor, "Describe", grpc.unary_unary_rpc_method_handler(service.Describe, _same)),
    }
    return Replica(executor, service, surrounded, everybody)


async def _surrounded(interceptor: grpc.aio.ServerInterceptor, method: str, handler: Any) -> Callable[..., Any]:  # noqa: ANN401 - stubs know no aio handlers
    async def given(_: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401
        return handler

    surrounded: Any = await interceptor.intercept_service(given, _Details(f"/{SERVICE}/{method}"))
    behaviour: Callable[..., Any] = surrounded.unary_stream or surrounded.unary_unary
    return behaviour


def _same(message: Any) -> Any:  # noqa: ANN401 - gRPC would give bytes
    """Ray has read it."""
    return message


def _added(loads: Sequence[Mapping[str, Load]]) -> dict[str, Load]:
    total: dict[str, Load] = {}
    for one in loads:
        for name, (slots, running, waiting) in one.items():
            so_far = total.get(name, (0, 0, 0))
            total[name] = (so_far[0] + slots, so_far[1] + running, so_far[2] + waiting)
    return total
