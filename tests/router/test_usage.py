"""What a tenant used: every row once, whoever shipped it how often, between its bounds, by what was asked."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from router import archive
from router.errors import InvalidQuery
from router.types import Record
from router.usage import By, as_json, day, shown, usage, write

MORNING = datetime(2026, 11, 25, 8, tzinfo=UTC).timestamp()
DAY = 86_400.0


def row(decision: str, stage: int, at: float, **more: object) -> Record:
    known = {"tenant": "acme", "plan": "vote", "policy": "allocator-1", "stop_reason": "agreed"}
    return Record(id=f"{decision}/{stage}", kind="stage", decision_id=decision, stage=stage, at=at, **known | more)


ROWS = [
    row("a", 0, MORNING, cost=10, kept_tokens=5, samples=2, joules=1.5, energy="measured"),
    row("a", 1, MORNING, cost=7, plan="tree", cancelled_tokens=3, joules=0.5, energy="estimated"),
    row("a", 2, MORNING, plan="", stop_reason="stopped"),
    row("b", 0, MORNING + DAY, cost=100, policy="fixed", energy="measured", joules=2.0),
    row("c", 0, MORNING, cost=1_000, tenant="umbrella"),
    row("p", 0, MORNING, stop_reason=""),  # planned only
    Record(id="a/0/user", kind="reward", decision_id="a", tenant="acme", at=MORNING, stage=0, reward=1.0, reward_source="user", cost=50),
]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The rows in two files that overlap."""
    plain = [archive.decode(archive.encode(one)) for one in ROWS]
    archive.store(tmp_path, "first", plain[:4])
    archive.store(tmp_path, "second", plain[2:])
    archive.store(tmp_path, "again", plain)
    return sorted(tmp_path.glob("date=*/*.parquet"))


def test_every_row_counts_once_and_a_tenant_sees_its_own(files: list[Path]) -> None:
    first, second = usage(files, "acme", By.DAY).to_pylist()
    assert (first["day"], first["decisions"], first["purchases"], first["cost_microdollars"]) == ("2026-11-25", 2, 2, 17)
    assert (first["samples"], first["kept_tokens"], first["cancelled_tokens"], first["joules"], first["energy"]) == (2, 5, 3, 2.0, "estimated")
    assert (second["day"], second["cost_microdollars"], second["energy"]) == ("2026-11-26", 100, "measured")
    assert usage(files, "nobody", By.DAY).num_rows == 0


@pytest.mark.parametrize(("by", "costs"), [(By.PLAN, {"": 0, "tree": 7, "vote": 110}), (By.POLICY, {"allocator-1": 17, "fixed": 100})])
def test_it_is_told_by_plan_and_by_policy(files: list[Path], by: By, costs: dict[str, int]) -> None:
    assert {one[by.value]: one["cost_microdollars"] for one in usage(files, "acme", by).to_pylist()} == costs


def test_people_are_told_in_eighty_columns(files: list[Path]) -> None:
    printed = io.StringIO()
    Console(file=printed, width=80).print(shown(usage(files, "acme", By.DAY), "acme"))
    told = printed.getvalue()
    assert max(map(len, told.splitlines())) <= 80
    assert "…" not in told
    assert [re.findall(r"\d[\d,.-]*", line)[-3] for line in told.splitlines() if re.match("│ (2026|all)", line)] == ["17", "100", "117"]
    assert "Joules as estimated" in told


def test_bounds_are_days_or_moments_and_the_last_is_excluded(files: list[Path]) -> None:
    def cost(since: str, until: str) -> int:
        return sum(one["cost_microdollars"] for one in usage(files, "acme", By.DAY, day(since), day(until)).to_pylist())

    assert cost("2026-11-25", "2026-11-26") == 17
    assert cost("2026-11-26", "2026-11-27") == 100
    assert cost("2026-11-25T08:00:00", "2026-11-26T08:00:00") == 17
    assert cost("2026-11-25T09:00:00+01:00", "2026-11-26T08:00:01") == 117
    with pytest.raises(ValueError, match="no date"):
        day("yesterday")


def test_rows_of_older_versions_lack_what_they_did_not_know(tmp_path: Path, files: list[Path]) -> None:
    old = pq.read_table(files[0]).drop_columns(["joules", "energy", "value"])
    for file in files:
        file.unlink()
    pq.write_table(old, tmp_path / "old.parquet")
    assert [(one["cost_microdollars"], one["joules"], one["energy"]) for one in usage([tmp_path / "old.parquet"], "acme", By.DAY).to_pylist()] == [
        (17, 0.0, "estimated")
    ]
    assert usage([], "acme", By.DAY).num_rows == 0
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(InvalidQuery, match="cannot be read"):
        usage([tmp_path / "bad.parquet"], "acme", By.DAY)


def test_it_is_written_as_csv_and_parquet_and_told_as_json(files: list[Path], tmp_path: Path) -> None:
    found = usage(files, "acme", By.PLAN)
    write(found, tmp_path / "out.csv")
    write(found, tmp_path / "out.parquet")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(one["plan"], int(one["cost_microdollars"])) for one in rows] == [("", 0), ("tree", 7), ("vote", 110)]
    assert pq.read_table(tmp_path / "out.parquet").equals(found)
    assert json.loads(as_json(found, "acme", By.PLAN))["total"]["cost_microdollars"] == 117
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        write(pa.table({}), tmp_path / "out.xlsx")
