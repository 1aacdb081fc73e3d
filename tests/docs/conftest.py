"""A service as `make serve` starts it, for each page, with the page's folder around it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from router.app import Service, service
from router.settings import JournalSettings, ServerSettings, Settings, WorkerSettings
from tests.integration.conftest import working

ROOT = Path(__file__).parents[2]


class Place(NamedTuple):
    """Where a page's commands are run, and the service that they meet."""

    folder: Path
    running: Service


@pytest.fixture(scope="session")
def worker() -> Iterator[str]:
    """With the bundled models, as a service would start it for itself."""
    with working(WorkerSettings()) as address:
        yield address


@pytest.fixture
async def place(tmp_path: Path, worker: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A folder that has what the repository's root has, and a service whose data folder is in it."""
    for name in ("client", "deploy", "proto", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    server = ServerSettings(address="127.0.0.1:0", http="127.0.0.1:0", drain_delay=0.0)
    settings = Settings(server=server, worker=WorkerSettings(address=worker), journal=JournalSettings(rotate_seconds=1.0))
    async with service(settings) as running:
        yield Place(tmp_path, running)
