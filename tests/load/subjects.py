"""What is put under load: each a process of its own on the server's core, started when it is needed."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
from rheostat.v1 import query_pb2, router_service_pb2

from router.exam import draw
from router.settings import Settings
from tests.conftest import RedisServer

ROOT = Path(__file__).parents[2]
QUESTIONS = 2_000
_START = 90.0  # seconds that a subject may take to start
_ROUTER = "/rheostat.v1.RouterService/"


@dataclass(frozen=True)
class Subject:
    """One kind of call: how it is made, to whom, with what bodies (a file of lines in hexadecimal)."""

    name: str
    kind: str
    target: str
    method: str
    bodies: str
    process: psutil.Process


def cores() -> tuple[int, int]:
    """The server's core and everybody else's; the same one where there is no other."""
    free = sorted(os.sched_getaffinity(0))
    return free[0], free[-1]


@contextmanager
def started(
    command: Sequence[str], core: int, says: str | None = r"(\S+)", log: Path | None = None, **env: str
) -> Iterator[tuple[psutil.Process, str]]:
    """A process on a core, once its output says where it listens (not waited for, where nothing is to be said)."""
    where = log or Path(tempfile.gettempdir()) / f"rheostat-load-{uuid4().hex}"
    with where.open("w") as written:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("RHEOSTAT_", "OTEL_"))}
        process = subprocess.Popen(command, stdout=written, stderr=written, cwd=ROOT, env=own | {"PYTHONPATH": os.pathsep.join(sys.path)} | env)
    watched = psutil.Process(process.pid)
    watched.cpu_affinity([core])
    try:
        yield watched, _said(process, where, says) if says else ""
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        where.unlink(missing_ok=True)


def _said(process: subprocess.Popen, where: Path, says: str) -> str:
    end = time.monotonic() + _START
    while not (found := re.search(says, where.read_text())):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"did not start: {where.read_text()[-2000:]}")
        time.sleep(0.05)
    return found[1]


@contextmanager
def subjects(folder: Path, peers: Path | None) -> Iterator[list[Subject]]:
    """Everybody, running; peers only where their environment is."""
    server, others = cores()
    with ExitStack() as stack:
        plans, bought, cached = folder / "plans", folder / "bought", folder / "cached"
        plans.write_text("\n".join(_plan(text) for text in questions()))
        bought.write_text("\n".join(answer(text, cache=False) for text in questions()))
        cached.write_text(answer(questions()[0], cache=True))
        bare, address = stack.enter_context(started([sys.executable, "-m", "tests.load.echo"], server))
        found = [Subject("echo", "unary", address, "/load.Echo/Echo", str(plans), bare)]
        process, address = stack.enter_context(rheostat(folder, server, others))
        found += [
            Subject("PlanQuery", "unary", address, f"{_ROUTER}PlanQuery", str(plans), process),
            Subject("AnswerQuery, cached", "stream", address, f"{_ROUTER}AnswerQuery", str(cached), process),
            Subject("AnswerQuery, instant backend", "stream", address, f"{_ROUTER}AnswerQuery", str(bought), process),
        ]
        if peers:
            found += stack.enter_context(_peers(folder, peers, server))
        yield found


@contextmanager
def rheostat(
    folder: Path, server: int, others: int, *, tenants: Mapping[str, dict] | None = None, pace: float = 0.0, slots: int = 0
) -> Iterator[tuple[psutil.Process, str]]:
    """`rheostat serve` as it is out of the box, but for these tenants, on its core; its Redis and a worker on the other.

    The worker answers at once or, where there is a `pace`, so many seconds later, `slots` samples at a time.
    """
    (state := folder / "redis").mkdir()
    redis = RedisServer(state)
    psutil.Process(redis.process.pid).cpu_affinity([others])
    worker, config = f"unix:{folder}/worker.sock", folder / "settings.yaml"
    settings = Settings(
        data=folder / "data", redis_url=redis.url, server={"address": "127.0.0.1:0"}, worker={"address": worker}, tenants=tenants or {"default": {}}
    )
    config.write_text(settings.model_dump_json(exclude={"config"}))
    try:
        with (
            started([sys.executable, "-m", "tests.load.instant", worker, str(pace), str(slots)], others, None),
            started([sys.executable, "-m", "router", "serve"], server, r"--address (\S+)", RHEOSTAT_CONFIG=str(config)) as running,
        ):
            yield running
    finally:
        redis.kill()


@contextmanager
def _peers(folder: Path, peers: Path, server: int) -> Iterator[list[Subject]]:
    """litellm's proxy with a model that answers at once, and paretobandit."""
    config, posts, texts, port = folder / "litellm.yaml", folder / "posts", folder / "texts", 4_000 + os.getpid() % 1_000
    model = {"model_name": "m", "litellm_params": {"model": "openai/m", "api_key": "none", "mock_response": "Answer: 5"}}
    config.write_text(json.dumps({"model_list": [model], "litellm_settings": {"telemetry": False}}))
    bodies = [{"model": "m", "messages": [{"role": "user", "content": text}]} for text in questions()]
    posts.write_text("\n".join(json.dumps(body).encode().hex() for body in bodies))
    texts.write_text("\n".join(text.encode().hex() for text in questions()))
    python, proxy = str(peers / "bin" / "python"), str(peers / "bin" / "litellm")
    with (
        started(
            [proxy, "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"],
            server,
            r"running on (http\S+)",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            PYTHONPATH="",
        ) as (litellm, _),
        started([python, str(ROOT / "tests" / "load" / "pareto.py")], server, r"(127\S+)", PYTHONPATH="") as (pareto, address),
    ):
        yield [
            Subject("litellm proxy", "http", f"http://127.0.0.1:{port}", "/chat/completions", str(posts), litellm),
            Subject("paretobandit route", "unary", address, "/load.Pareto/Route", str(texts), pareto),
        ]


def questions() -> list[str]:
    return [problem.question for problem in draw("train", 1, QUESTIONS)]


def _query(text: str, **knobs: object) -> query_pb2.Query:
    return query_pb2.Query(messages=[query_pb2.Message(content=text)], task="TASK_MATH", knobs=query_pb2.Knobs(**knobs))


def _plan(text: str) -> str:
    return router_service_pb2.PlanQueryRequest(query=_query(text)).SerializeToString().hex()


def answer(text: str, *, cache: bool, plan: str = "nano-direct") -> str:
    knobs = {"cache": cache, "exploration": 0.0, "policy": "fixed", "plans": [plan]}
    return router_service_pb2.AnswerQueryRequest(query=_query(text, **knobs)).SerializeToString().hex()
