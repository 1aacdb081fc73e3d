"""Majority of several samples, drawn one by one until it will hardly change."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum, lgamma, log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling, in_turn, missing
from workers.parts.vote import certainty, choose, votes
from workers.strategies import strategies

Criterion = Literal["beta", "dirichlet", "entropy", "majority"]
_THRESHOLDS: Mapping[str, float] = {"beta": 0.95, "dirichlet": 0.95, "entropy": 0.75, "majority": 0.8}
_CLASSES = 5  # commonest answers that the Dirichlet criterion looks at
_NODES = 240


@strategies.register("adaptive_consistency")
@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveConsistency(Sampling):
    """Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860, section 3): a majority vote, asked after each sample whether it is settled.

    `criterion` says when, beyond its `threshold` (null: the authors'):

    - "beta": P(the leading answer is commoner than the second) >= .95, exactly.
    - "dirichlet": P(it is the commonest of the first five) >= .95; the authors draw for it, here it is integrated.
    - "entropy": entropy of the answers over the log of their number <= .75. Unanimous answers have none (the authors count one more that nobody
      gave).
    - "majority": share of the leading answer >= .8.

    The last two would be met by a first sample alone, so they wait for `least`. `n` at most, those of earlier stages counted, `width` under way at a
    time: more is quicker, and costs what the others had written when it stops. Samples are counted in the order in which they were begun, and
    those begun after the one that settled it have no vote, so that `width` changes neither the answer nor favours short samples.
    """

    n: int = 40
    criterion: Criterion = "beta"
    threshold: float | None = None
    least: int = 4
    width: int = 4

    def __post_init__(self) -> None:
        if self.criterion not in _THRESHOLDS or (self.threshold is not None and not 0 <= self.threshold <= 1):
            raise ValueError("adaptive_consistency: criterion is beta, dirichlet, entropy or majority, threshold within [0, 1] or null")
        if min(self.n, self.least, self.width) < 1:
            raise ValueError("adaptive_consistency: n, least and width must be at least 1")

    @property
    def needs(self) -> frozenset[str]:
        """Those under way are given up, if there are any."""
        return frozenset({"cancel"} if self.width > 1 else ())

    @property
    def spends(self) -> str:
        """As the criterion says."""
        return f"1 to {self.n} samples, {self.width} at a time"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy samples until the criterion is met."""
        counts = Counter(one.answer for one in tools.candidates if one.answer is not None and votes(one))

        def settled(place: int) -> bool:
            one = tools.candidates[place]
            if one.answer is not None:
                counts[one.answer] += 1
            return self.settled([count for _, count in counts.most_common()])

        met = await in_turn(tools, lambda: self.attempt(query, tools), missing(tools, self.n), self.width, settled)
        return "settled" if met else "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's."""
        return choose(candidates, "majority")

    def settled(self, counts: Sequence[int]) -> bool:
        """Whether the criterion is met by these counts of different answers, highest first."""
        threshold = _THRESHOLDS[self.criterion] if self.threshold is None else self.threshold
        match self.criterion:
            case "beta":
                return certainty(*(*counts, 0, 0)[:2]) >= threshold
            case "dirichlet":
                return leadership(counts[:_CLASSES]) >= threshold
            case "entropy":
                return sum(counts) >= self.least and relative_entropy(counts) <= threshold
            case "majority":
                return sum(counts) >= self.least and counts[0] / sum(counts) >= threshold


def relative_entropy(counts: Sequence[int]) -> float:
    """Entropy of the shares over the most it could be with so many classes; 0 for one class."""
    shares = [count / sum(counts) for count in counts]
    return -fsum(share * log(share) for share in shares) / log(len(shares)) if len(shares) > 1 else 0.0


def leadership(counts: Sequence[int]) -> float:
    """P(the first class has the largest share | counts), under a uniform prior; one class is compared with another that was not seen.

    Shares are independent gamma variables over their sum, so this is the integral of the first one's density times the distribution functions of the
    others, which for whole numbers are tails of the Poisson distribution.
    """
    first, *others = counts if len(counts) > 1 else (*counts, 0, 0)[:2]
    reach = max(counts, default=0) + 1
    nodes, weights = _legendre()
    high = reach + 12 * sqrt(reach) + 40
    x = (nodes + 1) / 2 * high
    powers = np.arange(reach)[:, None]
    poisson = np.exp(powers * np.log(x) - x - np.array([[lgamma(power + 1)] for power in range(reach)]))
    reached = 1 - poisson.cumsum(axis=0)
    return float((weights * high / 2 * poisson[first] * np.prod(reached[list(others)], axis=0)).sum())


@cache
def _legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights
