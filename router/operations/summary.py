"""Decisions in numbers: what was bought, by plan, stage and difficulty, what came of it, and how true beliefs in answers were."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from policies.controls import wilson
from router.operations.line import Line, State

_PARTS = 10  # of difficulty, and of belief
_PERIODS = 24
_Z = 1.96


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class Plan(NamedTuple):
    """What was bought of one plan; `quality` is that of the answers whose last purchase it was."""

    decisions: int
    cost: int
    quality: Estimate | None


class Part(NamedTuple):
    """Decisions that have something in common, from `low` to `high`: what they bought last, and what came of it."""

    low: float
    high: float
    decisions: int
    last: Mapping[str, int]
    quality: Estimate | None
    cost: Estimate | None


class Bin(NamedTuple):
    """Answers that were believed in about as much."""

    believed: float
    observed: Estimate
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Of decisions, latest first; those under way count as decisions, and else only for what they bought so far."""

    lines: Sequence[Line]

    @property
    def states(self) -> Counter[State]:
        """How many became what."""
        return Counter(line.facts.state for line in self.lines)

    @property
    def rewards(self) -> list[float]:
        """Of those that were rated."""
        return _rewards(self.lines)

    @property
    def quality(self) -> Estimate | None:
        """Mean reward."""
        return share(self.rewards)

    @property
    def cost(self) -> Estimate | None:
        """Mean micro-dollars."""
        return mean([line.facts.cost for line in self.lines])

    def seconds(self, quantile: float) -> float | None:
        """That purchases took, where there were any."""
        found = [line.facts.seconds for line in self.lines if line.facts.plans]
        return float(np.quantile(found, quantile)) if found else None

    @property
    def plans(self) -> dict[str, Plan]:
        """The most bought first."""
        bought, cost, last = Counter[str](), Counter[str](), defaultdict[str, list[Line]](list)
        for line in self.lines:
            bought.update(set(line.facts.plans))
            for step in line.steps.values():
                cost[step.plan] += step.cost
            if line.facts.plans:
                last[line.facts.plans[-1]].append(line)
        return {plan: Plan(count, cost[plan], share(_rewards(last[plan]))) for plan, count in bought.most_common()}

    @property
    def stages(self) -> dict[int, Counter[str]]:
        """What was done at each, by plan id, `stop` or `abstain`."""
        found = defaultdict[int, Counter[str]](Counter)
        for line in self.lines:
            for stage, step in line.steps.items():
                found[stage][step.chosen] += 1
        return dict(sorted(found.items()))

    @property
    def difficulties(self) -> list[Part]:
        """In ten parts, the easiest first; what was paid for before has no difficulty."""
        return _parts([line for line in self.lines if line.facts.state is not State.CACHED], lambda line: line.difficulty, 0.0, 1.0, _PARTS)

    @property
    def periods(self) -> list[Part]:
        """From the first to the last, in Unix seconds."""
        if not self.lines:
            return []
        first, last = self.lines[-1].at, self.lines[0].at
        return _parts(self.lines, lambda line: line.at, first, max(last, first + 1.0), _PERIODS)

    @property
    def calibration(self) -> list[Bin]:
        """Of the answers that were bought and rated."""
        found = defaultdict[int, list[tuple[float, float]]](list)
        for line in self.lines:
            if line.facts.state is State.ANSWERED and (reward := line.facts.reward) is not None:
                found[min(_PARTS - 1, int(line.facts.last.in_hand * _PARTS))].append((line.facts.last.in_hand, reward))
        return [_bin(found[place]) for place in sorted(found)]


def share(rewards: Sequence[float]) -> Estimate | None:
    """The mean of numbers in [0, 1], with Wilson's interval; None of nothing."""
    return Estimate(float(np.mean(rewards)), *wilson(sum(rewards), len(rewards))) if rewards else None


def mean(numbers: Sequence[float]) -> Estimate | None:
    """Of numbers that are not negative, with the normal interval; None of nothing."""
    if not numbers:
        return None
    centre, half = float(np.mean(numbers)), _Z * float(np.std(numbers)) / np.sqrt(len(numbers))
    return Estimate(centre, max(0.0, centre - half), centre + half)


def _rewards(lines: Iterable[Line]) -> list[float]:
    return [reward for line in lines if (reward := line.facts.reward) is not None]


def _parts(lines: Sequence[Line], of: Callable[[Line], float], low: float, high: float, count: int) -> list[Part]:
    """In so many parts of equal width, but for those without any."""
    found, width = defaultdict[int, list[Line]](list), (high - low) / count
    for line in lines:
        found[min(count - 1, max(0, int((of(line) - low) / width)))].append(line)
    return [_part(low + place * width, low + (place + 1) * width, found[place]) for place in sorted(found)]


def _part(low: float, high: float, lines: Sequence[Line]) -> Part:
    last = Counter(_last(line) for line in lines)
    return Part(low, high, len(lines), dict(last.most_common()), share(_rewards(lines)), mean([line.facts.cost for line in lines]))


def _last(line: Line) -> str:
    if line.facts.state is State.CACHED:
        return State.CACHED.value
    return line.facts.plans[-1] if line.facts.plans else line.facts.last.chosen


def _bin(pairs: Sequence[tuple[float, float]]) -> Bin:
    believed, rewards = zip(*pairs, strict=True)
    observed = share(rewards)
    assert observed
    return Bin(float(np.mean(believed)), observed, len(pairs))
