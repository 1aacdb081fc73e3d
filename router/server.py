"""The gRPC server: health, reflection, limits, and an end that lets calls finish."""

import asyncio
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from rheostat.v1 import access_service_pb2, operations_service_pb2, router_service_pb2, tenant_service_pb2
from rheostat.v1.access_service_pb2_grpc import add_AccessServiceServicer_to_server
from rheostat.v1.operations_service_pb2_grpc import add_OperationsServiceServicer_to_server
from rheostat.v1.router_service_pb2_grpc import add_RouterServiceServicer_to_server
from rheostat.v1.tenant_service_pb2_grpc import add_TenantServiceServicer_to_server

from router.access.door import Door
from router.interceptors import Interceptor
from router.operations.service import OperationsService
from router.service import RouterService
from router.telemetry import Telemetry

SERVICE = router_service_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name
ADMINISTRATION = [
    tenant_service_pb2.DESCRIPTOR.services_by_name["TenantService"].full_name,
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name,
]
OPERATIONS = operations_service_pb2.DESCRIPTOR.services_by_name["OperationsService"].full_name
OPTIONS = (
    ("grpc.max_receive_message_length", 4 * 2**20),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # clients may ping every 30 s; see also the next
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_connection_age_ms", 600_000),  # so that load spreads after scaling
    ("grpc.max_connection_age_grace_ms", 150_000),  # longer than the longest call
)


class Server:
    """A server bound to `address`, such as `127.0.0.1:0` or `unix:/path`; `port` is the one bound, if it is not a Unix socket.

    Without a door everybody may call RouterService, and nothing is administered. `private` are other addresses, in plain text. More than
    `most_calls` calls at once are refused. Raises RuntimeError when the address cannot be bound.
    """

    def __init__(
        self,
        service: RouterService,
        address: str,
        telemetry: Telemetry,
        *,
        door: Door | None = None,
        operations: OperationsService | None = None,
        private: Sequence[str] = (),
        reuse_port: bool = False,
        most_calls: int = 1024,
    ) -> None:
        interceptor = Interceptor(telemetry, door.gate if door else None)
        options = (*OPTIONS, ("grpc.so_reuseport", int(reuse_port)))  # two servers on one port are a mistake, unless they are meant to be
        self._server = grpc.aio.server(interceptors=(interceptor,), options=options, maximum_concurrent_rpcs=most_calls)
        self._health = health.aio.HealthServicer()
        add_RouterServiceServicer_to_server(service, self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME]
        if door:
            add_TenantServiceServicer_to_server(door.tenants, self._server)  # type: ignore[no-untyped-call]
            add_AccessServiceServicer_to_server(door.access, self._server)  # type: ignore[no-untyped-call]
            names += ADMINISTRATION
        if operations:
            add_OperationsServiceServicer_to_server(operations, self._server)  # type: ignore[no-untyped-call]
            names.append(OPERATIONS)
        reflection.enable_server_reflection(names, self._server)
        secured = door.credentials if door else None
        self.port = self._server.add_secure_port(address, secured) if secured else self._server.add_insecure_port(address)
        for one in private:
            self._server.add_insecure_port(one)

    async def start(self) -> None:
        """Take calls, and say so."""
        await self._server.start()
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)

    async def serve_until(self, stop: asyncio.Event, drain_delay: float, grace: float) -> None:
        """Serve until `stop`; then say that it ends, serve `drain_delay` seconds more while word spreads, and give running calls `grace` seconds."""
        try:
            await stop.wait()
            await self._health.enter_graceful_shutdown()
            await asyncio.sleep(drain_delay)
        finally:
            await self.stop(grace)

    async def stop(self, grace: float) -> None:
        """Take no more calls, and give running ones `grace` seconds. Stopping twice is harmless."""
        await self._server.stop(grace)
