"""Solving by probabilistic inference: particles are resampled by how likely they are right."""

from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Query
from workers.parts.particles import Filtering, Particle
from workers.strategies import strategies


@strategies.register("particle_filter")
@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleFilter(Filtering):
    """Particle filtering, and with `iterations` above 1 particle Gibbs (Puri et al. 2025, arXiv 2502.01618, algorithms 1 and 2).

    `n` particles take one step each, and are then resampled by the odds of their scores at `weight_temperature`; one that has stopped takes part
    with its last score, and is never extended. `select` "best" takes the best-scored of the particles that are left, "majority" the answer that
    most of them give, which is the likeliest under the distribution they are drawn from. In particle Gibbs each further run holds on to one
    particle of the run before; at every step it has the score it had then. It is one of those left after resampling, all of one weight: to weigh
    them again, as the authors' code does, would count their last score twice. All runs' particles take part in the end, where the authors go by
    the last run's. Only multinomial resampling makes the conditional run exact, so iterations ask for it. A score of 1 is certain and takes all,
    one of 0 nothing. A lone particle is one plain trace and is not scored.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    iterations: int = 1

    def __post_init__(self) -> None:
        gibbs = self.iterations == 1 or (self.iterations > 1 and self.n > 1 and self.resampling == "multinomial")
        if not (self.valid and gibbs):
            raise ValueError(
                "particle_filter: counts must be at least 1, weight_temperature above 0, resampling multinomial, systematic or stratified; "
                "iterations need multinomial and n of at least 2"
            )

    @property
    def spends(self) -> str:
        """Particles by steps by iterations."""
        return f"{self.n} steps, as many prefixes scored, up to {self.max_steps} times" + (
            f", {self.iterations} times" if self.iterations > 1 else ""
        )

    async def run(self, query: Query, tools: Tools) -> str:
        """Sweep until every particle has stopped, as often as there are iterations."""
        found, reference = list[Particle](), None
        for _ in range(self.iterations):
            particles = await self.swept(query, tools, reference)
            if not particles:
                return "dead_end"
            found += particles
            reference = particles[int(tools.rng.integers(len(particles)))]
        self.settle(query, tools, found)
        return "done"
