"""The HTTP door: a server in the process and the event loop of gRPC's, which it calls at a private socket."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import grpc
import structlog
import uvicorn
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from router.access.gate import Gate
from router.access.settings import TlsSettings, exposed
from router.background import background
from router.console import page
from router.console.calls import Calls
from router.openai import failures
from router.openai.service import Pages
from router.settings import Settings
from router.web.hosts import OURS, Hosts
from router.web.presence import ClientGone
from router.written import written

log = structlog.get_logger("rheostat.http")
_LOOK = 1.0  # seconds between two looks at the certificate
_CLIENT_GONE = 499


class _Server(uvicorn.Server):
    """Signals are the process's own affair."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


class HttpDoor:
    """A door that is open; `url` is what OpenAI's clients call the base URL, `console` where people look."""

    def __init__(self, server: _Server, listener: socket.socket, address: str) -> None:
        self._server = server
        root = f"{'https' if server.config.is_ssl else 'http'}://{address}"
        self.url, self.console = f"{root}/v1", f"{root}/console/"
        self._serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")

    async def serve_until(self, stop: asyncio.Event, drain_delay: float) -> None:
        """Take requests until `drain_delay` seconds after `stop`, and return when those that had come are answered."""
        await stop.wait()
        await asyncio.sleep(drain_delay)
        await self.close()

    async def close(self) -> None:
        """Take no more requests, and let those that are there be answered. Closing twice is harmless."""
        self._server.should_exit = True
        await self._serving


@asynccontextmanager
async def open_http(settings: Settings, gate: Gate, plans: Callable[[], Iterable[str]], inner: str) -> AsyncIterator[HttpDoor]:
    """The door at `server.http`, before the service at the address `inner`. Raises RuntimeError where it cannot listen there."""
    place, tls = settings.server, settings.server.tls
    listener, address = _bound(place.http, reuse_port=place.reuse_port)
    async with grpc.aio.insecure_channel(inner, options=(("grpc.max_receive_message_length", -1),)) as channel:
        stub = RouterServiceStub(channel)  # type: ignore[no-untyped-call]
        routes = [*Pages(stub, gate, settings.profiles, plans).routes(), *Calls(channel).routes(), *page.routes()]
        hosts = OURS if not settings.access.asked_for and not exposed(place.http) else frozenset[str]()
        config = uvicorn.Config(
            Hosts(Starlette(routes=routes, exception_handlers={**failures.HANDLERS, ClientGone: _on_gone}), hosts),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(place.grace)),
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
        )
        config.load()
        door = HttpDoor(_Server(config), listener, address)
        async with background(http_certificate=_follow(config.ssl, tls)):
            try:
                yield door
            finally:
                await door.close()


async def _on_gone(_: Request, error: Exception) -> Response:
    return Response(status_code=_CLIENT_GONE)


def _bound(address: str, *, reuse_port: bool) -> tuple[socket.socket, str]:
    """A socket that is bound, and its address with the port it has."""
    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio does not see that delays are to be avoided
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind((bare, int(port)))
    except OSError as error:
        found.close()
        raise RuntimeError(f"server.http: cannot listen at {address}: {error}") from error
    return found, f"{host}:{found.getsockname()[1]}"


async def _follow(context: ssl.SSLContext | None, files: TlsSettings | None) -> None:
    """The certificate is the next client's when its files change; one that is not in order is reported once. Another `client_ca` takes a restart."""
    if not (context and files):
        return
    stamp = _stamp(files.certificate, files.key)
    while True:
        await asyncio.sleep(_LOOK)
        if (now := _stamp(files.certificate, files.key)) == stamp:
            continue
        stamp = now
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)  # only to see whether they belong together
            context.load_cert_chain(files.certificate, files.key)
        except OSError as error:  # what ssl raises too
            log.error("certificate_refused", error=str(error))
        else:
            log.info("certificate_reloaded", file=str(files.certificate))


def _stamp(*files: Path) -> tuple[int, ...]:
    return tuple(map(written, files))
