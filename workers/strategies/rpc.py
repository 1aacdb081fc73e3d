"""A vote of probabilities, without the improbable."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, gamma
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling, missing
from workers.parts.vote import elect, votes
from workers.strategies import strategies

Floats = NDArray[np.float64]
_LEAST, _MOST = 0.01, 1000.0  # of shapes and scales
_SHARE = (0.2, 0.8)
_ROUNDING = 1e-12


@strategies.register("rpc")
@dataclass(frozen=True, slots=True, kw_only=True)
class RPC(Sampling):
    """Reasoning-pruning perplexity consistency (Zhou et al. 2025, arXiv 2502.00511, sections 3.2 and 3.3).

    An answer weighs the sum of the probabilities of the different texts that give it; a text's is the geometric mean probability of its tokens,
    as in the authors' code. A mixture of two Weibull distributions is fitted to all probabilities, and a text that more likely belongs to the
    component with the lower mean is left out, unless its probability reaches the mean of all. `prune` false: perplexity consistency alone.

    The mixture is fitted by expectation maximisation from the authors' starting point and inside their bounds (they use L-BFGS-B, which the worker
    does without); shapes end at 1,000, where a component has shrunk to a point. What cannot be read is no part of it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logprobs"})
    n: int = 32
    prune: bool = True

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("rpc: n must be at least 1")

    @property
    def spends(self) -> str:
        """All of them."""
        return f"{self.n} samples"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the samples."""
        await self.attempts(query, tools, missing(tools, self.n))
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The likeliest text of the heaviest answer."""
        places = [place for place, one in enumerate(candidates) if votes(one)]
        probabilities = np.array([exp(candidates[place].logprob) for place in places])
        kept = ~improbable(probabilities) if self.prune else np.ones(len(places), bool)
        weights, seen = [0.0] * len(candidates), set[str]()
        for place, probability, counts in sorted(zip(places, probabilities, kept, strict=True), key=lambda one: -one[1]):
            if counts and candidates[place].text not in seen:
                seen.add(candidates[place].text)
                weights[place] = float(probability)
        return elect(candidates, weights)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Two Weibull distributions, the one with the higher mean first; `share` is its."""

    share: float
    shapes: tuple[float, float]
    scales: tuple[float, float]


def improbable(probabilities: Floats) -> NDArray[np.bool_]:
    """Which of these belong to the lower component of their mixture, and are below their mean."""
    below = probabilities < probabilities.mean() - _ROUNDING if len(probabilities) else np.zeros(0, bool)
    if not below.any():
        return below
    mixture = fit(np.sort(probabilities))  # sorted, so that the order of candidates changes nothing, not even by rounding
    return below & (membership(probabilities, mixture) < 0.5)


def fit(values: Floats, rounds: int = 200, tolerance: float = 1e-9) -> Mixture:
    """The mixture of two Weibull distributions with the (locally) highest likelihood: weights within [.2, .8], shapes and scales at least .01."""
    values = np.maximum(values, np.finfo(float).tiny)
    mixture, before = Mixture(0.5, (1.0, 1.5), (1.0, 2.0)), -np.inf
    for _ in range(rounds):
        logs = _log_densities(values, mixture)
        total = np.logaddexp(*logs)
        likelihood = float(total.mean())
        if likelihood - before < tolerance:
            break
        before = likelihood
        of = np.exp(logs - total)
        parts = [_weibull(values, weights, shape) for weights, shape in zip(of, mixture.shapes, strict=True)]
        mixture = Mixture(float(np.clip(of[0].mean(), *_SHARE)), (parts[0][0], parts[1][0]), (parts[0][1], parts[1][1]))
    return _higher_first(mixture)


def membership(values: Floats, mixture: Mixture) -> Floats:
    """P(first component | value)."""
    logs = _log_densities(np.maximum(values, np.finfo(float).tiny), mixture)
    first: Floats = np.exp(logs[0] - np.logaddexp(*logs))
    return first


def _log_densities(values: Floats, mixture: Mixture) -> Floats:
    """Of both components with their shares, shape (2, n)."""
    shapes, scales = np.array(mixture.shapes)[:, None], np.array(mixture.scales)[:, None]
    ratio = np.log(values / scales)
    shares = np.log([mixture.share, 1 - mixture.share])[:, None]
    logs: Floats = shares + np.log(shapes / values) + shapes * ratio - np.exp(np.minimum(shapes * ratio, 700.0))
    return logs


def _weibull(values: Floats, weights: Floats, shape: float) -> tuple[float, float]:
    """Shape and scale of the highest weighted likelihood: Newton's method on the shape's equation, never more than fourfold at once."""
    logs, weights = np.log(values), np.maximum(weights, np.finfo(float).tiny)
    mean = float(np.average(logs, weights=weights))
    for _ in range(50):
        tilted = weights * np.exp(shape * (logs - logs.max()))
        centre = float(np.average(logs, weights=tilted))
        spread = float(np.average((logs - centre) ** 2, weights=tilted))
        proposed = shape - (centre - 1 / shape - mean) / (spread + shape**-2)
        last, shape = shape, float(np.clip(np.clip(proposed, shape / 4, shape * 4), _LEAST, _MOST))
        if abs(shape - last) <= _ROUNDING * shape:
            break
    tilted = np.exp(shape * (logs - logs.max()))
    scale = exp(float(logs.max())) * float(np.average(tilted, weights=weights)) ** (1 / shape)
    return shape, max(scale, _LEAST)


def _higher_first(mixture: Mixture) -> Mixture:
    means = [scale * gamma(1 + 1 / shape) for shape, scale in zip(mixture.shapes, mixture.scales, strict=True)]
    if means[0] >= means[1]:
        return mixture
    return Mixture(1 - mixture.share, mixture.shapes[::-1], mixture.scales[::-1])
