"""The load, in small: it measures what it says it does, and a late answer cannot hide."""

import asyncio
import time
from collections import Counter

import pytest

from tests.load.__main__ import measured
from tests.load.client import closed, opened, summary
from tests.load.report import judged


async def test_latency_counts_from_when_a_call_was_due() -> None:
    """A server that stops for a while makes all late that were due meanwhile, and not only those that it had."""
    awake = time.perf_counter() + 0.5

    async def stopped() -> str:
        time.sleep(max(0.0, awake - time.perf_counter()))  # noqa: ASYNC251 - holds up the caller as well
        return ""

    taken, failed = await opened(stopped, 200.0, 1.0, seed=1)
    assert sum(one > 0.25 for one in taken) > 25
    assert summary(taken, failed, 1.0)["p99_ms"] > 400


async def test_failures_are_told_apart_and_are_no_throughput() -> None:
    turns = iter(["", "OVERLOADED"] * 1_000_000)

    async def half() -> str:
        await asyncio.sleep(0)
        return next(turns)

    taken, failed = await closed(half, 4, 60.0, 100)
    found = summary(taken, failed, 2.0)
    assert (found["calls"], found["failed"], found["wrong"], found["per_second"]) == (50, 50, {"OVERLOADED": 50}, 25.0)
    assert summary([], Counter(), 1.0)["p99_ms"] is None


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_everything_is_measured() -> None:
    found = measured(None, 1, 0.5, 300)
    names = {"echo", "PlanQuery", "AnswerQuery, cached", "AnswerQuery, instant backend"}
    assert found["closed"].keys() == found["open"].keys() == names
    assert all(row["failed"] == 0 and row["calls"] > 20 and row["cpu_us"] > 0 for row in found["closed"].values())
    assert found["fairness"]["beside the flood"]["calls"] > 5
    assert len(judged(found)) == 7
