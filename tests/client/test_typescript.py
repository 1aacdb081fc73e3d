"""The example in TypeScript, compiled, at a real service."""

import json
import os
import shutil
from pathlib import Path

import pytest

from router.app import Service
from tests.client.test_client import ROOT, done, keyed_settings, running  # noqa: F401 - fixtures
from tests.integration.conftest import settings, worker  # noqa: F401 - fixtures

FILES = ("package.json", "package-lock.json", "tsconfig.json", "ask.ts")


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
async def test_it_asks_and_reports(running: Service, tmp_path: Path) -> None:  # noqa: F811
    for name in FILES:
        shutil.copyfile(ROOT / "client" / "typescript" / name, tmp_path / name)
    await done("npm", "ci", "--prefix", tmp_path, "--no-audit", "--no-fund", "--ignore-scripts")
    env = {"RHEOSTAT_ADDRESS": running.address, "RHEOSTAT_PROTO": str(ROOT / "proto"), "PATH": os.environ["PATH"]}
    told = (await done("npm", "run", "ask", "--silent", "--prefix", tmp_path, **env)).splitlines()
    assert told[0].startswith("1. ACTION_BUY ")
    found = json.loads(told[-1])
    assert found["cost"] > 0
    assert 0 < found["confidence"] <= 1
