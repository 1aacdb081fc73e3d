"""Workers as a Ray Serve application: `serve run router.on_ray:application`, or `deploy/ray/serve.yaml`. Only Ray imports this."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from grpc_health.v1 import health_pb2
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from rheostat.v1 import worker_service_pb2 as pb

from router.interceptors import Interceptor
from router.logs import write_logs
from router.settings import Settings
from router.work import broken, executing
from workers.replica import Load, RayContext, Replica, replica

_ANSWERING = 0.4  # seconds that all replicas have to answer; a router waits a second


class Worker:
    """One replica. The methods that begin with a capital are those of the gRPC services that Serve's ingress is given."""

    _replica: Replica

    async def __init__(self, settings: str) -> None:  # type: ignore[misc]  # Ray awaits it
        write_logs()
        self._stack = AsyncExitStack()
        self._executor = await self._stack.enter_async_context(executing(Settings.model_validate_json(settings)))
        self._replica = await replica(self._executor, Interceptor(self._executor.telemetry), self._everybody)
        context = serve.get_replica_context()
        self._all = serve.get_deployment_handle(context.deployment, context.app_name)
        await self._everybody("loads")  # a handle asks the head for what it needs when it is first used, and waits; the head may be lost later

    async def Execute(self, request: pb.ExecuteRequest, grpc_context: RayContext) -> AsyncIterator[pb.ExecuteResponse]:
        """See WorkerService."""
        async for response in self._replica.execute(request, grpc_context):
            yield response

    async def StopExecution(self, request: pb.StopExecutionRequest, grpc_context: RayContext) -> pb.StopExecutionResponse:
        """See WorkerService."""
        return await self._replica.stop_execution(request, grpc_context)

    async def Describe(self, request: pb.DescribeRequest, grpc_context: RayContext) -> pb.DescribeResponse:
        """See WorkerService."""
        return await self._replica.describe(request, grpc_context)

    async def Check(self, request: health_pb2.HealthCheckRequest, grpc_context: RayContext) -> health_pb2.HealthCheckResponse:
        """See gRPC's health."""
        return await self._replica.check(request, grpc_context)

    async def stop(self, execution_id: str) -> bool:
        """Stop an execution; whether it ran here. Other replicas ask."""
        return self._replica.stop(execution_id)

    async def loads(self) -> dict[str, Load]:
        """How busy this replica is. Other replicas ask."""
        return self._replica.loads()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What Serve tells `workers.scaling`."""
        return self._replica.backlog()

    async def check_health(self) -> None:
        """Serve replaces a replica where this raises."""
        if failed := broken(self._executor.pools):
            raise RuntimeError(f"pools that have failed for good: {', '.join(failed)}")

    async def __del__(self) -> None:  # Ray awaits it
        await self._stack.aclose()

    async def _everybody(self, method: str, *arguments: object) -> Sequence[object]:
        """What all replicas answer, this one among them; those that do not are left out."""
        with suppress(TimeoutError, RayError, RayServeException):
            answers: list[Any] = await self._all.broadcast(method, *arguments).results_async(timeout_s=_ANSWERING, return_exceptions=True)
            return [one for one in answers if not isinstance(one, BaseException)]
        return ()


def application(args: dict[str, Any]) -> serve.Application:
    """The application, with settings as they stand where it is built: `args`, environment, and the file that `config` or RHEOSTAT_CONFIG names.

    Replicas are told of the pools and the plans, and need no file. Raises ValidationError where the settings are not in order.
    """
    told = Settings(**args).model_dump_json(include={"worker", "plans"})
    return serve.deployment(name="worker")(Worker).bind(told)
