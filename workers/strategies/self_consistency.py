"""Majority of several samples, drawn until the majority is certain enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling
from workers.parts.vote import certainty, choose, leads
from workers.strategies import strategies


@strategies.register("self_consistency")
@dataclass(frozen=True, slots=True, kw_only=True)
class SelfConsistency(Sampling):
    """Majority vote (Wang et al. 2022, arXiv 2203.11171) with adaptive stopping (Aggarwal et al. 2023, arXiv 2305.11860, section 3.1).

    `n` samples, those of earlier stages counted, in rounds of `batch`; it stops after a round once the leading answer is the commoner one with
    probability `tau` (1: never). Only rounds that are not bought save tokens, so `batch` trades tokens for time.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    n: int = 16
    tau: float = 0.95
    batch: int = 4

    def __post_init__(self) -> None:
        if not (self.n >= 1 and self.batch >= 1 and 0.5 <= self.tau <= 1):
            raise ValueError("self_consistency: n and batch must be at least 1, tau within [0.5, 1]")

    @property
    def spends(self) -> str:
        """Rounds."""
        return f"{min(self.batch, self.n)} to {self.n} samples"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy rounds until certain; with `n` samples there already, as many again."""
        for bought in range(tools.earlier % self.n, self.n, self.batch):
            await tools.together(self.attempt(query, tools) for _ in range(min(self.batch, self.n - bought)))
            if self.tau < 1 and certainty(*leads(tools.candidates)) >= self.tau:
                return "certain"
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's."""
        return choose(candidates, "majority")
