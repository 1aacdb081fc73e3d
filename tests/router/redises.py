"""Redis as it is run in production: a cluster of three nodes, a server behind TLS. Real servers, on loopback; they need Redis 7, built with TLS."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest
import redis

from tests.loopback import free_port

NODES = 3
SERVER = which("redis-server") or ""
needs_redis_7 = pytest.mark.skipif(
    not SERVER or "v=6" in subprocess.run([SERVER, "--version"], capture_output=True, text=True, check=True).stdout,
    reason="no redis-server of version 7 here; Debian has one",
)


@dataclass(frozen=True)
class Node:
    """One of a cluster."""

    port: int
    bus: int
    process: "subprocess.Popen[bytes]"


@contextmanager
def cluster(folder: Path) -> Iterator[list[Node]]:
    """Three nodes that share the slots."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node(folder / str(number))) for number in range(NODES)]
        clients = [stack.enter_context(redis.Redis(port=node.port)) for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 16384 * number // NODES, 16384 * (number + 1) // NODES - 1)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        _until(lambda: all(client.cluster("INFO")["cluster_state"] == "ok" for client in clients))
        yield nodes


@contextmanager
def _node(folder: Path) -> Iterator[Node]:
    folder.mkdir()
    port, bus = free_port(), free_port()  # by itself it would be ten thousand above, which may be no port at all
    with _server(folder, "--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000") as process:
        with redis.Redis(port=port) as client:
            _until(client.ping)
        yield Node(port, bus, process)


@contextmanager
def behind_tls(folder: Path, certificate: Path, key: Path, authority: Path) -> Iterator[int]:
    """The port of a server that takes TLS alone, from clients that show a certificate."""
    port = free_port()
    files = {"--tls-cert-file": certificate, "--tls-key-file": key, "--tls-ca-cert-file": authority}
    with _server(folder, "--port", "0", "--tls-port", str(port), *(str(word) for pair in files.items() for word in pair)):
        told = {"ssl_ca_certs": str(authority), "ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
        with redis.Redis(port=port, ssl=True, **told) as client:
            _until(client.ping)
        yield port


@contextmanager
def _server(folder: Path, *options: str) -> "Iterator[subprocess.Popen[bytes]]":
    command = [SERVER, "--dir", str(folder), "--logfile", str(folder / "redis.log"), "--save", "", "--appendonly", "no", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _until(truth, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(redis.RedisError):
            if truth():
                return
        time.sleep(0.05)
    raise AssertionError("Redis did not come up: see redis.log")
