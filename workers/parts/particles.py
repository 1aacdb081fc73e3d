"""Weights of particles and resampling: what the particle methods have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.steps import Path, Stepping, valued
from workers.parts.vote import Rule, choose, votes

Weights = NDArray[np.float64]
Resampling = Literal["multinomial", "systematic", "stratified"]
RESAMPLINGS: tuple[Resampling, ...] = ("multinomial", "systematic", "stratified")
_SURE = 1e-6


def logit(score: float) -> float:
    """Natural log of the odds of a score; infinite for what is certain."""
    with np.errstate(divide="ignore"):
        return float(np.log(score) - np.log1p(-score))


def bounded_logit(score: float) -> float:
    """The same, but finite: for what is added and taken off again."""
    return logit(min(1 - _SURE, max(_SURE, score)))


def softmax(logs: Sequence[float] | Weights, temperature: float = 1.0) -> Weights:
    """Weights that sum to 1. In the limit, +inf takes all, -inf nothing, and where nothing else is there all get the same."""
    values = np.asarray(logs, np.float64)
    best = values.max(initial=-np.inf)
    weights: Weights = (values == best).astype(np.float64) if np.isinf(best) else np.exp((values - best) / temperature)
    return np.asarray(weights / weights.sum())


def effective(weights: Weights) -> float:
    """The effective sample size, from 1 to as many as there are."""
    return float(1 / np.square(weights).sum())


def resampled(weights: Weights, count: int, rng: np.random.Generator, method: Resampling) -> list[int]:
    """Places of `count` particles drawn by weight, each `count` times its weight often in expectation.

    `systematic` and `stratified` draw one from each of `count` equal strata, the former at the same point of each: copies are then the expectation
    rounded down or up.
    """
    match method:
        case "multinomial":
            points = np.sort(rng.random(count))
        case "systematic":
            points = (np.arange(count) + rng.random()) / count
        case "stratified":
            points = (np.arange(count) + rng.random(count)) / count
    edges = np.cumsum(weights)
    found = np.searchsorted(edges / edges[-1], points, side="right")
    return [int(place) for place in np.minimum(found, np.flatnonzero(weights)[-1])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Particle:
    """A path, and what its weight holds of scores it does not have yet: log-odds looked `ahead` to, and what was looked ahead to one step ago."""

    path: Path = field(default_factory=Path)
    ahead: float = 0.0
    behind: float = 0.0

    @property
    def log_weight(self) -> float:
        """Natural log of its weight at temperature 1, up to a constant."""
        return logit(self.path.value) + self.ahead - self.behind

    def beginning(self, steps: int) -> "Particle":
        """As it was after so many steps."""
        path = self.path
        if steps >= len(path.samples):
            return self
        return replace(self, path=replace(path, samples=path.samples[:steps], marks=path.marks[:steps], value=path.marks[steps - 1], place=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtering(Stepping):
    """`n` particles grow by one step at a time and are then resampled by the odds of their scores, at `weight_temperature`."""

    n: int = 8
    weight_temperature: float = 1.0
    resampling: Resampling = "multinomial"
    select: Rule = "best"

    @property
    def valid(self) -> bool:
        """Whether the numbers make sense; strategies check it with their own."""
        return self.possible and self.n >= 1 and self.weight_temperature > 0 and self.resampling in RESAMPLINGS and self.select in get_args(Rule)

    async def swept(self, query: Query, tools: Tools, reference: Particle | None = None) -> list[Particle]:
        """The particles at the end of a run, all of one weight; none if all were cut off.

        With a reference this is a conditional run (Andrieu et al. 2010, section 4.3): there is one fewer, the reference stays as it is, and the
        others may come to follow it from where they are.
        """
        free = self.n - (reference is not None)
        particles, steps = [Particle()] * free, 0
        while not all(one.path.finished for one in particles):
            steps += 1
            everyone = await self.guided(query, tools, await self._grown(query, tools, particles))
            everyone += [reference.beginning(steps)] if reference else []
            if not everyone:
                return []
            weights = self.weigh([one.log_weight for one in everyone], steps)
            particles = [everyone[place] for place in resampled(weights, free, tools.rng, self.resampling)]
        return particles

    def weigh(self, logs: Sequence[float], steps: int) -> Weights:
        """The weights to resample by after so many steps."""
        return softmax(logs, self.weight_temperature)

    async def guided(self, query: Query, tools: Tools, particles: list[Particle]) -> list[Particle]:
        """The particles with what lies ahead of them, for methods that look."""
        return particles

    async def _grown(self, query: Query, tools: Tools, particles: Sequence[Particle]) -> list[Particle]:
        """The stopped ones as they are, the others with one more step; a lone particle needs no score."""
        stopped = [replace(one, behind=one.ahead) for one in particles if one.path.finished]
        longer = await tools.together(self._longer(query, tools, one) for one in particles if not one.path.finished)
        whole = [one for one in longer if not one.path.truncated]
        paths = [one.path for one in whole]
        if self.n > 1:
            paths = await valued(query, tools, paths)
        return [*stopped, *(replace(one, path=path) for one, path in zip(whole, paths, strict=True))]

    async def _longer(self, query: Query, tools: Tools, particle: Particle) -> Particle:
        return replace(particle, path=await self.step(query, tools, particle.path), behind=particle.ahead)

    def settle(self, query: Query, tools: Tools, particles: Sequence[Particle]) -> None:
        """Let the particles that are left be the votes: the finished ones that were resampled away lose theirs, and for a majority copies count."""
        places = [one.path.place for one in particles if one.path.place is not None]
        if any(votes(tools.candidates[place]) for place in places):
            for place in set(range(tools.earlier, len(tools.candidates))) - set(places):
                tools.discard(place)
        if self.select == "majority":
            seen: set[int | None] = set()
            for path in (one.path for one in particles):
                if path.place in seen:
                    tools.rate(tools.keep(query, path.samples), path.value)
                seen.add(path.place)

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored particle, or the answer most particles give, or the one of the largest summed score."""
        return choose(candidates, self.select)
