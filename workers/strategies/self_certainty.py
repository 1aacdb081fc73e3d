"""Several samples, ranked by how far from even their tokens' distributions were."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query, Sample
from workers.parts.confidence import token_certainty
from workers.parts.sampling import Sampling
from workers.parts.vote import elect, votes
from workers.strategies import strategies


@strategies.register("self_certainty")
@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCertainty(Sampling):
    """Selection by self-certainty with Borda voting (Kang et al. 2025, arXiv 2502.18581, sections 3 and 4).

    A sample's self-certainty is the mean over its tokens of KL(uniform || p) (eq. 7), of the tokens it wrote, the closing one included (the authors'
    code is one place off). Ranked by it, the r-th of N readable samples gives its answer (N - r + 1) ** `power` votes; equal ones share theirs. A
    power of 0 is a majority, a large one takes the most certain sample.

    It is exact where `top`, the likeliest tokens asked for at each place, covers the vocabulary; else it is approximate. With the size of the
    `vocabulary`, the probability that is left is spread evenly over the tokens that are left (a lower bound); with 0, the likeliest are taken for the
    whole vocabulary as they stand, not made to add up to 1. The rating is c / (1 + c), which keeps the order. Earlier stages were not asked for it;
    their samples rank behind, or by what rating they have.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"top_logprobs"})
    n: int = 16
    power: float = 0.5
    top: int = 20
    vocabulary: int = 0

    def __post_init__(self) -> None:
        if not (self.n >= 1 and self.top >= 1 and self.power >= 0 and self.vocabulary >= 0):
            raise ValueError("self_certainty: n and top must be at least 1, power and vocabulary at least 0")

    @property
    def spends(self) -> str:
        """All of them."""
        return f"{self.n} samples"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the samples, and rate each."""
        await tools.together(self._rated(query, tools) for _ in range(self.n))
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The most certain of the answer with the most Borda votes."""
        places = [place for place, one in enumerate(candidates) if votes(one)]
        weights = [0.0] * len(candidates)
        for place, weight in zip(places, borda([candidates[place].score or 0.0 for place in places], self.power), strict=True):
            weights[place] = weight
        return elect(candidates, weights)

    async def _rated(self, query: Query, tools: Tools) -> None:
        sample = await self.draw(query, tools, top_logprobs=self.top)
        place = tools.keep(query, [sample])
        if sample.top_logprobs:
            certainty = self_certainty(sample, self.vocabulary)
            tools.rate(place, certainty / (1 + certainty))


def self_certainty(sample: Sample, vocabulary: int = 0) -> float:
    """Mean over the tokens of KL(uniform || p), in nats; see `token_certainty` for what is done with a part of the vocabulary."""
    return fsum(token_certainty(row, vocabulary) for row in sample.top_logprobs if row) / len(sample.top_logprobs)


def borda(scores: Sequence[float], power: float) -> list[float]:
    """Votes by rank, the first's being 1; equal scores share the votes of their ranks evenly."""
    ranked = sorted(scores, reverse=True)
    by_rank: dict[float, list[float]] = defaultdict(list)
    for rank, score in enumerate(ranked):
        by_rank[score].append(((len(ranked) - rank) / len(ranked)) ** power)
    return [fsum(by_rank[score]) / len(by_rank[score]) for score in scores]
