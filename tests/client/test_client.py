"""The client of the contract, with and without await, at a real service."""

import asyncio
import os
import re
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from rheostat.client import AsyncClient, Client, RheostatError
from rheostat.v1 import answer_pb2, query_pb2

from router.access.settings import TlsSettings
from router.app import Service, service
from router.settings import ServerSettings, Settings
from tests.integration.conftest import settings, worker  # noqa: F401 - fixtures
from tests.integration.door import keys_of
from tests.integration.test_faults import LEGS, STORY
from tests.integration.test_tls import HERE, Authority

ROOT = Path(__file__).parents[2]
QUICK = {"task": "math", "plans": ["quick"], "policy": "fixed"}


@pytest.fixture
def keyed_settings(settings: Settings, worker: str, redis_url: str) -> Settings:  # noqa: F811
    workers = settings.worker.model_copy(update={"address": worker})
    return settings.model_copy(update={"worker": workers, "redis_url": redis_url})


@pytest.fixture
async def running(keyed_settings: Settings):
    async with service(keyed_settings) as started:
        yield started


async def test_it_asks_streams_plans_reports_and_explains(running: Service) -> None:
    async with AsyncClient(running.address) as client:
        final = await client.answer(STORY, deadline=60, **QUICK)
        assert final.answer.text
        assert final.receipt.stages[0].plan == "quick"
        *stages, last = [event async for event in client.stream([query_pb2.Message(content=STORY)], deadline=60, seed=1, **QUICK)]
        assert [type(one) for one in stages] == [answer_pb2.StageEvent] * len(stages)
        assert isinstance(last, answer_pb2.FinalAnswer)
        assert (await client.plan(STORY, **QUICK)).decision.plan == "quick"
        await client.report(final.decision_id, 1.0, source="user")
        told = await client.explain(final.decision_id)
        assert [(one.reward, one.source) for one in told.rewards] == [(1.0, 2)]


async def test_so_it_does_without_await(running: Service) -> None:
    def used() -> float:
        with Client(running.address) as client:
            final = client.answer(STORY, deadline=60, **QUICK)
            *_, last = client.stream(STORY, deadline=60, **QUICK)
            assert isinstance(last, answer_pb2.FinalAnswer)
            assert client.plan(STORY, **QUICK).decision.plan == "quick"
            client.report(final.decision_id, 0.0, source="verifier")
            return client.explain(final.decision_id).rewards[0].reward

    assert await asyncio.to_thread(used) == 0.0


async def test_errors_say_what_and_when(running: Service) -> None:
    async with AsyncClient(running.address) as client:
        with pytest.raises(RheostatError) as unknown:
            await client.answer(STORY, plans=["none-such"])
        assert (unknown.value.code, unknown.value.reason, unknown.value.metadata["plan"]) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PLAN", "none-such")
        with pytest.raises(RheostatError) as wrong:
            await client.answer(" ", abstain_below=2.0)
        assert {field for field, _ in wrong.value.violations} == {"query.messages[0].content", "query.knobs.abstain_below"}
        with pytest.raises(RheostatError) as late:
            await client.answer(LEGS, deadline=0.2, plans=["long"])
        assert late.value.reason == "DEADLINE_EXCEEDED"
        with pytest.raises(ValueError, match="there is nothing called valeu"):
            await client.answer(STORY, valeu=1)
        with pytest.raises(ValueError, match="TASK_POEM"):
            await client.answer(STORY, task="poem")
    tried = time.monotonic()
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(RheostatError) as nobody:
            await client.plan(STORY, deadline=5)
    assert (nobody.value.reason, nobody.value.retry_after, time.monotonic() - tried < 6) == ("UNAVAILABLE", None, True)


async def test_who_leaves_stops_what_was_ordered(running: Service) -> None:
    async with AsyncClient(running.address) as client:
        stream = client.stream(LEGS, plans=["long"], policy="fixed", deadline=60)
        stage = await anext(stream)
        await stream.aclose()

        async def cancelled() -> bool:
            return any([row.stop_reason == "cancelled" async for row in running.journal.read(stage.decision_id)])

        async with asyncio.timeout(5):
            while not await cancelled():
                await asyncio.sleep(0.02)


async def test_what_one_router_refuses_for_now_is_asked_of_another(keyed_settings: Settings, tmp_path: Path) -> None:
    """One has no place left; by the service config calls take turns, and those that it refuses come through at the other."""
    full = keyed_settings.model_copy(update={"server": ServerSettings(address="127.0.0.1:0", permits=1, queue=0), "data": tmp_path / "full"})
    async with (
        service(keyed_settings) as free,
        service(full) as taken,
        AsyncClient(taken.address) as one,
        AsyncClient(f"ipv4:{free.address},{taken.address}") as both,
    ):
        stream = one.stream(LEGS, plans=["long"], policy="fixed", deadline=60)
        await anext(stream)
        with pytest.raises(RheostatError) as refused:
            await one.answer(STORY, deadline=60, **QUICK)
        assert (refused.value.reason, refused.value.retry_after > 0) == ("OVERLOADED", True)
        for _ in range(4):
            assert (await both.answer(STORY, deadline=60, **QUICK)).answer.text
        await stream.aclose()


async def test_credentials(keyed_settings: Settings, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", *HERE)
    server = ServerSettings(address="127.0.0.1:0", tls=TlsSettings(certificate=certificate, key=key, client_ca=authority.file))
    asking = keyed_settings.model_copy(update={"server": server, "access": keyed_settings.access.model_copy(update={"keys": True})})
    keys = await keys_of(asking)
    shown = dict(zip(("certificate", "certificate_key"), authority.issue("client", x509.DNSName("client")), strict=True))
    async with service(asking) as running:
        async with AsyncClient(running.address, key=keys["caller"], ca=authority.file, **shown) as client:
            assert (await client.plan(STORY, **QUICK)).decision.plan == "quick"
        async with AsyncClient(running.address, key="rheo_none_such", ca=authority.file, **shown) as client:
            with pytest.raises(RheostatError) as refused:
                await client.plan(STORY)
            assert refused.value.reason == "INVALID_CREDENTIALS"
    for address in ("dns:///router.example:50051", "10.0.0.1:50051", "router:50051"):
        with pytest.raises(ValueError, match="in the clear"):
            Client(address, key="secret")
    for make in (Client, AsyncClient):
        with pytest.raises(ValueError, match="go together"):
            make("127.0.0.1:1", certificate=certificate)


async def test_the_example_runs(running: Service) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "client" / "README.md").read_text(), re.DOTALL)
    answer, confidence, cost = (
        await ran(sys.executable, code.replace("127.0.0.1:50051", running.address), PYTHONPATH=os.pathsep.join(sys.path))
    ).split()
    assert answer.lstrip("-").isdigit()
    assert 0 < float(confidence) <= 1
    assert int(cost) > 0


async def ran(python: str | Path, code: str, **env: str) -> str:
    return await done(python, "-c", code, **env)


async def done(*command: str | Path, **env: str) -> str:
    """What it printed."""
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | env
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT / "client", env=given, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, out.decode() + err.decode()
    return out.decode()


@pytest.mark.timeout(300)
async def test_it_is_installed_without_the_service(running: Service, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    python = environment / "bin" / "python"
    await ran(sys.executable, f"import venv; venv.create({str(environment)!r})")
    await done(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path)
    (wheel,) = tmp_path.glob("rheostat_client-*.whl")
    await done(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    code = f"""
import sys
from rheostat.client import Client
with Client({running.address!r}) as client:
    print(client.answer({STORY!r}, plans=["quick"], deadline=60).answer.plan)
print(*sorted({{"router", "numpy", "protovalidate", "pydantic", "torch"}} & set(sys.modules)))
"""
    assert (await ran(python, code)).split() == ["quick"]
