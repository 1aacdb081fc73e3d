"""Several samples side by side; the first that ends is the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling
from workers.parts.vote import votes
from workers.strategies import strategies


@strategies.register("first_finish")
@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFinish(Sampling):
    """First finish search (Agarwal et al. 2025, arXiv 2505.18149, algorithm 1): `n` samples race, and the first to end is given.

    The paper takes whatever ends first. Here what was truncated, cannot be read, or has fewer than `least_tokens` does not end the race, and is never
    given. An answer of earlier stages that is shorter still wins.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"cancel"})
    n: int = 4
    least_tokens: int = 8

    def __post_init__(self) -> None:
        if min(self.n, self.least_tokens) < 1:
            raise ValueError("first_finish: n and least_tokens must be at least 1")

    @property
    def spends(self) -> str:
        """The rest is given up."""
        return f"{self.n} samples, all cut off when the first ends"

    async def run(self, query: Query, tools: Tools) -> str:
        """Let them race."""
        with tools.crowd(self.attempt(query, tools) for _ in range(self.n)) as crowd:
            async for _, place in crowd:
                if self._finished(tools.candidates[place]):
                    return "first"
                tools.discard(place)
        return "dead_end"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The shortest."""
        finished = [place for place, one in enumerate(candidates) if self._finished(one)]
        return min(finished, key=lambda place: self._rank(candidates[place]), default=None)

    def _finished(self, candidate: Candidate) -> bool:
        return votes(candidate) and candidate.finish.whole and candidate.tokens >= self.least_tokens

    @staticmethod
    def _rank(candidate: Candidate) -> tuple[int, float, str]:
        return candidate.tokens, -candidate.logprob, candidate.text
