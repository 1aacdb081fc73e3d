"""What it takes to look at 10,000 decisions: from the log the first time, then only what was added, summed up, and a page of them."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rheostat.v1 import operations_service_pb2 as pb

from router import archive
from router.operations import wire
from router.operations.recent import Recent
from router.operations.summary import Summary
from router.types import Record

_DECISIONS, _FILE = 10_000, 5_000
_BUY = Record(
    id="",
    kind="stage",
    decision_id="",
    tenant="default",
    at=0.0,
    prompt="How many apples does Tom have now?",
    features=(0.1,) * 300,
    action="buy",
    plan="quick",
    offered=("quick", "stop"),
    success=(0.7, 0.0),
    policy="allocator",
    stop_reason="done",
    outcome_answer="8",
    cost=5,
    seconds=0.2,
)


def looking() -> dict[str, float]:
    """Microseconds of each; three rows a decision."""
    with tempfile.TemporaryDirectory(prefix="rheostat-bench-") as folder:
        data = Path(folder)
        rows = [row for number in range(_DECISIONS) for row in _rows(number)]
        for first in range(0, len(rows), _FILE):
            archive.store(data / "journal" / "parquet", f"{first:09}", [archive.decode(archive.encode(row)) for row in rows[first : first + _FILE]])
        recent = Recent(data, "default")
        found = {"looking at 10,000 decisions, first": _took(recent.look)}
        (data / "journal" / "wal").mkdir()
        more = [row for number in range(_DECISIONS, _DECISIONS + 100) for row in _rows(number)]
        (data / "journal" / "wal" / "1.jsonl").write_bytes(b"".join(archive.encode(row) + b"\n" for row in more))
        found["looking again, with 100 more"] = _took(recent.look)
    lines = recent.look()
    found["summing up 2,000 of them"] = _took(lambda: wire.summary_to_pb(Summary(lines=lines[:2_000])))
    search = wire.search_from_pb(pb.ListDecisionsRequest(search="apples"))
    return found | {"a page of 200, searched for": _took(lambda: [wire.line_to_pb(line) for line in search(lines)[:200]])}


def _rows(number: int) -> tuple[Record, ...]:
    name, at = str(number), 1e9 + number
    buy = replace(_BUY, id=f"{name}/0", decision_id=name, at=at)
    stop = replace(
        buy, id=f"{name}/1", stage=1, action="stop", plan="", stop_reason="", outcome_answer="", answer="8", in_hand=0.8, cost=0, features=()
    )
    return buy, stop, replace(stop, id=f"{name}/-1/user", kind="reward", stage=-1, reward=float(number % 3 > 0), reward_source="user")


def _took(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e6
