"""Majority of as many samples as the first four say the question is worth."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from math import factorial, fsum, isfinite, prod, sqrt
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.normal import log_between
from workers.parts.sampling import Sampling, missing
from workers.parts.vote import choose, votes
from workers.strategies import strategies

Floats = NDArray[np.float64]
PEEK = 4
PATTERNS = ("4", "31", "22", "211", "1111")
# Share, slope and offset by pattern: `fit` of 100 questions whose commonest answer, the label, has a share evenly spread between 1/3 and 1, and whose
# three others share the rest as 3 : 2 : 1.
_DEFAULT: Mapping[str, Sequence[float]] = {
    "4": (0.3017, 1.104, -0.104),
    "31": (0.3239, 0.684, -0.268),
    "22": (0.1011, 0.458, -0.286),
    "211": (0.2502, 0.411, -0.293),
    "1111": (0.0230, 0.329, -0.304),
}
_CLEAR = 1e-6  # probabilities nearer to 0 or 1 than this say nothing more of a curve
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Bucket:
    """Questions whose first answers show the same pattern: their share, and P(majority of k is right) = Phi(slope * sqrt(k) + offset)."""

    share: float
    slope: float
    offset: float


@strategies.register("pets")
@dataclass(frozen=True, slots=True, kw_only=True)
class PETS(Sampling):
    """Online allocation of PETS (arXiv 2602.16745, section 4): four samples, then up to the number that their pattern of agreement is worth.

    The patterns are counts of equal answers: 4, 31, 22, 211, 1111. `buckets` has for each its share of questions, and slope and offset of the
    probability that a majority of k is right, Phi(slope * sqrt(k) + offset); `fit` makes them of questions whose answers' shares are known. From
    these, samples are given out one by one where the next adds most, until questions take `mean` samples on average, and none more than `most`.
    Without `buckets`: those of questions with four options whose commonest answer is as likely to lead by little as by much.

    Unreadable samples count as spent, and are no part of a pattern: the first are drawn on until four can be read. Samples of earlier stages count
    towards both. Where the authors' greedy would spend on a bucket that gains nothing, this saves it.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    mean: float = 8.0
    most: int = 64
    buckets: Mapping[str, Sequence[float]] = field(default_factory=lambda: _DEFAULT)

    def __post_init__(self) -> None:
        if not (self.mean > 0 and self.most >= PEEK):
            raise ValueError(f"pets: mean must be above 0, most at least {PEEK}")
        if set(self.buckets) != set(PATTERNS) or any(len(one) != 3 or not all(map(isfinite, one)) for one in self.buckets.values()):
            raise ValueError(f"pets: buckets must have share, slope and offset for each of {', '.join(PATTERNS)}")
        if min(one[0] for one in self.buckets.values()) < 0 or abs(fsum(one[0] for one in self.buckets.values()) - 1) > 0.01:
            raise ValueError("pets: the shares of buckets must add up to 1")

    @property
    def spends(self) -> str:
        """As the pattern says."""
        return f"{PEEK} to {max(self.budgets().values())} samples, {self.mean:g} on average"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy four, and what these are worth."""
        bought = 0
        while (short := PEEK - len(_answers(tools))) > 0 and bought < self.most:
            size = min(short, self.most - bought)
            bought += size
            await self.attempts(query, tools, size)
        if short > 0:
            return "unreadable"
        seen = pattern(_answers(tools)[:PEEK])
        await self.attempts(query, tools, max(0, missing(tools, self.budgets()[seen]) - bought))
        return f"pattern {seen}"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's."""
        return choose(candidates, "majority")

    def budgets(self) -> Mapping[str, int]:
        """Samples by pattern."""
        return allocate({name: Bucket(*self.buckets[name]) for name in PATTERNS}, mean=self.mean, most=self.most)


def pattern(answers: Sequence[str]) -> str:
    """Counts of equal answers, highest first: `31` is three equal ones and another."""
    return "".join(str(count) for _, count in Counter(answers).most_common())


def majority_curve(shares: Sequence[float], label: int, most: int) -> Floats:
    """P(the majority of k answers is the label) for k = 1 to `most`, ties broken evenly; exactly, of answers drawn with these probabilities.

    For each number of votes v for the label, the others are polynomials with coefficients p^j / j!, j up to v; their product, by how many others
    reach v too, holds every way to share out the remaining votes (what adding up the multinomial's terms comes to, without listing them).
    """
    others = [share for place, share in enumerate(shares) if place != label]
    factorials = np.array([float(factorial(count)) for count in range(most + 1)])
    counts = np.arange(most + 1)
    curve = np.zeros(most + 1)
    for won in range(1, most + 1):
        ways = [np.ones(1)]  # by how many others tie
        for share in others:
            terms = share ** counts[: won + 1] / factorials[: won + 1]
            ways = _added(ways, terms, most - won)
        total = sum((poly / (1 + ties) for ties, poly in enumerate(ways)), start=np.zeros(1))
        curve[won : won + len(total)] += shares[label] ** won / factorials[won] * total
    found: Floats = curve[1:] * factorials[1:]
    return found


def _added(ways: Sequence[Floats], terms: Floats, room: int) -> list[Floats]:
    """One more answer: below the label's votes, or level with them."""
    below, level = terms[:-1], len(terms) - 1
    longest = np.zeros(room + 1)
    grown = [longest.copy() for _ in range(len(ways) + 1)]
    for ties, poly in enumerate(ways):
        product = np.convolve(poly, below)[: room + 1]
        grown[ties][: len(product)] += product
        rest = poly[: max(0, room + 1 - level)]
        grown[ties + 1][level : level + len(rest)] += rest * terms[-1]
    return grown


def fit_curve(curve: Floats, first: int = 3) -> tuple[float, float]:
    """Slope and offset of P(k) = Phi(slope * sqrt(k) + offset), by least squares of the probits from k = `first` on.

    Probabilities that are as good as 0 or 1 are left out; where fewer than two remain, the curve is level.
    """
    counts = np.arange(1, len(curve) + 1)
    clear = (counts >= first) & (curve > _CLEAR) & (curve < 1 - _CLEAR)
    if clear.sum() < 2:
        return 0.0, NormalDist().inv_cdf(float(np.clip(curve[-1], _CLEAR, 1 - _CLEAR)))
    probits = [NormalDist().inv_cdf(float(value)) for value in curve[clear]]
    slope, offset = np.polyfit(np.sqrt(counts[clear]), probits, 1)
    return float(slope), float(offset)


def pattern_shares(shares: Sequence[float]) -> dict[str, float]:
    """P(pattern) of four answers drawn with these probabilities, exactly (the authors estimate it from 2,000 subsamples)."""
    found = dict.fromkeys(PATTERNS, 0.0)
    for drawn in combinations_with_replacement(range(len(shares)), PEEK):
        counts = Counter(drawn)
        ways = factorial(PEEK) / prod(map(factorial, counts.values()))
        found["".join(map(str, sorted(counts.values(), reverse=True)))] += ways * prod(shares[one] for one in drawn)
    return found


def fit(questions: Iterable[tuple[Sequence[float], int]], most: int = 64) -> dict[str, Bucket]:
    """Buckets of questions: of each, the shares of its answers, and which of these is the label (the right one, or the commonest).

    A bucket's slope and offset are the means of its questions' own, each counting with its probability of showing the pattern.
    """
    parts: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for shares, label in questions:
        slope, offset = fit_curve(majority_curve(shares, label, most))
        for name, share in pattern_shares(shares).items():
            parts[name].append((share, share * slope, share * offset))
    return {name: _bucket(np.array(parts[name])) for name in PATTERNS}


def _bucket(rows: Floats) -> Bucket:
    total, slope, offset = rows.sum(axis=0) if rows.size else np.zeros(3)
    return Bucket(float(total / max(1, len(rows))), float(slope / total), float(offset / total)) if total > 0 else Bucket(0.0, 0.0, 0.0)


def allocate(buckets: Mapping[str, Bucket], *, mean: float, most: int = 64) -> dict[str, int]:
    """Samples by bucket: four each, then one more at a time where it adds most, while they take `mean` on average.

    A bucket whose next sample would go beyond the mean is passed over for the next best; one that gains nothing is given nothing.
    """
    budgets = dict.fromkeys(buckets, PEEK)
    left = mean - PEEK * fsum(bucket.share for bucket in buckets.values())
    while True:
        open_ones = [name for name, bucket in buckets.items() if budgets[name] < most and 0 < bucket.share <= left + _ROUNDING]
        gains = {name: log_gain(buckets[name], budgets[name]) for name in open_ones}
        best = max((name for name in open_ones if gains[name] > -float("inf")), key=lambda name: (gains[name], name), default=None)
        if best is None:
            return budgets
        budgets[best] += 1
        left -= buckets[best].share


def log_gain(bucket: Bucket, count: int) -> float:
    """Log of what one more sample than `count` adds to P(majority is right); minus infinity where it adds nothing.

    It is the mass of the normal distribution between two points, taken in its tail: the difference of two probabilities close to 1 would be 0.
    """
    return log_between(bucket.slope * sqrt(count) + bucket.offset, bucket.slope * sqrt(count + 1) + bucket.offset)


def _answers(tools: Tools) -> list[str]:
    return [one.answer for one in tools.candidates if one.answer is not None and votes(one)]
