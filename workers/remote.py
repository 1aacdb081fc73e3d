"""The executor of a worker elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import uuid4

import grpc
from rheostat.v1 import worker_service_pb2 as pb
from rheostat.v1.worker_service_pb2_grpc import WorkerServiceStub

from router.errors import BackendUnavailable, Overloaded, RouterError
from router.ports import Meter
from router.status import error_of
from router.telemetry import inject
from router.types import Budget, Evidence, Outcome, Plan, Query
from workers.account import Account
from workers.outlast import outlast
from workers.wire import event_from_pb, order_to_pb

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),  # a worker that was started again is found at once
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
_ANSWERING = 1.0  # seconds that a worker has to say how busy it is
_STOPPING = 1.5  # seconds that a worker has to stop an execution and tell its last charges


class Offer(NamedTuple):
    """One pool of a worker: its model, samples it can draw at once (0: no limit), and those that are drawn or wait."""

    model: str
    slots: int
    wanted: int


class Offers(NamedTuple):
    """What a worker says that it serves: pools by name, and strategies."""

    pools: Mapping[str, Offer]
    strategies: frozenset[str]

    @property
    def models(self) -> dict[str, str]:
        """Of each pool."""
        return {name: pool.model for name, pool in self.pools.items()}


class WorkerLost(BackendUnavailable):
    """A proxy answers, and the worker behind it that ran the plan is gone; another one may be there."""


class RemoteExecutor:
    """Runs plans on the worker at a gRPC address, reachable or not; see `Executor`. Cancelling waits until the worker has told what was spent."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = WorkerServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def execute(self, query: Query, plan: Plan, evidence: Evidence, budget: Budget, meter: Meter) -> Outcome:
        """See `Executor.execute`."""
        order = order_to_pb(query, plan, evidence, budget)
        order.execution_id = uuid4().hex
        left = query.deadline - time.monotonic()
        if left != float("inf"):
            order.seconds = max(0.0, left)
        call = self._stub.Execute(order, timeout=None if left == float("inf") else left, metadata=inject())
        # In its own task: to cancel a read is to cancel the call, and with it the last charges.
        reading = asyncio.create_task(_read(call, Account(plan, budget, meter)))
        try:
            await asyncio.wait([reading])
        except asyncio.CancelledError:
            await outlast(asyncio.create_task(self._stop(order.execution_id, reading)))
            raise
        if (outcome := reading.result()) is None:
            raise BackendUnavailable("the worker ended the execution without an outcome")
        return outcome

    @property
    def connected(self) -> bool:
        """Whether the worker has been reached; where it was not, trying begins."""
        return self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    async def offers(self) -> Offers:
        """What it serves; raises BackendUnavailable when it does not say within a second."""
        try:
            described = await self._stub.Describe(pb.DescribeRequest(), timeout=_ANSWERING)
        except grpc.aio.AioRpcError as failure:
            raise BackendUnavailable(f"the worker does not answer: {failure.code().name}") from failure
        pools = {pool.name: Offer(pool.model, pool.slots, pool.running + pool.waiting) for pool in described.pools}
        return Offers(pools, frozenset(described.strategies))

    async def close(self) -> None:
        """Leave the worker; what still runs there is cancelled."""
        await self._channel.close()

    async def _stop(self, execution_id: str, reading: "asyncio.Task[Outcome | None]") -> None:
        try:
            async with asyncio.timeout(_STOPPING):
                await self._stub.StopExecution(pb.StopExecutionRequest(execution_id=execution_id))
                await asyncio.wait([reading])
        except (TimeoutError, grpc.aio.AioRpcError):
            pass  # the worker cannot be reached: there is nobody to ask any more
        finally:
            reading.cancel()
            await outlast(reading)


async def _read(call: "grpc.aio.UnaryStreamCall[pb.ExecuteRequest, pb.ExecuteResponse]", account: Account) -> Outcome | None:
    """Pass charges on until the stream ends; the outcome, unless there was none."""
    try:
        async for response in call:
            event = event_from_pb(response)
            if isinstance(event, Outcome):
                return account.checked(event)
            account.charge(event)
    except grpc.aio.AioRpcError as failure:
        if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return account.cut("deadline")
        raise error_of(failure) or _unexplained(failure) from failure
    except (KeyError, ValueError) as error:
        raise BackendUnavailable(f"the worker told what is not known here: {error}") from error
    return None


def _unexplained(failure: grpc.aio.AioRpcError) -> RouterError:
    """What a proxy before the worker says, or gRPC itself."""
    if failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(f"too much waits for the workers already: {failure.details()}")
    if failure.code() is grpc.StatusCode.INTERNAL:  # a worker that is there would have said why
        return WorkerLost(f"the worker is lost: {failure.details()}")
    return BackendUnavailable(f"the worker failed: {failure.code().name}: {failure.details()}")


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[RemoteExecutor]:
    """The worker at a gRPC address, as long as it is needed."""
    executor = RemoteExecutor(address)
    try:
        yield executor
    finally:
        await executor.close()
