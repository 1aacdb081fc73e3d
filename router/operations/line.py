"""A decision as one line: put together from its rows, in whatever order these are read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from policies.sources import USUAL
from router.evaluation.worth import worth
from router.types import Action

_TOKENS = ("prompt_tokens", "kept_tokens", "discarded_tokens", "cancelled_tokens", "scored_tokens")
COLUMNS = (
    *("id", "kind", "decision_id", "tenant", "at", "arm", "policy", "predictor"),
    *("stage", "task", "prompt", "answer", "in_hand", "action", "plan", "explored", "offered", "success", "reason"),
    *("stop_reason", "outcome_answer", "cost", "seconds", *_TOKENS, "reward", "reward_source"),
)
"""Those of a row that a line is made of."""


class State(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    CACHED = "cached"
    ABSTAINED = "abstained"
    PLANNED = "planned"
    OPEN = "open"


class Step(NamedTuple):
    """One stage: `answer` is the one then in hand, `outcome` what the purchase answered."""

    action: str
    plan: str
    in_hand: float
    answer: str
    outcome: str
    stop_reason: str
    reason: str
    cost: int
    tokens: int
    seconds: float

    @property
    def chosen(self) -> str:
        """A plan id, `stop` or `abstain`."""
        return self.plan or self.action


@dataclass(slots=True, kw_only=True)
class Line:
    """One decision so far. `difficulty` is one less the mean of what the plans that were open at first were forecast to give; 0 of nothing."""

    id: str
    at: float = math.inf
    prompt: str = ""
    task: str = ""
    difficulty: float = 0.0
    policy: str = ""
    predictor: str = ""
    arm: str = ""
    explored: bool = False
    steps: dict[int, Step] = field(default_factory=dict)
    rewards: dict[str, tuple[int, float]] = field(default_factory=dict)
    _facts: "Facts | None" = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in a row of the log, with its COLUMNS."""
        self._facts = None
        if row["kind"] == "stage":
            self._add_stage(row)
        elif row["reward"] is not None and 0 <= row["reward"] <= 1:
            self.rewards[row["reward_source"]] = row["stage"], row["reward"]

    def _add_stage(self, row: Mapping[str, Any]) -> None:
        self.at = min(self.at, row["at"])
        self.explored = self.explored or row["explored"]
        if row["stage"] == 0:
            self.prompt, self.task, self.arm = row["prompt"], row["task"], row["arm"]
            self.policy, self.predictor = row["policy"], row["predictor"]
            self.difficulty = _difficulty(row["offered"], row["success"])
        self.steps[row["stage"]] = Step(
            action=row["action"],
            plan=row["plan"],
            in_hand=row["in_hand"],
            answer=row["answer"],
            outcome=row["outcome_answer"],
            stop_reason=row["stop_reason"],
            reason=row["reason"],
            cost=row["cost"],
            tokens=sum(row[name] for name in _TOKENS),
            seconds=row["seconds"],
        )

    @property
    def facts(self) -> "Facts":
        """What its rows come to, worked out once."""
        if self._facts is None:
            self._facts = _facts(self)
        return self._facts


class Facts(NamedTuple):
    """What the rows of a decision come to: the latest stage; the plans bought, in order; micro-dollars; tokens read, written and scored; the
    seconds that purchases took; and what the answer was worth by the most trusted source, None where nobody has said.
    """

    last: Step
    plans: tuple[str, ...]
    state: State
    cost: int
    tokens: int
    seconds: float
    reward: float | None


def _facts(line: Line) -> Facts:
    steps = [step for _, step in sorted(line.steps.items())]
    state = _state(steps[-1])
    return Facts(
        last=steps[-1],
        plans=tuple(step.plan for step in steps if step.plan and step.stop_reason),
        state=state,
        cost=sum(step.cost for step in steps),
        tokens=sum(step.tokens for step in steps),
        seconds=sum(step.seconds for step in steps),
        reward=_reward(line, steps[-1].answer, planned=state is State.PLANNED) if line.rewards else None,
    )


def _state(last: Step) -> State:
    if last.stop_reason == "cached":
        return State.CACHED
    match last.action:
        case Action.STOP:
            return State.ANSWERED
        case Action.ABSTAIN:
            return State.ABSTAINED
    return State.OPEN if last.stop_reason else State.PLANNED


def _reward(line: Line, given: str, *, planned: bool) -> float | None:
    answers = {stage: step.outcome for stage, step in line.steps.items()}
    told = {
        source: value
        for source, (stage, reward) in line.rewards.items()
        if (value := worth(answers, given, stage, reward, planned=planned)) is not None
    }
    return told[max(told, key=lambda source: USUAL.get(source, 0.0))] if told else None


def _difficulty(offered: list[str], success: list[float]) -> float:
    found = [value for name, value in zip(offered, success, strict=False) if name not in (Action.STOP, Action.ABSTAIN) and math.isfinite(value)]
    return 1 - sum(found) / len(found) if found else 0.0
