"""Decisions line by line: the same whatever order their rows are read in, each row once, and only what is new read again."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from router import archive
from router.operations.line import Line, State
from router.operations.recent import Recent
from router.types import Record

BUY = Record(
    id="a/0",
    kind="stage",
    decision_id="a",
    tenant="default",
    at=100.0,
    task="math",
    prompt="What is 2 + 2?",
    action="buy",
    plan="quick",
    offered=("quick", "long", "stop"),
    success=(0.5, 0.9, 0.0),
    policy="allocator-2",
    stop_reason="done",
    outcome_answer="5",
    cost=7,
    kept_tokens=3,
    discarded_tokens=2,
    seconds=0.5,
)
AGAIN = replace(BUY, id="a/1", at=101.0, stage=1, plan="long", prompt="", in_hand=0.3, answer="5", outcome_answer="4", cost=20, explored=True)
STOP = replace(
    BUY, id="a/2", at=102.0, stage=2, action="stop", plan="", prompt="", in_hand=0.8, answer="4", outcome_answer="", stop_reason="", cost=0
)
USER = Record(
    id="a/-1/user", kind="reward", decision_id="a", tenant="default", at=103.0, stage=-1, reward=0.0, reward_source="user", action="", policy=""
)
JUDGED = replace(USER, id="a/-1/verifier", reward=1.0, reward_source="verifier")
ROWS = [BUY, AGAIN, STOP, USER, JUDGED]


def write(folder: Path, name: str, rows: list[Record]) -> Path:
    """As a segment of a write-ahead log."""
    (folder / "journal" / "wal").mkdir(parents=True, exist_ok=True)
    file = folder / "journal" / "wal" / f"{name}.jsonl"
    file.write_bytes(b"".join(archive.encode(row) + b"\n" for row in rows))
    return file


def ship(folder: Path, file: Path) -> None:
    archive.store(folder / "journal" / "parquet", file.stem, archive.rows(file.read_bytes().split(b"\n")[:-1]))
    file.unlink()


@pytest.mark.parametrize("seed", range(5))
def test_a_line_is_the_same_whatever_order_its_rows_come_in(seed: int, tmp_path: Path) -> None:
    rows = random.Random(seed).sample(ROWS, len(ROWS))
    ship(tmp_path, write(tmp_path, "001", rows[:2]))
    write(tmp_path, "002", rows[2:])
    (line,) = Recent(tmp_path, "default").look()
    assert (line.facts.plans, line.facts.state, line.facts.last.answer, line.facts.last.in_hand) == (("quick", "long"), State.ANSWERED, "4", 0.8)
    assert (line.facts.cost, line.facts.tokens, line.at, line.prompt, line.explored) == (27, 15, 100.0, "What is 2 + 2?", True)
    assert line.difficulty == pytest.approx(1 - 0.7)
    assert line.facts.reward == 1.0, "a verifier is trusted more than a user"


def test_a_row_that_is_shipped_between_two_looks_counts_once(tmp_path: Path) -> None:
    file, recent = write(tmp_path, "001", ROWS), Recent(tmp_path, "default")
    (before,) = recent.look()
    cost = before.facts.cost
    ship(tmp_path, file)
    (after,) = recent.look()
    assert after.facts.cost == cost == 27


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    file, recent = write(tmp_path, "001", [BUY]), Recent(tmp_path, "default")
    recent.look()
    whole = file.read_bytes()
    file.write_bytes(b"x" * (len(whole) - 1) + b"\n" + archive.encode(AGAIN) + b"\n")
    (line,) = recent.look()
    assert line.facts.plans == ("quick", "long")


def test_the_latest_are_kept_and_older_files_are_not_even_read(tmp_path: Path) -> None:
    recent = Recent(tmp_path, "default", most=3)
    for number in range(6):
        ship(tmp_path, write(tmp_path, f"{number:03}", [replace(BUY, id=f"{number}/0", decision_id=str(number), at=100.0 + number)]))
    assert [line.id for line in recent.look()] == ["5", "4", "3"]
    ship(tmp_path, write(tmp_path, "009", [replace(BUY, id="9/0", decision_id="9", at=200.0)]))
    assert [line.id for line in recent.look()] == ["9", "5", "4"]
    ship(tmp_path, write(tmp_path, "010", [replace(USER, id="5/-1/user", decision_id="5")]))
    assert [line.facts.reward for line in recent.look()] == [None, 0.0, None]


def test_each_tenant_sees_its_own_from_all_journals_and_nothing_damaged(tmp_path: Path) -> None:
    write(tmp_path, "001", [BUY, replace(BUY, id="b/0", decision_id="b", tenant="other")])
    with (tmp_path / "journal" / "wal" / "001.jsonl").open("ab") as file:
        file.write(b'{"id": "c/0", "success": "!"}\nnot json\n[]\n')
    (tmp_path / "journal-2a" / "wal").mkdir(parents=True)
    (tmp_path / "journal-2a" / "wal" / "001.jsonl").write_bytes(archive.encode(replace(BUY, id="d/0", decision_id="d", at=99.0)) + b"\n")
    assert [line.id for line in Recent(tmp_path, "default").look()] == ["a", "d"]
    assert [line.id for line in Recent(tmp_path, "other").look()] == ["b"]
    assert Recent(tmp_path, "nobody").look() == ()


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([BUY], State.OPEN),
        ([replace(BUY, stop_reason="")], State.PLANNED),
        ([replace(STOP, stage=0, id="a/0", action="abstain", answer="")], State.ABSTAINED),
        ([replace(STOP, stage=0, id="a/0", stop_reason="cached")], State.CACHED),
    ],
)
def test_what_became_of_a_request(rows: list[Record], state: State) -> None:
    line = Line(id="a")
    for row in rows:
        line.add(archive.decode(archive.encode(row)))
    assert line.facts.state is state


def test_a_reward_of_another_plans_answer_says_what_it_can() -> None:
    line = Line(id="a")
    for row in [BUY, AGAIN, STOP, replace(USER, id="a/0/user", stage=0, reward=1.0)]:
        line.add(archive.decode(archive.encode(row)))
    assert line.facts.reward == 0.0, "where 5 is right, 4 is wrong"
    line.add(archive.decode(archive.encode(replace(USER, id="a/0/user", stage=0, reward=0.0))))
    assert line.facts.reward is None, "that 5 is wrong does not make 4 right"
    line.add(archive.decode(archive.encode(replace(USER, id="a/1/verifier", stage=1, reward=1.0, reward_source="verifier"))))
    assert line.facts.reward == 1.0
