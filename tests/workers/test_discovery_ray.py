"""What is made of what Ray's dashboard tells; the dashboard itself is asked in tests/ray."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from router.errors import BackendUnavailable
from workers.discovery import addresses

PROXIES = {"a": ("10.0.0.1", "HEALTHY"), "b": ("10.0.0.2", "UNHEALTHY"), "c": ("fd00::3", "HEALTHY"), "d": ("10.0.0.4", "DRAINING")}
GRPC = {"port": 9000, "grpc_servicer_functions": ["rheostat.v1.worker_service_pb2_grpc.add_WorkerServiceServicer_to_server"]}

asks: list[str] = []


def told(status: str = "RUNNING", grpc: Mapping[str, object] | None = GRPC, **proxies: tuple[str, str]) -> bytes:
    nodes = {name: {"node_ip": address, "status": health} for name, (address, health) in (proxies or PROXIES).items()}
    return json.dumps({"applications": {"rheostat": {"status": status}}, "proxies": nodes, "grpc_options": grpc}).encode()


@asynccontextmanager
async def dashboard(body: bytes, status: str = "200 OK") -> AsyncIterator[str]:
    """A place whose dashboard answers this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        asks.append(asked.decode().lower())
        assert asked.startswith(b"GET /api/serve/applications/ ")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"ray://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("status", ["RUNNING", "DEPLOYING", "UNHEALTHY"])  # in each some replicas may serve
async def test_its_workers_are_its_healthy_proxies(status: str) -> None:
    async with dashboard(told(status)) as place:
        assert await addresses(place) == {"10.0.0.1:9000", "[fd00::3]:9000"}


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (told("DEPLOY_FAILED"), "200 OK", "serve deploy deploy/ray/serve.yaml"),
        (told(grpc=None), "200 OK", "serves no workers by gRPC"),
        (b'{"applications": {}, "proxies": {}}', "200 OK", "serves no workers by gRPC"),
        (told(a=("10.0.0.1", "STARTING")), "200 OK", "no proxy of the Ray cluster at ray://127.0.0.1:.* is healthy"),
        (b"<html>", "200 OK", "does not answer"),
        (b"", "401 Unauthorized", "asks for its token"),
        (b"", "503 Service Unavailable", "does not answer"),
    ],
)
async def test_what_has_no_workers_is_told(body: bytes, status: str, why: str) -> None:
    async with dashboard(body, status) as place:
        with pytest.raises(BackendUnavailable, match=why):
            await addresses(place)


@pytest.mark.parametrize("kept", ["environment", "file"])
async def test_the_clusters_token_is_shown(kept: str, tmp_path, monkeypatch) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    monkeypatch.setenv(*{"environment": ("RAY_AUTH_TOKEN", "t0ken"), "file": ("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))}[kept])
    asks.clear()
    async with dashboard(told()) as place:
        await addresses(place)
    assert "authorization: bearer t0ken\r\n" in asks[0]


async def test_a_file_without_a_token_is_told(monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    with pytest.raises(BackendUnavailable, match="No such file"):
        await addresses("ray://127.0.0.1:1")


async def test_a_dashboard_that_is_not_there_is_told() -> None:
    with pytest.raises(BackendUnavailable, match="does not answer"):
        await addresses("ray://127.0.0.1:1")
