"""How far each source of rewards is to be believed, and so how likely an answer is right given all that was said of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.training.log import Logged
from predictors.training.newton import sigmoid

USUAL: Mapping[str, float] = {"unit_test": 0.99, "verifier": 0.98, "user": 0.85, "judge": 0.80}  # sensitivity and specificity before anything is seen
SOURCES = tuple(USUAL)
_PRIOR = 20.0  # answers of each kind that the usual rate counts as
_ROUNDS = 200
_CLOSE = 1e-8

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Noise:
    """Of each of SOURCES, P(says right | right) and P(says wrong | wrong); `right` is the share of rated answers that are right."""

    sensitivity: Array
    specificity: Array
    right: float
    compared: int = 0  # answers that several sources rated: what the rates were learned from

    def log_ratios(self, ratings: Array) -> Array:
        """Log-likelihood ratios of right to wrong, in nats (n,), of ratings (n, sources) in [0, 1], NaN where a source said nothing.

        A rating between 0 and 1 counts as that share of a "right".
        """
        said = np.nan_to_num(ratings)
        silent = np.isnan(ratings)
        yes, no = np.log(self.sensitivity / (1 - self.specificity)), np.log((1 - self.sensitivity) / self.specificity)
        return np.asarray(np.where(silent, 0.0, said * yes + (1 - said) * no).sum(axis=1))

    def believe(self, ratings: Array) -> Array:
        """P(right | ratings) (n,)."""
        return sigmoid(self.log_ratios(ratings) + math.log(self.right / (1 - self.right)))

    def worth(self, ratings: Array) -> Array:
        """How much a rating tells (n,), between 0 and 1, a perfect source's being 1: its Fisher information of P(right) at even odds.

        One source's is Youden's index squared; sources add to one another as independent chances do. What was said plays no part, so that weighting
        by it prefers neither answer.
        """
        index = self.sensitivity + self.specificity - 1
        return np.asarray(1 - np.where(np.isnan(ratings), 1.0, 1 - index**2).prod(axis=1))


def estimate(ratings: Array) -> Noise:
    """Rates by the EM of Dawid & Skene (1979, "Maximum likelihood estimation of observer error-rates"), shrunk to the usual ones.

    `ratings` (n, sources). Only answers that several sources rated tell of the sources; the share that is right is then read off all.
    """
    usual = np.array([USUAL[source] for source in SOURCES])
    several = ratings[(~np.isnan(ratings)).sum(axis=1) > 1]
    noise = Noise(usual, usual, 0.5, len(several))
    if len(several):
        noise = _expected(several, noise, usual, rates=True)
    return _expected(ratings, noise, usual, rates=False)


def _expected(ratings: Array, noise: Noise, usual: Array, *, rates: bool) -> Noise:
    """EM until nothing moves; without `rates`, only the share that is right is learned."""
    said, there = np.nan_to_num(ratings), ~np.isnan(ratings)
    for _ in range(_ROUNDS):
        p = noise.believe(ratings)
        sensitivity, specificity = noise.sensitivity, noise.specificity
        if rates:
            sensitivity = (p @ said + _PRIOR * usual) / (p @ there + _PRIOR)
            specificity = ((1 - p) @ (there - said) + _PRIOR * usual) / ((1 - p) @ there + _PRIOR)
        found = Noise(sensitivity, specificity, float((p.sum() + 1) / (len(p) + 2)), noise.compared)
        moved = max(np.abs(found.sensitivity - noise.sensitivity).max(), np.abs(found.specificity - noise.specificity).max())
        noise, still = found, max(float(moved), abs(found.right - noise.right)) < _CLOSE
        if still:
            break
    return noise


def rated(decision: Logged) -> dict[str, Array]:
    """What each source said last of each answer of a decision: ratings (sources,), NaN where it said nothing. Unknown sources are left out."""
    answers = {one.stage: one.shown.answer for one in decision.purchases if one.made} | {-1: decision.given}
    said: dict[str, Array] = {}
    for rating in sorted(decision.ratings, key=lambda one: (one.at, one.stage)):
        answer = answers.get(rating.stage, "")
        if answer and rating.source in USUAL:
            said.setdefault(answer, np.full(len(SOURCES), np.nan))[SOURCES.index(rating.source)] = rating.value
    return said


def gather(decisions: Sequence[Logged]) -> Array:
    """The ratings of every answer in the log, (n, sources)."""
    rows = [row for decision in decisions for row in rated(decision).values()]
    return np.array(rows) if rows else np.zeros((0, len(SOURCES)))


def verdicts(decision: Logged, noise: Noise) -> dict[str, tuple[float, float]]:
    """P(right), and the worth of knowing it, of each answer that the log tells something of; "", the answer that could not be read, is wrong.

    Where one was likely right every other one was as likely wrong; where one was wrong, nothing is known of the others.
    """
    if not decision.ratings:
        return {}
    said = rated(decision)
    ratings = np.array(list(said.values())) if said else np.zeros((0, len(SOURCES)))
    found = dict(zip(said, zip(noise.believe(ratings).tolist(), noise.worth(ratings).tolist(), strict=True), strict=True))
    likeliest, worth = max(found.values(), default=(0.0, 0.0))
    if likeliest > 0.5:
        others = {one.shown.answer: (0.0, likeliest * worth) for one in decision.purchases if one.made}
        found = others | found
    return found | {"": (0.0, 1.0)}
