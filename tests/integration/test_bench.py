"""The bench, in small: it measures what it says it does."""

from itertools import cycle

import grpc

from tests.bench import client, stages
from tests.bench.__main__ import echo


async def test_every_stage_is_timed(running, monkeypatch):
    monkeypatch.setattr(stages, "TIMES", 3)
    found = await stages.stages(running.pipeline)
    assert found["encode + predict + decide"] == found["encode"] + found["predict"] + found["decide"]
    assert all(value > 0 for value in found.values())


async def test_calls_are_counted():
    async with echo() as address, grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary("/bench.Echo/Echo")
        taken = await client.load(lambda: client.unary(call, cycle([b"x"])), 2, 0.1)
    row = client.summary([taken], 0.1)
    assert row["per_second"] == len(taken) / 0.1 > 0
    assert 0 < row["p50_ms"] <= row["p99_ms"]
