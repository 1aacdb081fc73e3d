"""WorkerService: an executor of this process, for routers elsewhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from rheostat.v1 import worker_service_pb2 as pb
from rheostat.v1.worker_service_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server

from router.errors import InvalidQuery
from router.types import Budget, Evidence, Outcome, Plan, Query, Usage
from workers.executor import LocalExecutor
from workers.outlast import outlast
from workers.pool import Pool
from workers.strategies import strategies
from workers.verifiers import verifiers
from workers.wire import event_to_pb, order_from_pb

SERVICE = pb.DESCRIPTOR.services_by_name["WorkerService"].full_name
MARGIN = 0.1  # seconds, but at most a tenth of what is left, kept back for bringing the outcome home

_Context = grpc.aio.ServicerContext[pb.ExecuteRequest, pb.ExecuteResponse]


class WorkerService(WorkerServiceServicer):
    """Runs plans for callers."""

    def __init__(self, executor: LocalExecutor) -> None:
        self._executor = executor
        self._running: dict[str, asyncio.Task[Outcome]] = {}

    async def Execute(self, request: pb.ExecuteRequest, context: _Context) -> None:
        """Runs a plan, sending charges as they arise and then the outcome."""
        charges = _Charges()
        execution = asyncio.create_task(self._run(request, context.time_remaining(), charges))
        self._running[request.execution_id] = execution
        try:
            while (charge := await charges.next()) is not None:
                await context.write(event_to_pb(charge))
            await asyncio.wait([execution])
            if not execution.cancelled():
                await context.write(event_to_pb(execution.result()))
        finally:
            execution.cancel()
            await outlast(execution)
            self._running.pop(request.execution_id, None)

    def stop(self, execution_id: str) -> bool:
        """Cancel an execution; whether it ran here."""
        if running := self._running.get(execution_id):
            running.cancel()
        return running is not None

    async def StopExecution(
        self, request: pb.StopExecutionRequest, context: grpc.aio.ServicerContext[pb.StopExecutionRequest, pb.StopExecutionResponse]
    ) -> pb.StopExecutionResponse:
        """Cancels an execution; its stream goes on to its last charge."""
        self.stop(request.execution_id)
        return pb.StopExecutionResponse()

    async def Describe(
        self, request: pb.DescribeRequest, context: grpc.aio.ServicerContext[pb.DescribeRequest, pb.DescribeResponse]
    ) -> pb.DescribeResponse:
        """Tells what this worker serves."""
        return pb.DescribeResponse(
            pools=[_described(name, pool) for name, pool in self._executor.pools.items()],
            strategies=strategies.describe(),
            verifiers=verifiers.describe(),
        )

    async def _run(self, request: pb.ExecuteRequest, left: float | None, charges: "_Charges") -> Outcome:
        deadline = float("inf") if left is None else self._executor.clock() + left - min(MARGIN, left / 10)
        try:
            return await self._executor.execute(*_order(request, deadline), charges)
        finally:
            charges.end()


@dataclass(slots=True)
class _Charges:
    """The meter of one execution: what is on its way to the caller, as one charge, since what ends together would be many messages."""

    _waiting: Usage | None = None
    _ended: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def charge(self, usage: Usage) -> None:
        """See `Meter.charge`."""
        self._waiting = usage if self._waiting is None else self._waiting + usage
        self._changed.set()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._changed.set()

    async def next(self) -> Usage | None:
        """What was charged since the last one; None at the end."""
        while self._waiting is None and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        charge, self._waiting = self._waiting, None
        return charge


class WorkerServer:
    """A server bound to `address`, such as `unix:/path` or `127.0.0.1:0`; `port` is the one bound, if it is not a Unix socket.

    `interceptors` surround every call. Raises RuntimeError when the address cannot be bound.
    """

    def __init__(self, executor: LocalExecutor, address: str, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> None:
        self._server = grpc.aio.server(interceptors=interceptors)
        self._health = health.aio.HealthServicer()
        add_WorkerServiceServicer_to_server(WorkerService(executor), self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.port = self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Take calls, and say so."""
        await self._server.start()
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)

    async def serve_until(self, stop: asyncio.Event, grace: float) -> None:
        """Serve until `stop`; then say that it ends, and give running calls `grace` seconds."""
        try:
            await stop.wait()
            await self._health.enter_graceful_shutdown()
        finally:
            await self._server.stop(grace)


def _described(name: str, pool: Pool) -> pb.Pool:
    turnstile = pool.turnstile
    load = {"slots": turnstile.permits, "running": turnstile.taken, "waiting": turnstile.waiting} if turnstile else {}
    return pb.Pool(name=name, model=pool.model, capabilities=sorted(pool.capabilities), **load)


def _order(request: pb.ExecuteRequest, deadline: float) -> tuple[Query, Plan, Evidence, Budget]:
    try:
        return order_from_pb(request, deadline)
    except (KeyError, ValueError) as error:
        raise InvalidQuery(f"the order holds a value that is not known here: {error}") from error
