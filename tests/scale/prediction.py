"""What the simulator says of a run of the real service, from that run's own log and processor time, beside what was measured.

What else the machine did meanwhile is told too, as the share of each core that others had: it makes what is measured slower, and is not simulated.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from operator import sub
from pathlib import Path

import psutil

from router.decisions import log_files
from router.settings import Settings
from router.simulation.measured import Traffic, traffic
from router.simulation.run import once
from router.simulation.scenario import EngineSettings, RouterSettings, Scenario, WorkerSettings
from router.simulation.shape import asked_of_gpus
from tests.load.sender import Client
from tests.load.subjects import cores
from tests.scale.town import MODEL, Town, journals_of, rose, town

TOKENS = 5  # that a sample of an instant worker writes
LOADS = (0.3, 0.85)  # of what the pool can do
WARM = 2.0  # seconds of load before anything is measured
SEEDS = 3
ROUNDS = 2  # at most
AIM = 0.15  # of what is measured, for throughput and p99


def played(data: list[Path]) -> Traffic:
    """The log of these routers."""
    with log_files(*journals_of(data)) as files:
        return traffic(files, {name: plan.plan(name) for name, plan in Settings().plans.items()})


def predicted(scenario: Scenario, log: Traffic, seconds: float) -> dict[str, float]:
    """Means over seeds."""
    found = [once(scenario, log, seed, seconds=max(20.0, seconds)) for seed in range(SEEDS)]
    times = {f"{name}_ms": statistics.fmean(one[name] for one in found) * 1e3 for name in ("p50", "p95", "p99")}
    return {"per_second": statistics.fmean(one["answered_per_second"] for one in found)} | times


def paced(pace: float, slots: int, seconds: float, loads: tuple[float, ...] = LOADS) -> list[dict]:
    """A pool that draws `slots` samples at once, of `pace` seconds each."""
    engine = EngineSettings(step=pace / TOKENS, sequence=0.0, prompt=0.0, slots=slots)
    with tempfile.TemporaryDirectory(prefix="rheostat-scale-") as folder, town(Path(folder), 1, 1, pace=pace, slots=slots) as place:
        return [one for load in loads for one in _compared(place, load * slots / pace, seconds, engine, load)]


def bundled(seconds: float, loads: tuple[float, ...] = LOADS) -> list[dict]:
    """A bundled model that votes, on a core of its own, where its steps take what they took on an idle machine."""
    engine = _curve()
    with tempfile.TemporaryDirectory(prefix="rheostat-scale-") as folder, town(Path(folder), 1, 1, models=True) as place:
        client = Client()
        client.send(place.subject, concurrency=2, seconds=0.0, calls=30)
        client.close()
        most = 1 / asked_of_gpus(Scenario(engine=engine), played(place.data))
        return [one for load in loads for one in _compared(place, load * most, seconds, engine, load)]


def _curve() -> EngineSettings:
    """In a process of its own, on the core that the worker will have."""
    core = sorted(os.sched_getaffinity(0))[-1]
    command = ["taskset", "-c", str(core), sys.executable, "-m", "tests.scale.engine", MODEL]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    return EngineSettings(**json.loads(done.stdout))


def _compared(place: Town, rate: float, seconds: float, engine: EngineSettings, load: float) -> list[dict]:
    """The quietest of a few rounds: measured, predicted, and how far apart."""
    client = Client(cores()[0] if engine.sequence else None)
    client.send(place.subject, rate=rate, seconds=WARM)
    rounds = []
    while len(rounds) < ROUNDS and not any(_near(one) for one in rounds):
        rounds.append(_round(place, client, rate, seconds, engine, seed=len(rounds)))
    client.close()
    found = min(rounds, key=lambda one: max(map(abs, one["apart"].values())))
    return [{"load": load, "rate": rate, "engine": engine.model_dump(), "rounds": len(rounds)} | found]


def _round(place: Town, client: Client, rate: float, seconds: float, engine: EngineSettings, *, seed: int) -> dict:
    before, took = place.spent(), _busy(place, client)
    measured = client.send(place.subject, rate=rate, seconds=seconds, seed=seed)
    spent = {name: one / measured["calls"] * 1e6 for name, one in rose(before, place.spent()).items()}
    others = [min(0.9, max(0.0, one / measured["seconds"])) for one in map(sub, _busy(place, client), took)]
    came = (measured["calls"] + measured["failed"]) / seconds  # chance has it that not quite as many came as were to come
    foretold = predicted(_scenario(came, engine, spent), played(place.data), seconds)
    measured["per_second"] = measured["calls"] / max(seconds, measured["seconds"] - measured["p50_ms"] / 1e3)
    apart = {name: foretold[name] / measured[name] - 1 for name in ("per_second", "p50_ms", "p99_ms")}
    return {"microseconds": spent, "others": others, "measured": measured, "predicted": foretold, "apart": apart}


def _busy(place: Town, client: Client) -> list[float]:
    """Seconds for which others than what is measured have had the first core, and the last."""
    found = []
    for core in cores():
        all_of_it = psutil.cpu_times(percpu=True)[core]
        ours = [one for one in (*place.routers, *place.workers, place.redis, client.process) if one.cpu_affinity() == [core]]
        found.append(sum(all_of_it[:3]) + all_of_it.irq + all_of_it.softirq + all_of_it.steal - sum(sum(one.cpu_times()[:2]) for one in ours))
    return found


def _near(one: dict) -> bool:
    return all(abs(one["apart"][name]) <= AIM for name in ("per_second", "p99_ms"))


def _scenario(rate: float, engine: EngineSettings, spent: dict[str, float]) -> Scenario:
    """As it ran: half of a router's time for a call whatever it buys, half for what it buys."""
    half = spent["routers"] / 2
    worker = 0.0 if engine.sequence else spent["workers"]  # that of a model is in its steps
    return Scenario(
        rate=rate,
        routers=1,
        engine=engine,
        router=RouterSettings(call=half, stage=half, report=0.0),
        worker=WorkerSettings(call=worker, sample=0.0),
        tenants=1,
        small=0.0,
    )
