"""How long retraining takes, and how much memory, by the size of the log: `make bench-retrain` (10,000, 100,000 and 1,000,000 rows)."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from predictors.training.retrain import retrain
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


def measure(rows: int) -> dict[str, float]:
    """Seconds and peak memory of one retraining, in this process."""
    with tempfile.TemporaryDirectory(prefix="rheostat-bench-") as folder:
        log, before = Path(folder) / "log", time.perf_counter()
        log.mkdir()
        write_log(rows, log)
        written = time.perf_counter()
        report = retrain(log, PLANS, Path(folder) / "predictor", progress=True)
        seconds = time.perf_counter() - written
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"rows": report.facts["data"]["rows"], "seconds": round(seconds, 1), "peak_gib": round(peak, 2), "writing": round(written - before, 1)}


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Rows of the log; may be repeated.")] = None,
    alone: Annotated[bool, typer.Option(hidden=True)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Each size in a process of its own, so that each has its own peak."""
    sizes = rows or [10_000, 100_000, 1_000_000]
    if alone:
        print(json.dumps(measure(sizes[0])))
        return
    command = [sys.executable, "-m", "tests.bench.retrain", "--alone", "--rows"]
    found = [json.loads(subprocess.run([*command, str(size)], stdout=subprocess.PIPE, check=True).stdout) for size in sizes]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("rows", "seconds", "peak GiB", title="Retraining")
    for one in found:
        table.add_row(f"{one['rows']:,}", str(one["seconds"]), str(one["peak_gib"]))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
