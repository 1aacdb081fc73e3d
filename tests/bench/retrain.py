"""How long retraining takes, and how much memory, by the size of the log: `make bench-retrain` (10,000, 100,000 and 1,000,000 rows;
`ARGS="--rows 10000000 --engine local --engine ray"`)."""

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from predictors.training.retrain import ENGINES, retrain
from router.archive import columnar

PLANS = ("nano", "small", "large", "vote")
WIDTH = 86  # of the features, as the static encoder's
ROWS_PER_DECISION = 4  # two stages on average, an ending and a reward
CHUNK = 25_000


def lists(lengths, values):
    return pa.ListArray.from_arrays(pa.array(np.concatenate(([0], lengths.cumsum())).astype(np.int32)), pa.array(values))


def stage_rows(ids, stage, x, before, rng):
    """One purchase of each decision: its rows, and the answers."""
    count = len(ids)
    plan = rng.integers(len(PLANS), size=count)
    right = rng.random(count) < 1 / (1 + np.exp(-(plan - 1 + 1.5 * x[:, 1])))
    answer = np.where(right, "7", rng.integers(1_000, size=count).astype(str))
    lengths = np.where(plan == 3, 8, 1)
    each = np.repeat(np.arange(count), lengths)
    same = rng.random(len(each)) < 0.7
    scores = 1 / (1 + np.exp(-rng.normal(np.where(right[each] & same, 1.5, -1.5), 2)))
    cost = np.exp(plan + 3 + 0.3 * x[:, 2] + rng.normal(size=count) * 0.3)
    columns = {
        "id": [f"{one}/{stage}" for one in ids], "decision_id": ids, "kind": ["stage"] * count, "tenant": ids, "stage": np.full(count, stage),
        "at": rng.random(count) * 1e6 + stage, "features": lists(np.full(count, WIDTH), x.ravel()),
        "feature_version": ["bench"] * count, "answer": before, "action": ["buy"] * count, "plan": np.array(PLANS)[plan],
        "propensity": np.full(count, 1 / len(PLANS)), "explored": np.ones(count, bool), "outcome_answer": answer,
        "outcome_answers": lists(lengths, np.where(same, answer[each], "3")), "outcome_scores": lists(lengths, scores),
        "outcome_logprobs": lists(lengths, -rng.random(len(each))),
        "outcome_tokens": lists(lengths, rng.integers(20, 200, len(each))), "stop_reason": ["done"] * count, "cost": cost.astype(int) + 1,
        "kept_tokens": cost.astype(int), "seconds": cost / 100,
    }  # fmt: skip
    return columnar(columns, count), answer


def write_log(rows: int, folder: Path) -> None:
    """A synthetic log: kinds of rows one after the other, as many files as chunks."""
    rng, decisions = np.random.default_rng(0), rows // ROWS_PER_DECISION
    for start in range(0, decisions, CHUNK):
        ids = np.array([f"{number:016x}" for number in rng.permutation(np.arange(start, min(start + CHUNK, decisions)) * 7919)])
        count = len(ids)
        x = rng.normal(size=(count, WIDTH))
        x[:, 0] = 1
        stages, answer = rng.integers(1, 4, size=count), np.full(count, "", "<U8")
        tables = []
        for stage in range(3):
            on = stages > stage
            table, answer[on] = stage_rows(ids[on], stage, x[on], answer[on], rng)
            tables.append(table)
        ending = {
            "id": [f"{one}/{stage}" for one, stage in zip(ids, stages, strict=True)], "decision_id": ids, "kind": ["stage"] * count, "tenant": ids,
            "stage": stages, "at": rng.random(count) * 1e6 + 5, "answer": answer, "action": ["stop"] * count,
            "stop_reason": ["stopped"] * count, "propensity": np.ones(count), "feature_version": ["bench"] * count,
        }  # fmt: skip
        reward = {
            "id": [f"{one}/-1/verifier" for one in ids], "decision_id": ids, "kind": ["reward"] * count, "tenant": ids, "stage": np.full(count, -1),
            "at": np.full(count, 2e6), "reward": (answer == "7").astype(float),
            "reward_source": ["verifier"] * count,
        }  # fmt: skip
        pq.write_table(
            pa.concat_tables([*tables, columnar(ending, count), columnar(reward, count)]), folder / f"{start:09d}.parquet", compression="zstd"
        )


def measure(log: Path, engine: str) -> dict[str, object]:
    """Seconds and peak memory of one retraining, in this process, and of all that it starts."""
    took = {}

    def reading(*given, **options):
        began = time.perf_counter()
        survey = read(*given, **options)
        took["reading"] = round(time.perf_counter() - began, 1)
        return survey

    read, ENGINES[engine] = ENGINES[engine], reading
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="rheostat-bench-") as folder, started_processes() as started:
        report = retrain(log, PLANS, Path(folder) / "predictor", engine=engine, progress=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    told = {"rows": report.facts["data"]["rows"], "engine": engine, "version": report.version, "seconds": round(seconds, 1)} | took
    return told | {"peak_gib": round(peak, 2), "others_peak_gib": round(max(started, default=0) / 2**30, 2)}


@contextmanager
def started_processes() -> Iterator[list[int]]:
    """Bytes that processes started from here had to themselves, looked at twice a second."""
    seen, ended = [0], threading.Event()

    def own(process: psutil.Process) -> int:
        with suppress(psutil.NoSuchProcess):
            memory = process.memory_info()
            return max(0, memory.rss - memory.shared)
        return 0

    def look() -> None:
        while not ended.wait(0.5):
            seen.append(sum(map(own, psutil.Process().children(recursive=True))))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Rows of the log; may be repeated.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="What reads the log, `local` or `ray`; may be repeated.")] = None,
    log: Annotated[Path | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Each in a process of its own, so that each has its own peak; the engines read the same log."""
    if log:
        print(json.dumps(measure(log, (engine or ["local"])[0])))
        return
    found = [one for size in rows or [10_000, 100_000, 1_000_000] for one in compare(size, engine or ["local"])]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("rows", "engine", "seconds", "of them reading", "peak GiB", "others' peak GiB", "version", title="Retraining")
    for one in found:
        columns = ("engine", "seconds", "reading", "peak_gib", "others_peak_gib", "version")
        table.add_row(f"{one['rows']:,}", *(str(one[name]) for name in columns))
    Console().print(table)


def compare(rows: int, engines: list[str]) -> Iterator[dict[str, object]]:
    """What each engine took for a synthetic log of this size."""
    with tempfile.TemporaryDirectory(prefix="rheostat-bench-") as folder:
        write_log(rows, Path(folder))
        for engine in engines:
            command = [sys.executable, "-m", "tests.bench.retrain", "--log", folder, "--engine", engine]
            yield json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


if __name__ == "__main__":
    typer.run(main)
