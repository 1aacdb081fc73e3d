"""Every block of shell commands in the documentation is run, page by page, in order, against a service."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from router.app import Service
from router.types import Knobs, Message, Query, Reward, Task
from tests.docs.conftest import ROOT, Place

PAGES = [
    ROOT / name for name in ("README.md", "docs/callers.md", "docs/operators.md", "docs/researchers.md", "client/README.md", "deploy/runbook.md")
]
PAGES += [page for page in sorted((ROOT / "docs").glob("*.md")) if page not in PAGES]
MOST_LEFT_OUT = 12
PRACTICE = Knobs(exploration=1.0, max_stages=1, plans=("small-solve", "large-solve"))
ACME = """
rheostat tenants set acme per_day=5000000
echo 'policy: {name: threshold}' > candidate.yaml
rheostat promote begin candidate.yaml --tenant acme
"""
BEFORE = {"runbook": ACME}
"""What a page takes for granted."""
RIGHT = {"small-solve": 0.6, "large-solve": 0.9}


class Block(NamedTuple):
    """Commands, and why they are not run, where they are not."""

    commands: str
    reason: str


def blocks(page: Path) -> list[Block]:
    """All in shell. Raises AssertionError for a mark that is none."""
    found = []
    for mark, commands in re.findall(r"^```sh([^\n]*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        reason = mark.strip().removeprefix("no-run:").strip()
        assert not mark.strip() or (mark.startswith(" no-run: ") and len(reason) > 10), f"{page.name}: ```sh{mark}"
        found.append(Block(commands, reason))
    return found


def test_few_are_not_run_and_each_says_why() -> None:
    left = [block for page in PAGES for block in blocks(page) if block.reason]
    assert 0 < len(left) <= MOST_LEFT_OUT
    assert sum(not block.reason for page in PAGES for block in blocks(page)) > 20


def test_no_page_has_commands_under_another_name() -> None:
    for page in PAGES:
        assert not re.findall(r"^```(?:bash|shell|console|zsh)\b", page.read_text(), re.MULTILINE), page


@pytest.mark.timeout(110)
@pytest.mark.parametrize("page", [page for page in PAGES if any(not block.reason for block in blocks(page))], ids=lambda page: page.stem)
async def test_they_work(page: Path, place: Place) -> None:
    if page.stem == "researchers":
        await practised(place.running, 300)
    run = [block.commands for block in blocks(page) if not block.reason]
    steps = [f"echo '--- block {number}' >&2\n{commands}" for number, commands in enumerate(run)]
    script = "\n".join(["set -eu -o pipefail", BEFORE.get(page.stem, ""), *steps])
    script = script.replace("127.0.0.1:50051", place.running.address).replace("http://127.0.0.1:50080", place.running.http.url.removesuffix("/v1"))
    code, told = await bash(script, place)
    assert code == 0, told
    assert "Traceback" not in told, told


async def bash(script: str, place: Place) -> tuple[int, str]:
    """Its exit code, and all that it printed, in a terminal's order."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RHEOSTAT_")} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "RHEOSTAT_ADDRESS": place.running.address,
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=place.folder, env=env, stdout=pipe, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


async def practised(running: Service, count: int) -> None:
    """A log that can teach: plans drawn at random, carried out by a caller who reports what came of them."""
    for number in range(count):
        query = Query(id=str(number), messages=(Message(content=f"Calculate {number} + 4."),), task=Task.MATH, seed=number, knobs=PRACTICE)
        planned = await running.pipeline.plan(query)
        if planned.decision.plan:
            right = (number % 10) / 10 < RIGHT[planned.decision.plan]
            reward = Reward(decision_id=planned.decision_id, value=float(right), source="verifier", at=1.0, cost=50)
            await running.pipeline.report(reward, "default")
    async with asyncio.timeout(20):
        while not [*Path("rheostat-data").glob("journal*/parquet/**/*.parquet")]:
            await asyncio.sleep(0.1)
