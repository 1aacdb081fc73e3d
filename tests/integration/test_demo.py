"""The demonstration in small: a real service, one plan, and every control beside it."""

import asyncio
import io
import json
import os
import time

import grpc
import psutil
from rich.console import Console

from router import demo
from router.app import Service
from tests.integration.door import rheostat


async def test_the_demonstration_shows_every_control_and_where_compute_went(running: Service) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=160)
    async with grpc.aio.insecure_channel(running.address) as channel:
        report = await demo.run(channel, ("quick",), 24, console, lambda risk: 1 - 5 * risk)
    demo.show(report, console)
    found = json.loads(json.dumps(report.to_json()))
    assert {"rheostat", "controls", "questions", "stages"} <= set(found)
    assert set(found["controls"]) == {
        "always quick",
        "cost-matched static mixture",
        "category only",
        "prompt length",
        "shuffled queries",
        "hindsight oracle",
    }
    for row in (found["rheostat"], *found["controls"].values()):
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1
    assert found["controls"]["hindsight oracle"]["accuracy"] >= found["controls"]["always quick"]["accuracy"]
    assert sum(level["questions"] for level in found["stages"].values()) == found["questions"] == 24
    assert [kept["given"] for kept in found["promises"].values()] == sorted(kept["given"] for kept in found["promises"].values())
    assert all(0 <= kept["low"] <= kept["wrong"] <= kept["high"] <= 1 for kept in found["promises"].values())
    assert "95 % interval" in printed.getvalue()
    assert "Where the compute went" in printed.getvalue()


async def test_the_first_answer_is_on_the_terminal_within_twenty_seconds_and_an_end_leaves_nothing_behind() -> None:
    """As `make demo` starts it, once all is installed. Where output is no terminal, the first answers are lines."""
    began, lines = time.monotonic(), []
    process = await rheostat("demo", "--questions", "20")
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(60):
        while not lines or " -> " not in lines[-1]:
            lines.append((await process.stdout.readline()).decode())
            assert lines[-1], (await process.stderr.read()).decode()
    took = time.monotonic() - began
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    await process.communicate()
    assert process.returncode == 143
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others' work is no fault of ours
    assert took < 20 * busy, f"{took:.1f} s, at a load of {os.getloadavg()[0]:.1f}"
    assert len(children) >= 2
    assert not [child for child in children if child.is_running()]
