"""A real vLLM on the CPU: inside a worker, and as a server; the bundled models, strategies of every group, and what all backends agree on."""

import asyncio
import os
import socket
import subprocess
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import yaml

from router.errors import UnknownPlan
from router.ports import Spent
from router.types import Budget, Call, Evidence, Message, Plan, Price, Query, Task
from tests.workers.toy import Bill
from workers.backends import backends
from workers.executor import LocalExecutor, Pool
from workers.reasoner.train import MODELS
from workers.reasoner.workload import problems
from workers.remote import connected
from workers.strategies import strategies
from workers.verifiers import verifiers

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
ENGINE = {"enforce_eager": True, "dtype": "float32", "max_model_len": 1024, "max_logprobs": -1}
PRICE = Price(prompt=0.7, completion=2.8, scored=0.7)
NAMES = tuple(strategies.describe())
OPTIONS = {
    "direct": {"skill": "solve"},
    "plan_and_budget": {"words": False},  # the bundled models know no instructions
}
PAPER = [next(problems("test", seed, levels=range(1 + seed % 4, 2 + seed % 4))) for seed in range(8)]

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (ROOT / ".venv-vllm" / ".ready").exists(), reason="vLLM is not installed here; `make .venv-vllm/.ready` says why"),
]


def environment():
    return os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": f"{ROOT}:{ROOT}/proto/gen",
    }


@contextmanager
def running(command, log, **more):
    """A process that is ended with all its children."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment() | more, stdout=file, stderr=file, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)


def alive(process, deadline, log):
    """It still starts, and in time."""
    assert process.poll() is None, log.read_text()[-3000:]
    assert time.monotonic() < deadline, log.read_text()[-3000:]


def question(problem, **changes):
    return Query(id="q", messages=(Message(content=problem.question),), task=Task.MATH, seed=7, **changes)


def plan(strategy, pool="large", **options):
    helpers = {"small": PRICE} if "helper" in strategies.build(strategy, options).needs else {}
    return Plan(id=strategy, pool=pool, strategy=strategy, options=options, budget=Budget(tokens=40_000), price=PRICE, helpers=helpers)


@contextmanager
def working(folder):
    """A worker whose pool `large` is a vLLM engine, and its address, once it is up."""
    pools = {
        "large": {
            "backend": {"name": "vllm", "options": {"model": str(MODELS / "large"), "engine": ENGINE}},
            "verifier": {"name": "calculator"},
            "sandbox": {"seconds": 2},
        },
        "small": {"backend": {"name": "embedded", "options": {"directory": str(MODELS / "small")}}},
    }
    plans = {"one": {"pool": "large", "strategy": "direct", "options": {"skill": "solve"}, "cost": 1000, "price": [0.7, 2.8, 0.7]}}
    (folder / "settings.yaml").write_text(yaml.safe_dump({"worker": {"pools": pools}, "plans": plans}))
    address = f"unix:{folder}/worker.sock"
    settings = {"RHEOSTAT_CONFIG": str(folder / "settings.yaml")}
    with running([PYTHON, "-m", "router", "work", "--address", address], folder / "log", **settings) as process:
        deadline = time.monotonic() + 240
        while not (folder / "worker.sock").exists():
            alive(process, deadline, folder / "log")
            time.sleep(0.5)
        yield process, address


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """Address of a worker with a vLLM engine."""
    with working(tmp_path_factory.mktemp("worker")) as (_, address):
        yield address


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """URL of a vLLM server with the bundled `small`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", MODELS / "small", "--served-model-name", "small"]
    command += ["--enforce-eager", "--dtype", "float32", "--port", str(port), "--max-model-len", "1024"]
    with running(command, log) as process:
        deadline = time.monotonic() + 240
        while True:
            alive(process, deadline, log)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def client(url, **options):
    backend = backends.build("openai", {"base_url": url, "model": "small", **options})
    try:
        await backend.prepare()
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def embedded(name):
    backend = backends.build("embedded", {"directory": MODELS / name})
    try:
        yield backend
    finally:
        await backend.close()


@pytest.mark.slow  # an engine beside those of the others, with gigabytes of its own
def test_the_engine_conforms_like_every_backend():
    done = subprocess.run(
        [PYTHON, "-m", "tests.engines.conformance", MODELS / "small"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "conforms" in done.stdout
    assert "pieces" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_worker_whose_engine_has_died_ends_so_that_a_new_one_is_started(tmp_path):
    with working(tmp_path) as (process, _):
        found = subprocess.run(["pgrep", "-P", str(process.pid), "-f", "EngineCore"], capture_output=True, text=True, check=False).stdout.split()
        assert found, subprocess.run(["ps", "-o", "pid,args", "--ppid", str(process.pid)], capture_output=True, text=True, check=False).stdout
        os.kill(int(found[0]), 9)
        assert process.wait(60) == 3
    assert "failed for good: large" in (tmp_path / "log").read_text()


async def test_a_server_does_all_that_is_claimed_of_it(server):
    async with client(server) as backend:
        assert backend.capabilities >= {"prefix", "stop", "logprobs", "top_logprobs", "suppress", "halt", "cancel"}


async def test_all_backends_agree_on_greedy_output(server, worker):
    calls = [Call(messages=(Message(content=problem.question),), temperature=0.0) for problem in PAPER]
    async with client(server) as theirs, embedded("small") as ours:
        for call in calls:
            served, drawn = await theirs.sample(call, Spent()), await ours.sample(call, Spent())
            assert (served.text, served.finish) == (drawn.text, drawn.finish)
            assert (served.prompt_tokens, served.completion_tokens) == (drawn.prompt_tokens, drawn.completion_tokens)
            assert served.logprobs == pytest.approx(drawn.logprobs, abs=2e-3)
    async with connected(worker) as remote, embedded("large") as ours:
        local = LocalExecutor(pools={"large": Pool(backend=ours)})
        for problem in PAPER:
            order = question(problem), plan("direct", skill="solve"), Evidence(), Budget()
            there, here = await remote.execute(*order, Bill()), await local.execute(*order, Bill())
            assert (there.text, there.usage.tokens) == (here.text, here.usage.tokens)


async def test_a_cancelled_sample_is_aborted_in_the_engine(server):
    endless = Call(messages=(Message(content="Tom Tom Tom Tom"),), prefix="1 " * 60, temperature=0.0, max_tokens=900)  # counts on and on
    async with client(server) as backend:
        spent = Spent()
        task = asyncio.create_task(backend.sample(endless, spent))
        while spent.completion < 3 and not task.done():
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.5)
        assert (await _metric(server, "vllm:num_requests_running")) == 0
    assert 3 <= spent.completion < 900


async def _metric(url, name):
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").removesuffix("/v1").split(":"))
    writer.write(b"GET /metrics HTTP/1.0\r\nhost: x\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name}{{"))


def assert_answered(outcome, bill, strategy):
    """It answered, or withheld its answer knowingly, and what it bought is what was charged."""
    assert outcome.usage.tokens == bill.usage.tokens > 0
    assert outcome.usage.samples > 0
    assert outcome.stop_reason not in {"backend", "deadline"}
    assert outcome.answer is not None or strategy == "abstention", outcome


@pytest.mark.parametrize("strategy", NAMES)
async def test_every_strategy_runs_on_the_engine_in_the_worker(worker, strategy):
    bill = Bill()
    async with connected(worker) as remote:
        outcome = await remote.execute(question(PAPER[0]), plan(strategy, **OPTIONS.get(strategy, {})), Evidence(), Budget(), bill)
    assert_answered(outcome, bill, strategy)


@pytest.mark.parametrize("strategy", NAMES)
async def test_every_strategy_that_small_has_the_skills_for_runs_on_the_server(server, strategy):
    bill, one = Bill(), plan(strategy, pool="served", **OPTIONS.get(strategy, {}))
    async with client(server) as backend, embedded("nano") as draft:
        pool = Pool(backend=backend, verifier=verifiers.build("calculator"))
        executor = LocalExecutor(pools={"served": pool, "small": Pool(backend=draft)})
        if strategies.build(strategy, one.options).needs - {"helper"} - pool.capabilities:
            with pytest.raises(UnknownPlan, match="which pool served lacks"):
                executor.check([one])
            return
        outcome = await executor.execute(question(PAPER[0]), one, Evidence(), Budget(), bill)
    assert_answered(outcome, bill, strategy)


async def test_the_deadline_reaches_the_engine_and_all_is_charged(worker):
    bill = Bill()
    async with connected(worker) as remote:
        query = question(PAPER[3], deadline=time.monotonic() + 0.7)
        outcome = await remote.execute(query, plan("best_of_n", n=64, temperature=1.5), Evidence(), Budget(), bill)
    assert outcome.usage.tokens == bill.usage.tokens > 0
