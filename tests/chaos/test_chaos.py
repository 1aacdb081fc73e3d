"""Faults for a minute, and that the checks would notice."""

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from router.types import Record
from tests.chaos.__main__ import chaos
from tests.chaos.checks import violations
from tests.chaos.traffic import Promises

ROW = Record(id="d/0", kind="stage", decision_id="d", tenant="lab", at=0.0, plan="once", stop_reason="done", cost=10)
REWARD = Record(id="d/-1/verifier", kind="reward", decision_id="d", tenant="lab", at=0.0, stage=-1, reward=1.0, reward_source="verifier")
KEPT = Promises(answers=[("d", "lab", 10)], outcomes=[("d", "lab", 1.0)], asked={"d": "lab"})
SPENT = {"lab": (10, 0)}


class Struck:
    """Faults that were."""

    def __init__(self, outages: int = 0) -> None:
        self.outages, self.counts = outages, Counter()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_is_lost_overspent_or_leaked() -> None:
    with tempfile.TemporaryDirectory(prefix="rc-", ignore_cleanup_errors=True) as folder:
        found = await chaos(60.0, 20_261_126, Path(folder))
    assert found["violations"] == [], found
    assert sum(found["faults"].values()) >= 8
    assert min(found["acknowledged"].values()) > 100


def test_kept_promises_are_no_violations() -> None:
    assert violations(KEPT, [ROW, REWARD], SPENT, Struck(), []) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"logged": [ROW]}, "outcome of decision d of lab was acknowledged"),
        ({"logged": [ROW, replace(REWARD, reward=0.0)]}, "outcome of decision d"),
        ({"logged": [REWARD]}, "was answered, and is in no log"),
        ({"logged": [replace(ROW, cost=9), REWARD]}, "cost 10, and 9"),
        ({"logged": [replace(ROW, tenant="acme"), REWARD]}, "is acme's, lab asked"),
        ({"spent": {"lab": (11, 0)}}, "11 micro-dollars are charged, and 10"),
        ({"spent": {"lab": (9, 0)}}, "9 micro-dollars are charged, and 10"),
        ({"spent": {"lab": (10, 5)}}, "5 micro-dollars are still held"),
        ({"logged": [replace(ROW, cost=400_001), REWARD], "spent": {"lab": (400_001, 0)}}, "400001 micro-dollars were spent of 400000"),
        ({"promises": replace(KEPT, late=[("answer", 9.0)])}, "took 9.0 s"),
    ],
)
def test_every_broken_promise_is_noticed(changed: dict, told: str) -> None:
    given = {"promises": KEPT, "logged": [ROW, REWARD], "spent": SPENT} | changed
    assert told in " ".join(violations(given["promises"], given["logged"], given["spent"], Struck(), []))


def test_a_call_that_outlives_its_deadline_is_noticed_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"event": "call_served", "method": "M", "ms": 6100.0}\n{"event": "call_serv')
    assert "took 6.1 s" in violations(KEPT, [ROW, REWARD], SPENT, Struck(), [tmp_path / "log"])[0]
