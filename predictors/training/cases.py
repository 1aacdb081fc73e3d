"""What a log teaches: its decisions with what their answers turned out to be, as rows to learn from."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.evidence import Shown, of_record, summarise
from router.types import Record

FOLDS = 5
_NO_OUTCOME = ("", "failed", "cancelled")  # stop reasons of what was only planned, of a pool that was down, of a client that went

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """One logged decision with what its answers turned out to be: `right[answer]`, absent where nobody said."""

    id: str
    rows: tuple[Record, ...]
    right: dict[str, bool]

    @property
    def features(self) -> Array:
        """The query's feature vector."""
        return np.array(self.rows[0].features, float)

    @property
    def fold(self) -> int:
        """Which part of the cross-fit this decision belongs to."""
        return zlib.crc32(self.id.encode()) % FOLDS


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows to learn from: columns (n, d), outcomes (n,) of 0 and 1, folds (n,)."""

    x: Array
    y: Array
    fold: NDArray[np.int64]


def cases(records: Iterable[Record]) -> list[Case]:
    """Join stages and rewards of each decision, whatever their order in the log and even if written twice; unrewarded ones are left out."""
    stages: dict[str, list[Record]] = defaultdict(list)
    rewards: dict[str, list[Record]] = defaultdict(list)
    for record in {record.id: record for record in records}.values():
        (rewards if record.kind == "reward" else stages)[record.decision_id].append(record)
    found = []
    for decision, rows in stages.items():
        ordered = tuple(sorted((row for row in rows if row.action != "buy" or row.stop_reason not in _NO_OUTCOME), key=lambda row: row.stage))
        if decision in rewards and ordered and ordered[0].features:
            found.append(Case(decision, ordered, _verdicts(ordered, rewards[decision])))
    return sorted(found, key=lambda case: case.id)


def _verdicts(rows: Sequence[Record], rewards: Sequence[Record]) -> dict[str, bool]:
    """Which answers were right, by the latest who said. Where one was right, every other one was wrong."""
    right: dict[str, bool] = {}
    for reward in sorted(rewards, key=lambda one: (one.at, one.id)):
        answer = rows[-1].answer if reward.stage < 0 else next((row.outcome_answer for row in rows if row.stage == reward.stage), "")
        if answer and reward.reward is not None:
            right[answer] = reward.reward >= 0.5
    if any(right.values()):
        right.update({row.outcome_answer: False for row in rows if row.outcome_answer and row.outcome_answer not in right})
    right[""] = False
    return right


def belief_sheet(found: Sequence[Case], plans: Sequence[str]) -> Sheet:
    """Every answer in hand at every stage, and whether it was right."""
    rows: list[tuple[NDArray[Any], bool, int]] = []
    for case in found:
        for _, shown in _purchases(case):
            for answer in dict.fromkeys(one.answer for one in shown):
                if answer and answer in case.right:
                    rows.append((np.concatenate((case.features, summarise(shown, answer, plans))), case.right[answer], case.fold))
    return _sheet(rows)


def start_sheet(found: Sequence[Case], plan: str) -> Sheet:
    """First purchases of a plan, and whether it was right."""
    rows = []
    for case in found:
        first = case.rows[0]
        if first.action == "buy" and first.plan == plan and first.outcome_answer in case.right:
            rows.append((case.features, case.right[first.outcome_answer], case.fold))
    return _sheet(rows)


def rescue_sheet(found: Sequence[Case], plan: str, plans: Sequence[str], belief: Array) -> Sheet:
    """Later purchases of a plan where the answer believed most was wrong, and whether the one believed most afterwards was right.

    So a right answer that would not have been chosen rescues nothing. `belief` is that head's weights.
    """
    rows: list[tuple[NDArray[Any], bool, int]] = []
    for case in found:
        for bought, shown in _purchases(case):
            before, after = _chosen(case, shown[:-1], plans, belief), _chosen(case, shown, plans, belief)
            if len(shown) > 1 and bought == plan and case.right.get(before[0]) is False and after[0] in case.right:
                rows.append((before[1], case.right[after[0]], case.fold))
    return _sheet(rows)


def _purchases(case: Case) -> Iterator[tuple[str, list[Shown]]]:
    """Each plan bought, in order, with everything that had been seen once it was."""
    shown: list[Shown] = []
    for record in takewhile(lambda row: row.action == "buy", case.rows):
        shown = [*shown, of_record(record)]
        yield record.plan, shown


def _chosen(case: Case, shown: Sequence[Shown], plans: Sequence[str], belief: Array) -> tuple[str, NDArray[Any]]:
    """The answer believed most, "" where there is none, and the state that a predictor sees."""
    answers = dict.fromkeys(one.answer for one in shown if one.answer) or [""]
    states = {answer: np.concatenate((case.features, summarise(shown, answer, plans))) for answer in answers}
    best = max(states, key=lambda answer: float(np.dot(states[answer], belief)))
    return best, states[best]


def _sheet(rows: Sequence[tuple[NDArray[Any], bool, int]]) -> Sheet:
    if not rows:
        return Sheet(np.zeros((0, 0)), np.zeros(0), np.zeros(0, int))
    x, y, fold = zip(*rows, strict=True)
    return Sheet(np.stack(x).astype(float), np.array(y, float), np.array(fold))
