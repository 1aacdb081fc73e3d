"""The decision log as episodes: what each step of a request saw, did and cost, and what the answer that was given turned out to be worth."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds

from policies.sources import USUAL
from router import archive
from router.evaluation.worth import worth
from router.record import by_stage, outcome
from router.types import Action, Evidence, Features, Record

LEFT_OUT = {
    "unrated": "answered, but nobody has said what the answer was worth",
    "unfinished": "cut off, or failed",
    "cached": "answered from the cache, so nothing was decided",
    "inherited": "began with what an earlier request had bought, which is judged there",
    "batch": "decided together with others, so that nothing was left to chance",
    "older": "logged before the chances of all choices were",
    "other features": "described by another version of the features",
    "damaged": "whose rows do not fit together",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One decision: what it saw, the choices that were open with the chance of each, the one that was drawn, its micro-dollars and its seconds.

    `in_hand` is what the answer then in hand was rated, where the plan that gave it was rated for itself; NaN elsewhere. `value` is what a right
    answer was worth then, in micro-dollars.
    """

    features: Features
    evidence: Evidence
    open: tuple[str, ...]
    chances: tuple[float, ...]
    action: str
    cost: float
    seconds: float
    in_hand: float = math.nan
    value: float = 0.0

    @property
    def propensity(self) -> float:
        """The chance of what was drawn."""
        return self.chances[self.open.index(self.action)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """One request, whole: its steps, and the `quality` in [0, 1] of the answer given, 0 where it was withheld. It stands for `weight` of them.

    `arm` says who decided, and `at`, Unix seconds, when it began.
    """

    id: str
    at: float
    arm: str
    steps: tuple[Step, ...]
    quality: float
    weight: float = 1.0

    @property
    def cost(self) -> float:
        """Micro-dollars of all its steps."""
        return sum(step.cost for step in self.steps)

    @property
    def value(self) -> float:
        """Micro-dollars that a right answer was worth when it began."""
        return self.steps[0].value


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Episodes, oldest first, with the rows they are made of, and how many decisions were left out for what reason (see LEFT_OUT)."""

    episodes: tuple[Episode, ...]
    rows: tuple[Record, ...]
    left_out: dict[str, int]

    def halves(self) -> tuple["Log", "Log"]:
        """The older half, and the newer: what was learned from one may be judged by the other."""
        middle = len(self.episodes) // 2
        older = {one.id for one in self.episodes[:middle]}
        rows = [tuple(row for row in self.rows if (row.decision_id in older) is first) for first in (True, False)]
        return Log(episodes=self.episodes[:middle], rows=rows[0], left_out={}), Log(
            episodes=self.episodes[middle:], rows=rows[1], left_out=self.left_out
        )


def read(files: Sequence[Path], tenant: str, version: str, most: int, without: Sequence[str] = ()) -> Log:
    """The latest episodes of a tenant, at most `most`, whose features are of `version`; `without` columns that nobody will look at."""
    columns = [name for name in archive.SCHEMA.names if name not in without]
    decisions: dict[str, dict[str, Record]] = defaultdict(dict)
    rated: set[str] = set()
    for file in reversed(files):  # rewards come after what they rate
        if len(rated) >= most:
            break
        table = ds.dataset(str(file), schema=archive.SCHEMA, format="parquet").to_table(columns, ds.field("tenant") == tenant)
        for row in map(archive.record, table.to_pylist()):
            decisions[row.decision_id].setdefault(row.id, row)
            if row.kind == "reward":
                rated.add(row.decision_id)
    return _log([by_stage(list(rows.values())) for rows in decisions.values()], version, most)


def _log(decisions: Iterable[list[Record]], version: str, most: int) -> Log:
    left_out: Counter[str] = Counter()
    found: list[tuple[list[Record], Episode]] = []
    for rows in sorted((rows for rows in decisions if rows[0].kind == "stage"), key=lambda rows: rows[0].at):
        episode = _episode(rows, version)
        if isinstance(episode, str):
            left_out[episode] += 1
        else:
            found.append((rows, episode))
    found = found[-most:]
    weighed = _weighed([episode for _, episode in found], left_out["unrated"])
    return Log(episodes=weighed, rows=tuple(row for rows, _ in found for row in rows), left_out=dict(left_out))


def _weighed(episodes: Sequence[Episode], unrated: int) -> tuple[Episode, ...]:
    """Answers withheld need no rating to count; those given stand for the ones that nobody rated too, or there would be too few of them."""
    given = [one for one in episodes if one.steps[-1].action != Action.ABSTAIN]
    if not given or len(given) == len(episodes):
        return tuple(episodes)
    weight = 1 + unrated / len(given)
    return tuple(one if one.steps[-1].action == Action.ABSTAIN else replace(one, weight=weight) for one in episodes)


def _episode(rows: Sequence[Record], version: str) -> Episode | str:
    """A request's, or why it is left out."""
    stages, rewards = [row for row in rows if row.kind == "stage"], [row for row in rows if row.kind == "reward"]
    last = stages[-1]
    planned = last.action == Action.BUY and not last.stop_reason  # the caller carried it out
    if odd := _odd(stages, planned, version):
        return odd
    quality = 0.0 if last.action == Action.ABSTAIN else _worth(stages, rewards, planned)
    if quality is None:
        return "unrated"
    try:
        steps = tuple(_steps(stages, rewards))
        whole = all(0 < step.propensity <= 1 and math.isfinite(step.cost) for step in steps)
    except ValueError:  # lists that should be of one length, or a choice that was not open
        whole = False
    return Episode(id=last.decision_id, at=stages[0].at, arm=last.arm, steps=steps, quality=quality) if whole else "damaged"


def _odd(stages: Sequence[Record], planned: bool, version: str) -> str:
    """Why a request's stages cannot be judged, "" where they can."""
    last = stages[-1]
    if last.stop_reason == "cached":
        return "cached"
    if stages[0].inherited:
        return "inherited"
    if last.policy == "batch":
        return "batch"
    if any(sum(row.chances) == 0 for row in stages):
        return "older"
    if version and {stages[0].feature_version, last.feature_version} != {version}:
        return "other features"
    whole = [row.stage for row in stages] == list(range(len(stages))) and (last.action != Action.BUY or planned)
    return "" if whole else "unfinished"


def _steps(stages: Sequence[Record], rewards: Sequence[Record]) -> Iterable[Step]:
    """A plan's own rating tells what its answer would have been worth, had it been given; others' tell only sometimes, which would mislead."""
    evidence, answers = Evidence(), [row.outcome_answer for row in stages]
    told = max((row.cost for row in rewards), default=0)  # by a caller who carried the plan out
    rated = {answers[row.stage]: row.reward for row in rewards if 0 <= row.stage < len(stages) and row.reward is not None}
    for row in stages:
        action = row.plan or row.action
        cost = row.cost if row.stop_reason or action == Action.STOP else told or row.costs[row.offered.index(action)]
        features = Features(vector=np.array(row.features, np.float32), names=(), version=row.feature_version)
        yield Step(
            features=features,
            evidence=evidence,
            open=row.offered,
            chances=row.chances,
            action=action,
            cost=float(cost),
            seconds=row.seconds,
            value=row.value,
            in_hand=rated.get(row.answer, math.nan) if row.answer and all(one.answer in (None, *rated) for one in evidence.outcomes) else math.nan,
        )
        if row.action == Action.BUY and row.stop_reason not in ("", "failed", "cancelled"):
            evidence = evidence.plus(outcome(row))


def _worth(stages: Sequence[Record], rewards: Sequence[Record], planned: bool) -> float | None:
    """What the most trusted word says of the answer given; None where nobody has said."""
    told = {row.reward_source: right for row in rewards if (right := _right(stages, row, planned)) is not None}
    return told[max(told, key=lambda source: USUAL.get(source, 0.0))] if told else None


def _right(stages: Sequence[Record], reward: Record, planned: bool) -> float | None:
    value = reward.reward
    if value is None or not 0 <= value <= 1:
        return None
    answers = {row.stage: row.outcome_answer for row in stages}
    return worth(answers, stages[-1].answer, reward.stage, value, planned=planned)
