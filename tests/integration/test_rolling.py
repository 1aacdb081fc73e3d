"""Two router processes behind one port: renewed under load without a failed call, and started again when one is killed."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

import grpc
import pytest
from rheostat.client.place import Place
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.decisions import journals, read_log, records
from router.settings import Settings
from tests.integration.conftest import POOLS
from tests.integration.test_faults import final_of, request


class Served(NamedTuple):
    process: asyncio.subprocess.Process
    address: str
    settings: Settings

    def routers(self) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(self.process.pid), "-f", "router serve"], capture_output=True, text=True, check=False).stdout
        return [int(line) for line in found.split()]


@pytest.fixture
async def served(settings: Settings, worker: str) -> AsyncIterator[Served]:
    given = settings.model_dump(mode="json", exclude={"config"})
    given["worker"] = {"address": worker, "pools": {name: pool.model_dump(mode="json") for name, pool in POOLS.pools.items()}}
    given["server"] |= {"processes": 2, "drain_delay": 0.2}
    config = settings.data.with_suffix(".yaml")
    config.write_text(Settings(**given).model_dump_json(exclude={"config"}))
    env = os.environ | {"RHEOSTAT_CONFIG": str(config), "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "router", "serve", env=env, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(100):
            address = await heard(process, r"Ready at ([\d.:]+)\.")
        yield Served(process, address, settings)
    finally:
        process.terminate()
        rest, _ = await asyncio.gather(process.stderr.read(), process.wait())
        print(rest.decode())


async def heard(process: asyncio.subprocess.Process, words: str) -> str:
    """What the first line with these words says."""
    async for line in process.stderr:
        print(line.decode(), end="")
        if said := re.search(words, line.decode()):
            return said[said.lastindex or 0]
    raise AssertionError("it ended")


async def ask_for_ever(address: str, told: Counter, decisions: list[str]) -> None:
    """Plan, answer and report by turns, each time on a new connection or on an old one."""
    while True:
        async with grpc.aio.insecure_channel(address, options=Place(address=address).options) as channel:
            stub = RouterServiceStub(channel)
            for _ in range(8):
                try:
                    await stub.PlanQuery(pb.PlanQueryRequest(query=request(plans=["quick"]).query), timeout=30)
                    final = await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=30))
                    report = pb.ReportOutcomeRequest(decision_id=final.decision_id, reward=1.0, source=pb.REWARD_SOURCE_VERIFIER)
                    await stub.ReportOutcome(report, timeout=30)
                    decisions.append(final.decision_id)
                    told["OK"] += 1
                except grpc.aio.AioRpcError as failed:
                    told[f"{failed.code().name}: {failed.details()}"] += 1


async def test_no_call_fails_while_both_are_renewed(served: Served) -> None:
    told, decisions, before = Counter[str](), list[str](), served.routers()
    callers = [asyncio.create_task(ask_for_ever(served.address, told, decisions)) for _ in range(6)]
    async with asyncio.timeout(100):
        served.process.send_signal(signal.SIGHUP)
        await heard(served.process, "Renewed")
        renewed = told["OK"]
        while told["OK"] < renewed + 20:
            await asyncio.sleep(0.05)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert set(told) == {"OK"}
    assert renewed > 20
    assert len(served.routers()) == 2
    assert not set(served.routers()) & set(before)
    rows = records(read_log(*journals(served.settings.data)))
    assert {row.decision_id for row in rows if row.kind == "reward"} >= set(decisions)


async def test_one_that_is_killed_is_started_again(served: Served) -> None:
    first, second = served.routers()
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(60), grpc.aio.insecure_channel(served.address) as channel:
        await final_of(RouterServiceStub(channel).AnswerQuery(request(plans=["quick"]), timeout=30, wait_for_ready=True))
        while len(served.routers()) < 2:
            await asyncio.sleep(0.05)
    assert second in served.routers()
    with suppress(ProcessLookupError):
        assert first not in served.routers()


async def test_where_a_new_one_does_not_serve_the_old_ones_go_on(served: Served) -> None:
    before = served.routers()
    served.settings.data.with_suffix(".yaml").write_text("plans: {once: {}}")
    async with asyncio.timeout(100), grpc.aio.insecure_channel(served.address) as channel:
        served.process.send_signal(signal.SIGHUP)
        await heard(served.process, "Not renewed: a router process did not begin to serve")
        assert served.routers() == before
        await final_of(RouterServiceStub(channel).AnswerQuery(request(plans=["quick"]), timeout=30))
