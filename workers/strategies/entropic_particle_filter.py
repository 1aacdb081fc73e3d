"""A particle filter that does not believe its first scores too much."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, log
from typing import ClassVar, Literal, get_args

import numpy as np

from router.ports import Tools
from router.types import Query
from workers.parts.particles import Filtering, Particle, Resampling, Weights, bounded_logit, effective, softmax
from workers.strategies import strategies

Schedule = Literal["ess", "entropy", "base"]


@strategies.register("entropic_particle_filter")
@dataclass(frozen=True, slots=True, kw_only=True)
class EntropicParticleFilter(Filtering):
    """Entropic particle filtering (Giannone et al. 2025, arXiv 2510.05825): resampling is annealed while too few particles hold the weight.

    Entropic annealing: where the effective sample size is below `threshold` of `n`, in the first `early` part of `horizon` steps (0: `max_steps`),
    the log-weights are divided by a temperature: n / ESS (1 - t / T) for `schedule` "ess", 1 / (H + (1 - H) t / T) with the normalised entropy H
    for "entropy", 2 - t / T for "base"; never less than 1.

    Look-ahead modulation, with `successors` above 0: each particle is also weighed by the odds that so many sampled successors of it would have
    on average, and after the next step that is taken off again. The paper describes it as a guide from a state's successors; this is its exact
    form as an auxiliary particle filter (Pitt and Shephard 1999), which leaves the distribution aimed at as it is. A particle that has stopped is
    its own successor. The authors' library has annealing only. See `particle_filter` for the rest.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    resampling: Resampling = "systematic"
    schedule: Schedule = "ess"
    threshold: float = 0.5
    early: float = 0.5
    horizon: int = 0
    successors: int = 0

    def __post_init__(self) -> None:
        within = 0 <= self.threshold <= 1 and 0 <= self.early <= 1 and min(self.horizon, self.successors) >= 0
        if not (self.valid and within and self.schedule in get_args(Schedule)):
            raise ValueError(
                "entropic_particle_filter: counts must be at least 1, threshold and early within [0, 1], horizon and successors at least 0, "
                "resampling multinomial, systematic or stratified, schedule ess, entropy or base"
            )

    @property
    def spends(self) -> str:
        """Particles, and their successors, by steps."""
        steps = self.n * (1 + self.successors)
        return f"{steps} steps, as many prefixes scored, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Sweep until every particle has stopped."""
        particles = await self.swept(query, tools)
        self.settle(query, tools, particles)
        return "done" if particles else "dead_end"

    def weigh(self, logs: Sequence[float], steps: int) -> Weights:
        """See `Filtering.weigh`."""
        weights = softmax(logs, self.weight_temperature)
        progress = steps / (self.horizon or self.max_steps)
        heat = annealing(weights, progress, schedule=self.schedule, threshold=self.threshold, early=self.early)
        return softmax(logs, self.weight_temperature * heat)

    async def guided(self, query: Query, tools: Tools, particles: list[Particle]) -> list[Particle]:
        """See `Filtering.guided`."""
        if not self.successors or self.n == 1:
            return particles
        growing = [place for place, one in enumerate(particles) if not one.path.finished]
        found = await tools.together(self._successor(query, tools, particles, place) for place in growing for _ in range(self.successors))
        texts = tuple(dict.fromkeys(text for _, text in found))
        scores = dict(zip(texts, await tools.score(query, texts), strict=True))
        of = {place: [scores[text] for at, text in found if at == place] or [one.path.value] for place, one in enumerate(particles)}
        return [replace(one, ahead=bounded_logit(fsum(of[place]) / len(of[place]))) for place, one in enumerate(particles)]

    async def _successor(self, query: Query, tools: Tools, particles: Sequence[Particle], place: int) -> tuple[int, str]:
        """A place, and its particle's text with one more step; without it where that is cut off."""
        path = particles[place].path
        sample = await self.written(query, tools, path)
        if not sample.finish.whole:
            return place, path.text
        tools.use(sample)
        return place, path.text + sample.text


def annealing(weights: Weights, progress: float, *, schedule: Schedule, threshold: float, early: float) -> float:
    """The temperature at this part of the way: 1 unless the weights are too uneven and it is early."""
    if len(weights) < 2 or effective(weights) / len(weights) >= threshold or progress >= early:
        return 1.0
    return max(1.0, _SCHEDULES[schedule](weights, progress))


def by_ess(ratio: float, progress: float) -> float:
    """The inverse of the share of effective particles, falling to 0 by the end."""
    return (1 - progress) / ratio


def by_entropy(entropy: float, progress: float) -> float:
    """From the inverse of the normalised entropy to 1."""
    return 1 / max(1e-9, entropy + (1 - entropy) * progress)


def by_time(progress: float, highest: float = 2.0) -> float:
    """From the highest on down, whatever the weights."""
    return highest - progress


def normalised_entropy(weights: Weights) -> float:
    """From 0, where one has all, to 1, where all have the same."""
    some = weights[weights > 0]
    return float(-(some * np.log(some)).sum()) / log(len(weights))


_SCHEDULES: Mapping[Schedule, Callable[[Weights, float], float]] = {
    "ess": lambda weights, progress: by_ess(effective(weights) / len(weights), progress),
    "entropy": lambda weights, progress: by_entropy(normalised_entropy(weights), progress),
    "base": lambda weights, progress: by_time(progress),
}
