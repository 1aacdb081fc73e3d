"""What a log teaches, as matrices to learn from."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from predictors.evidence import names, summarise
from predictors.training.log import MOST, Logged, Purchase
from predictors.training.noise import Noise, verdicts
from router.types import Vector

FOLDS = 5
_DOUBT = 10.0  # decisions that the overall share of rewarded ones counts as, in each cell
_RAREST = 0.02  # a chance below this is taken for this, so that no decision stands for more than fifty

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Places = NDArray[np.int64]
Believe = Callable[[Floats], Array]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows to learn k outcomes from.

    `x` (n, d) columns, the first being the constant 1; `y` (n, k) P(outcome) in [0, 1], NaN where it was not observed; `weight` (n, k) how much each
    counts; `group` (n,) the same, and not negative, for rows of the same query: what is held out is held out with its group, in fold `group % FOLDS`.
    `vector` are the first column of the encoders' vector and the one behind its last, where that is known.
    """

    x: Floats
    y: Floats
    weight: Floats
    group: Places
    vector: tuple[int, int] = (0, 0)

    def seen(self, place: int) -> NDArray[np.bool_]:
        """Which rows (n,) had this outcome observed."""
        return np.asarray(~np.isnan(self.y[:, place]) & (self.weight[:, place] > 0))

    def most(self, rows: int = MOST) -> "Sheet":
        """No more rows than this: whole groups, and the same ones every time, since a group is named by a digest."""
        keep = _most(self.group, rows)
        if len(keep) == len(self.x):
            return self
        return replace(self, x=self.x[keep], y=self.y[keep], weight=self.weight[keep], group=self.group[keep])


def _most(group: Places, rows: int) -> Places:
    return np.sort(np.argsort(group, kind="stable")[:rows])


@dataclass(frozen=True, slots=True)
class Start:
    """The sheet of first purchases, with what correcting for who was bought needs: see `predictors.training.offpolicy`.

    All (n,): `bought` the place of the plan bought first, -1 where none was or it gave nothing; `chance` that it was bought and its outcome told, by
    the logged propensity and the share of decisions like it that were rewarded.
    """

    sheet: Sheet
    bought: Places
    chance: Array


@dataclass(frozen=True, slots=True)
class States:
    """Every answer in hand after every purchase of the rewarded decisions, in order.

    All (m,), and evidence (m, e): `decision` and `step` say after which purchase of which decision, `plan` the place of that purchase's plan (-1: not
    among ours), `y` P(the answer is right), NaN where nothing is known of it, and `answer` a number that is the same for the same answer of a
    decision, 0 for the one that could not be read.
    """

    evidence: Floats
    decision: Places
    step: Places
    plan: Places
    y: Floats
    weight: Floats
    answer: Places


@dataclass(frozen=True, slots=True)
class Log:
    """The decisions to learn from, with their purchases that came to an outcome, features (n, f), groups (n,), weights (n,), and what is told.

    `vector` as in Sheet.
    """

    decisions: Sequence[Logged]
    made: Sequence[Sequence[Purchase]]
    features: Floats
    group: Places
    weight: Array
    told: Sequence[Mapping[str, tuple[float, float]]]
    vector: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, decisions: Sequence[Logged], noise: Noise, vector: tuple[int, int] = (0, 0)) -> "Log":
        """With what the rewards say."""
        features = np.stack([one.features for one in decisions])
        group = np.array([_group(one.features) for one in decisions])
        weight = np.array([one.weight for one in decisions])
        made = [[purchase for purchase in one.purchases if purchase.made] for one in decisions]
        return cls(decisions, made, features, group, weight, [verdicts(one, noise) for one in decisions], vector)

    @property
    def worth(self) -> float:
        """How much the average of what was told of an answer is worth: see `Noise.worth`."""
        told = [worth for answers in self.told for answer, (_, worth) in answers.items() if answer]
        return sum(told) / max(1, len(told))


def start_sheet(log: Log, plans: Sequence[str]) -> Start:
    """A row per decision, rewarded or not: was the plan that was bought first right? x: features."""
    place = {plan: index for index, plan in enumerate(plans)}
    count = len(log.decisions)
    y, weight = np.full((count, len(plans)), np.nan, np.float32), np.zeros((count, len(plans)), np.float32)
    bought, propensity, known = np.full(count, -1), np.ones(count), np.zeros(count, bool)
    for index, (purchases, told) in enumerate(zip(log.made, log.told, strict=True)):
        if not purchases or purchases[0].shown.plan not in place:
            continue
        first = purchases[0]
        bought[index], propensity[index] = place[first.shown.plan], first.propensity
        if first.shown.answer in told:
            known[index] = True
            y[index, bought[index]], weight[index, bought[index]] = told[first.shown.answer]
    observed = chance_of(known, log)
    weight *= (log.weight / observed)[:, None]
    chance = np.maximum(propensity * observed, _RAREST)
    return Start(Sheet(log.features, y, weight.astype(np.float32), log.group, log.vector), np.where(known, bought, -1), chance)


def chance_of(seen: NDArray[np.bool_], log: Log) -> Array:
    """P(seen) of each decision (n,): its share among those of the same first plan and number of stages, drawn to that of all where they are few."""
    cells = [(one[0].shown.plan, len(one)) if one else ("", 0) for one in log.made]
    places = {cell: index for index, cell in enumerate(dict.fromkeys(cells))}
    cell = np.array([places[one] for one in cells], int)
    count, total = np.bincount(cell, seen * log.weight), np.bincount(cell, log.weight)
    share = count.sum() / total.sum()
    chance: Array = np.maximum(((count + _DOUBT * share) / (total + _DOUBT))[cell], _RAREST)
    return chance


def states(log: Log, plans: Sequence[str], watch: Callable[[Iterable[int]], Iterable[int]] = iter) -> States:
    """What belief and rescue learn from. `watch` may show how far it has come."""
    place = {plan: index for index, plan in enumerate(plans)}
    rows = [row for index in watch(range(len(log.decisions))) if log.told[index] for row in _states_of(log, index, plans, place)]
    evidence, *columns = zip(*rows, strict=True) if rows else [[]] * 7
    kinds = (int, int, int, np.float32, np.float32, int)
    stacked = np.stack(evidence) if rows else np.zeros((0, len(names(plans))), np.float32)
    return States(stacked, *(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def _states_of(log: Log, index: int, plans: Sequence[str], place: Mapping[str, int]) -> Iterator[tuple[Vector, int, int, int, float, float, int]]:
    made, told = log.made[index], log.told[index]
    numbers = {answer: number for number, answer in enumerate(dict.fromkeys(["", *(one.shown.answer for one in made)]))}
    for step, purchase in enumerate(made):
        shown = [one.shown for one in made[: step + 1]]
        for answer in dict.fromkeys(one.answer for one in shown if one.answer) or [""]:
            y, weight = told.get(answer, (np.nan, 0.0))
            evidence = summarise(shown, answer, plans)
            yield evidence, index, step, place.get(purchase.shown.plan, -1), y, weight, numbers[answer]


def observed_weight(log: Log) -> Array:
    """How many decisions each rewarded one (n,) stands for: those like it that nobody rewarded are among them."""
    return log.weight / chance_of(np.array([bool(told) for told in log.told]), log)


def belief_rows(log: Log, found: States) -> Places:
    """Which states belief is learned from: those with an answer that something is known of, no more than MOST."""
    rows = np.flatnonzero((found.answer > 0) & ~np.isnan(found.y))
    return np.asarray(rows[_most(log.group[found.decision[rows]], MOST)])


def belief_sheet(log: Log, found: States) -> Sheet:
    """A row per answer in hand: was it right? x: features and evidence; k = 1."""
    rows = belief_rows(log, found)
    of = found.decision[rows]
    weight = found.weight[rows] * observed_weight(log)[of]
    return Sheet(_state(log, found, rows), found.y[rows, None], weight[:, None].astype(np.float32), log.group[of], log.vector)


def given(log: Log, found: States, belief: Array) -> Places:
    """Places in `belief_rows` of the answers that were given: for one decision of each query, the answer believed most, (rows,), when it ended."""
    rows = belief_rows(log, found)
    of = found.decision[rows]
    last = np.zeros(len(log.decisions), int)
    np.maximum.at(last, found.decision, found.step)
    ended = np.flatnonzero(found.step[rows] == last[of])
    order = ended[np.lexsort((-belief[ended], of[ended]))]
    return np.asarray(order[np.unique(log.group[of[order]], return_index=True)[1]])


def rescue_sheet(log: Log, found: States, plans: Sequence[str], believe: Believe) -> Sheet:
    """A row per later purchase where the answer believed most was likely wrong: is the one believed most afterwards right? k = plans.

    So a right answer that would not have been chosen rescues nothing. x: features, and the evidence that there was before. `believe` gives log-odds.
    """
    turn = np.flatnonzero(np.diff(found.decision, prepend=-1) | np.diff(found.step, prepend=-1))
    best = _best_of_each(believe(_state(log, found, np.arange(len(found.y)))), turn) if len(turn) else turn
    before, after = best[:-1], best[1:]
    wrong, right = 1 - found.y[before], found.y[after]
    same = found.decision[before] == found.decision[after]
    use = same & (wrong > 0.5) & ~np.isnan(right) & (found.plan[after] >= 0)
    before, after, wrong, right = before[use], after[use], wrong[use], right[use]
    y, weight = np.full((len(before), len(plans)), np.nan, np.float32), np.zeros((len(before), len(plans)), np.float32)
    at = np.arange(len(before)), found.plan[after]
    y[at] = np.where(found.answer[before] == found.answer[after], 0.0, right)
    weight[at] = wrong * np.minimum(found.weight[before], found.weight[after]) * observed_weight(log)[found.decision[before]]
    return Sheet(_state(log, found, before), y, weight, log.group[found.decision[before]], log.vector).most()


def _best_of_each(score: Array, turn: Places) -> Places:
    """For each run of rows, beginning at `turn`, the place of its highest score, the earliest among equals."""
    run = np.repeat(np.arange(len(turn)), np.diff(turn, append=len(score)))
    highest = np.flatnonzero(score == np.maximum.reduceat(score, turn)[run])
    return np.asarray(highest[np.unique(run[highest], return_index=True)[1]])


def _state(log: Log, found: States, rows: Places) -> Floats:
    return np.concatenate((log.features[found.decision[rows]], found.evidence[rows]), axis=1)


def _group(features: Vector) -> int:
    """Queries with the same features are the same query as far as learning goes."""
    return int.from_bytes(hashlib.blake2b(features.tobytes(), digest_size=8).digest()) >> 1
