"""A real Ray cluster of several nodes on this machine, with the application of deploy/ray on it."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

from tests.loopback import free_port

DEPLOYED = Path(__file__).parents[2] / "deploy" / "ray" / "serve.yaml"
TOKEN = "0123456789abcdef0123456789abcdef"  # that the clusters ask for
_HEADERS = {"authorization": f"Bearer {TOKEN}"}
_STORE = 80 << 20  # bytes, of each node's object store
_PATIENCE = 90.0  # seconds

Told = Mapping[str, Any]  # what the dashboard tells of Serve


class Nodes:
    """The head and one more node. Each has a proxy; on one machine they need ports of their own, or the second could not listen.

    They are started by Ray's command, as an operator would: Ray's own cluster for tests forks, which a process that uses gRPC may not survive.
    """

    def __init__(self, folder: Path, head_cpus: int) -> None:
        self.ports = (free_port(), free_port())
        self._dashboard, self._head_port = free_port(), free_port()
        self._wanted: dict[str, Any] = {}
        dashboard = ["--include-dashboard=true", f"--dashboard-port={self._dashboard}"]
        clients = [f"--ray-client-server-port={free_port()}"]
        self.head = self._start(["--head", f"--port={self._head_port}", f"--temp-dir={folder}", *dashboard, *clients], head_cpus)
        self._wait(lambda _: True)
        self.replace_other()

    def replace_other(self) -> None:
        """A node in place of the one that was killed."""
        self.other = self._start([f"--address=127.0.0.1:{self._head_port}"], 1)

    def _start(self, arguments: list[str], cpus: int) -> psutil.Process:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(one for one in sys.path if one),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_SERVE_WORKER_PROXY_GRPC_PORT": str(self.ports[1]),
        }
        size = [f"--num-cpus={cpus}", f"--object-store-memory={_STORE}", f"--dashboard-agent-listen-port={free_port()}"]
        command = [str(Path(sys.executable).with_name("ray")), "start", "--node-ip-address=127.0.0.1", "--block", *arguments, *size]
        return psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def addresses(self) -> tuple[str, str]:
        """Of the proxies: the head's, and the other node's."""
        return f"127.0.0.1:{self.ports[0]}", f"127.0.0.1:{self.ports[1]}"

    @property
    def place(self) -> str:
        """As a router is told."""
        return f"ray://127.0.0.1:{self._dashboard}"

    def deploy(self, settings: Mapping[str, Any], environment: Mapping[str, str] | None = None, **changes: Any) -> None:
        """What deploy/ray/serve.yaml says, with these settings, and these changes to its deployment; returns when it runs."""
        self._wanted = yaml.safe_load(DEPLOYED.read_text())
        self._wanted["http_options"]["port"], self._wanted["grpc_options"]["port"] = free_port(), self.ports[0]
        application, runtime = self._wanted["applications"][0], {"env_vars": dict(environment or {})}
        application |= {"import_path": "tests.ray.application:application", "args": settings, "runtime_env": runtime}
        self.change(**({"ray_actor_options": {"num_cpus": 0.1}, "graceful_shutdown_timeout_s": 5} | changes))

    def change(self, **changes: Any) -> None:
        """Other values in the deployment; a mapping is added to. Returns when it runs."""
        (deployment,) = self._wanted["applications"][0]["deployments"]
        for name, value in changes.items():
            deployment[name] = deployment[name] | value if isinstance(value, dict) else value
        self._wanted["applications"][0]["deployments"] = [{name: value for name, value in deployment.items() if value is not None}]
        httpx2.put(self._api, json=self._wanted, headers=_HEADERS, timeout=60).raise_for_status()
        self._wait(is_up)

    async def awaited(self, condition: Callable[[Told], bool]) -> None:
        """Until it holds, while a test goes on."""
        await asyncio.to_thread(self._wait, condition)

    def told(self) -> Told:
        """What the dashboard tells of Serve."""
        answer: Told = httpx2.get(self._api, headers=_HEADERS, timeout=30).raise_for_status().json()
        return answer

    def kill(self, node: psutil.Process) -> None:
        """As if its power were cut: all processes of a node at once."""
        _end(_processes(node))
        node.wait(10)

    def processes(self) -> list[psutil.Process]:
        """All of both nodes."""
        return _processes(self.head) + _processes(self.other)

    def close(self) -> None:
        """End everything."""
        _end(self.processes())
        self.head.wait(10)
        self.other.wait(10)

    def _wait(self, condition: Callable[[Told], bool]) -> None:
        until = time.monotonic() + _PATIENCE
        told: Told = {}
        while True:
            with suppress(httpx2.TransportError):  # the head has just been started
                if condition(told := self.told()):
                    return
            assert time.monotonic() < until, told.get("applications")
            time.sleep(0.2)

    @property
    def _api(self) -> str:
        return f"http://127.0.0.1:{self._dashboard}/api/serve/applications/"


def _processes(node: psutil.Process) -> list[psutil.Process]:
    """Ray's command, and all that it has started."""
    try:
        return [node, *node.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def replicas(told: Told) -> dict[str, str]:
    """Nodes of the replicas that run, by their names."""
    found = told["applications"]["rheostat"]["deployments"]["worker"]["replicas"]
    return {one["replica_id"]: one["node_id"] for one in found if one["state"] == "RUNNING"}


def is_up(told: Told) -> bool:
    """Whether the application runs, and every node with a replica has its proxy."""
    healthy = {node for node, one in told["proxies"].items() if one["status"] == "HEALTHY"}
    return told["applications"]["rheostat"]["status"] == "RUNNING" and set(replicas(told).values()) <= healthy


@contextmanager
def nodes(head_cpus: int = 1) -> Iterator[Nodes]:
    """A cluster, and nothing of it afterwards. Where the head has no processors, all replicas are on the other node."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # the paths of its sockets must be short
    started = Nodes(folder, head_cpus)
    try:
        yield started
    finally:
        started.close()
        shutil.rmtree(folder, ignore_errors=True)
