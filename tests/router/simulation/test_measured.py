"""The log as traffic to be played again."""

import json
from dataclasses import replace

import pytest

from router import archive
from router.errors import InvalidQuery
from router.settings import Settings
from router.simulation.measured import traffic
from router.types import Record

PLANS = {name: plan.plan(name) for name, plan in Settings().plans.items()}


def bought(decision: str, stage: int, plan: str, at: float, **outcome: object) -> Record:
    told = {
        "stop_reason": "done",
        "samples": 1,
        "calls": 1,
        "prompt_tokens": 30,
        "kept_tokens": 12,
        "outcome_tokens": (12,),
        "cost": 7,
        "seconds": 0.1,
    }
    chances = {"offered": ("abstain", plan), "scores": (0.0, 9.0), "costs": (0.0, 5.0), "policy": "allocator-2"}
    return Record(
        id=f"{decision}/{stage}",
        kind="stage",
        decision_id=decision,
        tenant="t",
        at=at,
        stage=stage,
        action="buy",
        plan=plan,
        **(chances | told | outcome),
    )


def ended(decision: str, stage: int, at: float, reason: str = "stopped") -> Record:
    return Record(id=f"{decision}/{stage}", kind="stage", decision_id=decision, tenant="t", at=at, stage=stage, action="stop", stop_reason=reason)


def read(folder, rows: list[Record], most: int = 100):
    archive.store(folder, "log", archive.rows([archive.encode(row) for row in rows]))
    return traffic(sorted(folder.rglob("*.parquet")), PLANS, most)


def test_requests_are_read_whole(tmp_path) -> None:
    vote = {"samples": 3, "prompt_tokens": 90, "kept_tokens": 30, "discarded_tokens": 6, "outcome_tokens": (10, 20, 6), "cost": 50}
    rows = [bought("a", 0, "nano-direct", 1.0), bought("a", 1, "small-vote", 1.1, **vote), ended("a", 2, 1.3)]
    rows += [Record(id="a/0/user", kind="reward", decision_id="a", tenant="t", at=2.0, reward=1.0, reward_source="user")]
    rows += [
        ended("b", 0, 2.0, "cached"),
        bought("c", 0, "nano-direct", 4.0, stop_reason="failed"),
        bought("d", 0, "nano-direct", 5.0, stop_reason=""),
    ]
    found = read(tmp_path, rows)
    assert [len(one.steps) for one in found.episodes] == [2, 0]
    first, second = (step.purchase for step in found.episodes[0].steps)
    assert (first.pool, first.rounds, first.prompt, first.written) == ("nano", ((12,),), 30, 12)
    assert (second.pool, second.rounds, second.prompt, second.cost) == ("small", ((10, 20, 6),), 30, 50)
    assert found.episodes[0].steps[0].choices == (("abstain", 0.0, 0.0), ("nano-direct", 9.0, 5.0))
    assert (found.stages, found.cached, found.reports, found.cost) == (1.0, 0.5, 0.5, 28.5)
    assert found.ceilings == {"nano-direct": 200, "small-vote": 6_000}


def test_a_search_takes_its_samples_in_rounds(tmp_path) -> None:
    tree = {"samples": 10, "prompt_tokens": 600, "kept_tokens": 40, "discarded_tokens": 60, "outcome_tokens": (10, 15, 15, 10), "scored_tokens": 300}
    found = read(tmp_path, [bought("a", 0, "large-tree", 1.0, **tree), ended("a", 1, 2.0)])
    (purchase,) = found.by_plan["large-tree"]
    assert purchase.rounds == ((10,) * 4, (10,) * 4, (10,) * 2)
    assert purchase.prompt == 300  # of each round


def test_a_vote_draws_as_many_at_a_time_as_its_plan_says(tmp_path) -> None:
    """Six of `small-vote`, which draws four at a time, of which one was cancelled."""
    vote = {"samples": 6, "prompt_tokens": 120, "kept_tokens": 100, "cancelled_tokens": 8, "outcome_tokens": (10, 20, 20, 20, 30)}
    found = read(tmp_path, [bought("a", 0, "small-vote", 1.0, **vote), ended("a", 1, 2.0)])
    (purchase,) = found.by_plan["small-vote"]
    assert purchase.rounds == ((10, 20, 20, 20), (30, 8))
    assert purchase.prompt == 15  # of each round


def test_policies_that_look_at_no_price_are_offered_no_other(tmp_path) -> None:
    found = read(tmp_path, [bought("a", 0, "nano-direct", 1.0, policy="fixed-first"), ended("a", 1, 2.0)])
    assert found.episodes[0].steps[0].choices == ()


def test_gaps_are_those_between_requests_without_breaks(tmp_path) -> None:
    rows = [
        row
        for number in range(50)
        for row in (bought(f"d{number}", 0, "nano-direct", number + (10_000.0 if number > 24 else 0.0)), ended(f"d{number}", 1, number))
    ]
    found = read(tmp_path, [replace(row, at=max(row.at, 0.0)) for row in rows])
    assert found.rate == pytest.approx(1.0, rel=0.1)
    assert sum(found.gaps) / len(found.gaps) == pytest.approx(1.0)
    assert len(read(tmp_path, rows, most=10).episodes) == 10


def test_a_log_with_nothing_bought_says_what_to_do(tmp_path) -> None:
    with pytest.raises(InvalidQuery, match="rheostat demo"):
        traffic([], PLANS)
    with pytest.raises(InvalidQuery, match="rheostat demo"):
        read(tmp_path, [ended("b", 0, 2.0, "cached")])


def test_a_file_that_is_no_log_is_refused(tmp_path) -> None:
    (tmp_path / "odd.parquet").write_text(json.dumps({}))
    with pytest.raises(InvalidQuery, match="cannot be read"):
        traffic([tmp_path / "odd.parquet"], PLANS)
