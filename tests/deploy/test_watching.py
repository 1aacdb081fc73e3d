"""What looks on: a real Prometheus scrapes a real router and a real worker under load, and every question of every dashboard has an answer."""

import asyncio
import contextlib
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import service
from router.promotion.keeper import changed
from router.promotion.state import begun
from router.settings import CandidateSettings, Choice, ServerSettings, Settings, TelemetrySettings, WorkerSettings
from router.terms import TenantSettings
from tests.integration.conftest import PLANS, POOLS
from tests.integration.test_faults import request

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))}
PATIENCE = 60.0
TERMS = TenantSettings(exploration=0.3, cache=False, max_stages=2)

# What has nothing to say in this test, and why.
SILENT = {
    "rheostat_decisions_reconsidered_total": "no second encoder is configured",
    "rheostat_learning_changes_total": "no plan breaks within these seconds",
    "rheostat_learning_quarantined_total": "every outcome that is reported is believed",
    "rheostat_requests_degraded_total": "everything works",
    'error_type!=""': "no plan fails",
    'rheostat_energy_source="measured"': "there is no GPU with a meter",
    "ALERTS": "nothing has been wrong for long enough",
}


def panels(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def asked() -> dict[str, str]:
    """Every query that anything in deploy/ asks, with Grafana's variables filled in, by where it stands."""
    found = {f"{name}: {title}: {expr}": expr for name, dashboard in DASHBOARDS.items() for title, expr in panels(dashboard)}
    for file in (DEPLOY / "kubernetes").rglob("scaling.yaml"):
        for one in yaml.safe_load_all(file.read_text()):
            queries = [trigger["metadata"]["query"] for trigger in one["spec"]["triggers"] if "query" in trigger["metadata"]]
            found |= {f"{one['metadata']['name']}: {query}": query for query in queries}
    return {where: query.replace("$__rate_interval", "30s").replace("$tenant", ".*") for where, query in found.items()}


@pytest.fixture(scope="session")
def exporting_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A worker of its own, at its address, whose metrics can be scraped at the other."""
    folder, (port,) = tmp_path_factory.mktemp("watched"), ports(1)
    scraped, address = f"127.0.0.1:{port}", f"unix:{folder}/w.sock"
    settings = Settings(worker=_workers(), plans=PLANS, telemetry=TelemetrySettings(prometheus=scraped))
    (folder / "settings.yaml").write_text(settings.model_dump_json(exclude={"config"}))
    env = os.environ | {"RHEOSTAT_CONFIG": str(folder / "settings.yaml"), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-m", "router", "work", "--address", address], env=env)
    yield address, scraped
    process.terminate()
    process.wait()


def _workers(**other: str) -> WorkerSettings:
    """Few slots, so that there is a queue with a price."""
    pools = {name: pool.model_copy(update={"slots": 1, "joules_per_token": 0.01}) for name, pool in POOLS.pools.items()}
    return WorkerSettings(pools=pools, **other)  # type: ignore[arg-type]


def ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


class Prometheus:
    """A real one, with our configuration but for what it scrapes, and how often."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def get(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}{path}?{urllib.parse.urlencode(parameters)}"

        def read() -> Any:
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.load(response)["data"]

        return await asyncio.to_thread(read)

    async def numbers(self, query: str) -> list[float]:
        return [float(one["value"][1]) for one in (await self.get("/api/v1/query", query=query))["result"]]


@contextlib.contextmanager
def prometheus(folder: Path, router: str, worker: str) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: Debian has it in the package `prometheus`")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in config["rule_files"]]
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [{"rheostat-router": router, "rheostat-worker": worker}[job["job_name"]]]}]}
        for job in config["scrape_configs"]
    ]
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    (port,) = ports(1)
    words = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(["prometheus", *words], stdout=log, stderr=log)
        try:
            yield Prometheus(f"127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()


@pytest.fixture
def watched(settings: Settings, exporting_worker: tuple[str, str], redis_url: str) -> Settings:
    (port,) = ports(1)
    tenants = {
        "default": TERMS.model_copy(update={"cache": True}),
        "floor": TERMS.model_copy(update={"floor": 0.7, "per_day": 1_000_000}),
        "cap": TERMS.model_copy(update={"cap": 1_000_000, "window": 3600.0}),
        "poor": TERMS.model_copy(update={"per_day": 1}),
    }
    return settings.model_copy(
        update={
            "redis_url": redis_url,
            "server": ServerSettings(address="127.0.0.1:0", drain_delay=0.0),
            "worker": _workers(address=exporting_worker[0]),
            "telemetry": TelemetrySettings(prometheus=f"127.0.0.1:{port}"),
            "policies": {"thompson": Choice(name="thompson"), "allocator": Choice(name="allocator")},
            "tenants": tenants,
        }
    )


@contextlib.asynccontextmanager
async def under_load(settings: Settings) -> AsyncIterator[None]:
    """A service that is asked and told outcomes, by several callers at once, for as long as this is open."""
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        await changed(settings, "floor", begun(CandidateSettings(policy=Choice(name="allocator")), 0.0))
        callers = [asyncio.create_task(_call(RouterServiceStub(channel), tenant)) for tenant in settings.tenants for _ in range(2)]
        try:
            yield
        finally:
            for caller in callers:
                caller.cancel()
            ended = await asyncio.gather(*callers, return_exceptions=True)
        assert [one for one in ended if not isinstance(one, asyncio.CancelledError)] == []


async def _call(stub: RouterServiceStub, tenant: str) -> None:
    number = 0
    while True:
        number += 1
        text = f"Tom has {number % 7 + 2} apples. Then Tom buys 3 more apples. How many apples does Tom have now?"
        try:
            async for event in stub.AnswerQuery(request(text, tenant=tenant, plans=["quick"], policy=""), timeout=30):
                if event.HasField("final"):
                    source = (pb.REWARD_SOURCE_VERIFIER, pb.REWARD_SOURCE_USER)[number % 2]
                    told = pb.ReportOutcomeRequest(decision_id=event.final.decision_id, reward=0.9, source=source, tenant=tenant)
                    await stub.ReportOutcome(told, timeout=10)
        except grpc.aio.AioRpcError as refused:
            if refused.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
        await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_every_question_of_the_dashboards_has_an_answer(watched: Settings, exporting_worker: tuple[str, str], tmp_path: Path) -> None:
    missing = {where: query for where, query in asked().items() if not any(silent in query for silent in SILENT)}
    with prometheus(tmp_path, watched.telemetry.prometheus, exporting_worker[1]) as found:
        async with under_load(watched):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while missing:
                        await asyncio.sleep(1)
                        with contextlib.suppress(OSError):  # it is still starting
                            for where, query in list(missing.items()):
                                if any(map(math.isfinite, await found.numbers(query))):
                                    del missing[where]
        assert list(missing) == [], (tmp_path / "prometheus.log").read_text()[-2000:]
        groups = (await found.get("/api/v1/rules"))["groups"]
        unwell = {rule["name"]: rule.get("lastError") for group in groups for rule in group["rules"] if rule["health"] != "ok"}
        assert unwell == {}
        assert sum(len(group["rules"]) for group in groups) > 30
        for query in asked().values():
            await found.numbers(query)  # those that are silent are well formed too


def test_every_name_that_is_asked_for_is_one_of_ours() -> None:
    """Also of what is silent above: so no panel waits for something that nobody tells."""
    told = {
        name.replace(".", "_")
        for file in (ROOT / "router" / "telemetry").glob("*.py")
        for name in re.findall(r'"((?:rheostat|rpc)\.[\w.]+)"', file.read_text())
    }
    recorded = {rule["record"] for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"] for rule in group["rules"]}
    rules = [
        rule["expr"]
        for name in ("rules", "alerts")
        for group in yaml.safe_load((DEPLOY / "prometheus" / f"{name}.yaml").read_text())["groups"]
        for rule in group["rules"]
    ]
    unit = re.compile(r"_(?:total|seconds|bytes|joules|bucket|sum|count)$")
    for query in [*asked().values(), *rules]:
        bare = re.sub(r'"[^"]*"', "", query)
        assert set(re.findall(r"\brheostat:[\w:]+", bare)) <= recorded
        for name in re.findall(r"\b(?:rheostat|rpc)_\w+", bare):
            plain = name
            while plain not in told and unit.search(plain):
                plain = unit.sub("", plain)
            assert plain in told, name


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_whole(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"rheostat-{name}"
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    taken = [(x, y) for place in places for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
    assert len(set(taken)) == len(taken), "panels lie on one another"
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"]))) - {"__rate_interval"} <= variables
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_grafana_is_given_what_there_is() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    (provider,) = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "dashboards" / "rheostat.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose["grafana"]["volumes"]
    assert source["url"] == "http://prometheus:9090"
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).stem in DASHBOARDS
    assert set(DASHBOARDS) == {"allocation", "quality-cost", "budgets", "learning", "guard", "pools", "slo"}
