"""Health: whether a service says that it serves, by the standard protocol that probes use too."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from router.channel import Service
from router.server import SERVICE

UNKNOWN = "UNKNOWN"
UNREACHABLE = "UNREACHABLE"
SERVING = "SERVING"


async def health(service: Service, name: str = SERVICE, seconds: float = 3.0) -> str:
    """SERVING, NOT_SERVING, UNKNOWN where nothing of this name is there, or UNREACHABLE where there is no answer within so many seconds."""
    request = health_pb2.HealthCheckRequest(service=name)
    async with service.channel() as channel:
        try:
            found = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return UNKNOWN if error.code() is grpc.StatusCode.NOT_FOUND else UNREACHABLE
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(found.status))
