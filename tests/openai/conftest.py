"""A whole service with its HTTP door open, and OpenAI's own client at it."""

from collections.abc import AsyncIterator, Iterator

import openai
import pytest

from router.access.settings import AccessSettings
from router.app import Service, service
from router.openai.profiles import KnobSettings
from router.settings import ServerSettings, Settings, WorkerSettings
from tests.integration.conftest import POOLS, settings, working  # noqa: F401 - a fixture
from tests.integration.door import keys_of

DOORS = ServerSettings(address="127.0.0.1:0", http="127.0.0.1:0", drain_delay=0.0)
PROFILES = {"rheostat-quick": KnobSettings(plans=("quick",), policy="fixed"), "rheostat-coy": KnobSettings(plans=("quick",), abstain_below=1.0)}


@pytest.fixture(scope="session")
def worker() -> Iterator[str]:
    """A worker that counts the samples it is drawing."""
    with working(WorkerSettings(pools={name: pool.model_copy(update={"slots": 256}) for name, pool in POOLS.pools.items()})) as address:
        yield address


@pytest.fixture
def open_settings(settings: Settings, worker: str, redis_url: str) -> Settings:  # noqa: F811
    """Nobody is asked for credentials."""
    workers = WorkerSettings(address=worker, pools=POOLS.pools)
    return settings.model_copy(update={"server": DOORS, "worker": workers, "redis_url": redis_url, "profiles": PROFILES})


@pytest.fixture
async def running(open_settings: Settings) -> AsyncIterator[Service]:
    async with service(open_settings) as started:
        yield started


@pytest.fixture
async def client(running: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=running.http.url, api_key="whatever", max_retries=0) as found:
        yield found


@pytest.fixture
async def keyed(open_settings: Settings) -> AsyncIterator[tuple[Service, dict[str, str]]]:
    """A service that asks for keys, and those of everybody; see `keys_of`."""
    asking = open_settings.model_copy(update={"access": AccessSettings(keys=True)})
    keys = await keys_of(asking)
    async with service(asking) as started:
        yield started, keys
