"""A log in object storage, and one that is read by Ray: the same artifact, and nothing half-written where the storage fails."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from predictors.training.storage import parquet_files
from router.errors import InvalidQuery
from router.types import Record
from tests.predictors.world import PLANS, practice, written

_PLANS = [argument for plan in PLANS for argument in ("--plan", plan.id)]


@dataclass
class Store:
    """An S3 that answers `left` requests more, and then says that it is too busy."""

    answer: Callable[..., Iterable[bytes]] = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    left: float = float("inf")
    asked: int = 0
    port: int = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked += 1
        self.left -= 1
        if self.left < 0:
            start_response("503 Slow Down", [("content-type", "text/plain")])
            return [b"later"]
        return self.answer(environ, start_response)

    @property
    def environment(self) -> dict[str, str]:
        there = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
        return there | {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    one = Store()
    server = make_server("127.0.0.1", 0, one, threaded=True, request_handler=_Quiet)
    one.port = server.server_port
    serving = Thread(target=server.serve_forever)
    serving.start()
    yield one
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture(scope="module")
def rows() -> list[Record]:
    return practice(90, seed=3)


@pytest.fixture
def log(rows: list[Record], tmp_path: Path) -> Path:
    """Files that share decisions, and repeat rows; one decision began with what another had bought."""
    thirds = [[row for place, row in enumerate(rows) if place % 3 == third] for third in range(3)]
    heir = [replace(row, id=f"heir-{row.id}", decision_id=f"heir-{row.decision_id}", inherited=("d/0",)) for row in rows[:9] if row.kind == "stage"]
    for name, some in {"1": thirds[0], "2": [*thirds[1], *thirds[0][:50]], "3": [*thirds[2], *heir], "4": heir, "5": rows[:5]}.items():
        written(some, tmp_path / "log" / f"date={name}")
    return tmp_path / "log"


def python(*arguments: object, store: Store | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as an operator would: clients of storages and of Ray keep threads."""
    ours = {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_AUTH_TOKEN": "of-a-cluster-of-this-test-alone-0123"}  # or Ray would leave one in the home
    env = os.environ | ours | (store.environment if store else {}) | environment
    return subprocess.run([sys.executable, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=100, check=False)


def retrain(source: object, into: Path, engine: str = "local", store: Store | None = None) -> subprocess.CompletedProcess[str]:
    return python("-m", "router", "retrain", "--from", source, "--to", into, "--engine", engine, "--json", *_PLANS, store=store)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def uploaded(log: Path, store: Store, prefix: str) -> str:
    """The address of a copy."""
    put = "import sys, fsspec; s3 = fsspec.filesystem('s3'); s3.makedirs('bucket', exist_ok=True); s3.put(sys.argv[1], sys.argv[2], recursive=True)"
    done = python("-c", put, f"{log}/", f"bucket/{prefix}/", store=store)
    assert done.returncode == 0, done.stderr
    return f"s3://bucket/{prefix}"


@pytest.mark.timeout(200)
def test_wherever_the_log_is_and_whoever_reads_it_the_artifact_is_the_same(log: Path, tmp_path: Path, store: Store) -> None:
    there = uploaded(log, store, "same")
    runs = {"here": (log, "local"), "there": (f"{there}/date=*/*.parquet", "local"), "ray": (there, "ray")}
    facts = {}
    for name, (source, engine) in runs.items():
        done = retrain(source, tmp_path / name, engine, store)
        assert done.returncode == 0, done.stderr
        facts[name] = json.loads(done.stdout)
    assert facts["here"]["data"]["decisions"] == 90
    assert all(one == facts["here"] for one in facts.values())
    assert all(content(tmp_path / name) == content(tmp_path / "here") for name in runs)


COMPARE = """
import sys
from dataclasses import asdict
from pathlib import Path
import pyarrow.parquet as pq
from predictors.training import extract, spread
from predictors.training.storage import parquet_files
files, folder = parquet_files(sys.argv[1]), Path(sys.argv[2])
surveys = [engine.sample(files, folder / name / "sample.parquet", most=40) for name, engine in (("local", extract), ("ray", spread))]
assert surveys[0] == surveys[1], surveys
assert surveys[0].share < 1, surveys[0]
one, other = (pq.read_table(folder / name / "sample.parquet") for name in ("local", "ray"))
assert one.num_rows > 60, one.num_rows
assert list(zip(one.schema.names, one.schema.types)) == list(zip(other.schema.names, other.schema.types))
assert str(one.to_pylist()) == str(other.to_pylist())
"""


@pytest.mark.slow
def test_both_engines_draw_the_same_of_a_log_that_is_too_large(log: Path, tmp_path: Path) -> None:
    done = python("-c", COMPARE, log, tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_is_wrong_with_a_log_is_told_by_both_engines(log: Path, tmp_path: Path) -> None:
    (log / "date=2" / "log.parquet").write_bytes(b"PAR1")
    for engine in ("local", "ray"):
        done = retrain(log, tmp_path / "new", engine)
        assert done.returncode == 5
        assert "INVALID_QUERY" in done.stderr
        assert "date=2/log.parquet is no whole Parquet file" in done.stderr.replace("\n", "")


@pytest.mark.timeout(200)
@pytest.mark.slow
def test_a_storage_that_fails_half_way_leaves_what_serves_as_it_was(log: Path, tmp_path: Path, store: Store) -> None:
    served, there = tmp_path / "served", uploaded(log, store, "fails")
    assert retrain(log / "date=1", served).returncode == 0
    before, whole = content(served), retrain(there, tmp_path / "whole", store=store)
    for engine in ("local", "ray"):
        store.left = 3  # it lists the files, and gives two of five
        failed = retrain(there, served, engine, store)
        store.left = float("inf")
        assert failed.returncode == 3
        assert "LOG_UNAVAILABLE" in failed.stderr, failed.stderr
        assert "Traceback" not in failed.stderr
        assert content(served) == before
    after = retrain(there, served, store=store)
    assert json.loads(after.stdout)["version"] == json.loads(whole.stdout)["version"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "served", "whole"]


def test_an_address_that_nobody_knows_is_told() -> None:
    with pytest.raises(InvalidQuery, match="Protocol not known: nowhere"):
        parquet_files("nowhere://bucket/log")
    with pytest.raises(InvalidQuery, match="holds no Parquet file"):
        parquet_files("memory://nothing")
