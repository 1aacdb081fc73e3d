"""The demonstration in small: a real service, one plan, and every control beside it."""

import io
import json

import grpc
from rich.console import Console

from router import demo
from router.app import Service


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
