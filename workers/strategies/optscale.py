"""Best of as many samples as it takes, by the scores of the first, for one to be good enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, fsum, inf, log, log1p
from typing import ClassVar

import numpy as np

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.normal import log_between
from workers.parts.sampling import Sampling, missing, score_once
from workers.parts.vote import choose, votes
from workers.strategies import strategies

_SPREADS = (0.01, 1.0)  # of sigma: scores as good as equal, and scores as good as evenly spread
_ZOOMS = 16
_CELLS = 10


@strategies.register("optscale")
@dataclass(frozen=True, slots=True, kw_only=True)
class OptScale(Sampling):
    """OptScale (arXiv 2506.22376, section 4): the fewest samples of which the best scores at least `target`, with probability 1 - `p`.

    Scores are taken for a normal distribution cut to [0, 1]. Its parameters are estimated from the first `peek` samples: the likeliest (OptScale0),
    or with `prior`, [mean, spread] as a predictor or experience has them, the most probable (the prior's own deviations are .1 and .1, or a third
    and a fourth number). Then N = ln p / ln F(target), rounded up, samples are drawn in all, at least `peek` and at most `n`, and the best-scored is
    given. Where N is beyond `n`, "unreachable" is the reason for stopping, which the authors' code does not tell. Samples of earlier stages count;
    with `n` of 1 nothing is scored.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score"})
    n: int = 16
    peek: int = 5
    target: float = 0.9
    p: float = 0.05
    prior: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not (self.peek >= 1 and self.n >= 1 and 0 < self.target < 1 and 0 < self.p <= 1):
            raise ValueError("optscale: n and peek must be at least 1, target within (0, 1), p within (0, 1]")
        if self.prior is not None and (len(self.prior) not in (2, 4) or min(self.prior[1:]) <= 0):
            raise ValueError("optscale: prior must be mean and spread, and may have the deviations of both, all but the mean above 0")

    @property
    def spends(self) -> str:
        """As the scores say."""
        return f"{min(self.peek, self.n)} to {self.n} samples, as many texts scored"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the first, see what they promise, and buy the rest."""
        left = missing(tools, self.n)
        first = max(1, min(self.peek, self.n) - (self.n - left))
        await self._bought(query, tools, first)
        scores = [one.score for one in tools.candidates if votes(one) and one.score is not None]
        wanted = required(*estimate(scores, self.prior), self.target, self.p) if scores or self.prior else inf
        await self._bought(query, tools, int(min(max(wanted - (self.n - left) - first, 0), left - first)))
        return "unreachable" if wanted > self.n else "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored."""
        return choose(candidates, "best")

    async def _bought(self, query: Query, tools: Tools, count: int) -> None:
        await self.attempts(query, tools, count)
        if self.n > 1:
            await score_once(query, tools)


def required(mu: float, sigma: float, target: float, p: float) -> float:
    """Samples until P(the best is below the target) <= p; infinite where none reaches it."""
    low, high = -mu / sigma, (1 - mu) / sigma
    whole = log_between(low, high)
    above = exp(log_between((target - mu) / sigma, high) - whole)
    if above >= 1 or p >= 1:
        return 1
    below = log1p(-above)
    return inf if below == 0 else max(1, ceil(log(p) / below - 1e-12))


def estimate(scores: Sequence[float], prior: Sequence[float] | None = None) -> tuple[float, float]:
    """Mean and spread, before cutting, of the normal distribution cut to [0, 1] that is likeliest to give these scores (with a prior, most probable).

    The mean is sought in [0, 1] and the spread in [.01, 1], on a grid that closes in on the best cell: the surface is smooth, and has one top there.
    """
    low, high = np.array([0.0, log(_SPREADS[0])]), np.array([1.0, log(_SPREADS[1])])
    best, bottom, top = (low + high) / 2, low, high
    for _ in range(_ZOOMS):
        axes = [np.linspace(*ends, _CELLS + 1) for ends in zip(bottom, top, strict=True)]
        grid = [(float(mu), float(spread)) for mu in axes[0] for spread in axes[1]]
        best = np.array(max(grid, key=lambda point: log_posterior(scores, point[0], exp(point[1]), prior)))
        reach = (top - bottom) * 2 / _CELLS
        bottom, top = np.maximum(low, best - reach), np.minimum(high, best + reach)
    return float(best[0]), exp(float(best[1]))


def log_posterior(scores: Sequence[float], mu: float, sigma: float, prior: Sequence[float] | None = None) -> float:
    """Log-likelihood of the scores, and log-density of the prior where there is one, but for constants."""
    squares = fsum((score - mu) ** 2 for score in scores)
    likelihood = -squares / (2 * sigma**2) - len(scores) * (log(sigma) + log_between(-mu / sigma, (1 - mu) / sigma))
    if prior is None:
        return likelihood
    at, spread, at_deviation, spread_deviation = (*prior, 0.1, 0.1)[:4]
    return likelihood - ((mu - at) / at_deviation) ** 2 / 2 - ((sigma - spread) / spread_deviation) ** 2 / 2
