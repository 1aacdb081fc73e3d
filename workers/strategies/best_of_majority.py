"""Several samples; the verifier judges the answers that are common enough."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling, missing
from workers.parts.vote import choose, votes
from workers.strategies import strategies

_ROUNDING = 1e-9


@strategies.register("best_of_majority")
@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfMajority(Sampling):
    """The best-scored of the answers that make up a share of at least `alpha` of `n` samples (Di et al. 2025, arXiv 2510.03199, algorithm 1, k = 1).

    A rare answer whose score is wrong cannot win, so that more samples do not harm. Where no answer is common enough, the commonest is given.
    The paper's alpha is 3 / (4 C*), 1 / C* being the right answer's probability; its experiments take .003 to .015 of 500 samples or more. The
    paper scores answers; here the verifier scores solutions, so each answer is judged by its likeliest one. Shares are of the samples that could be
    read, those of earlier stages included. With `n` of 1 nothing is scored.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score"})
    n: int = 16
    alpha: float = 0.125

    def __post_init__(self) -> None:
        if not (self.n >= 1 and 0 <= self.alpha <= 1):
            raise ValueError("best_of_majority: n must be at least 1, alpha within [0, 1]")

    @property
    def spends(self) -> str:
        """A text per answer."""
        return f"{self.n} samples, a text scored for each answer with a share of {self.alpha:g}"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the samples, and have each common answer scored."""
        await self.attempts(query, tools, missing(tools, self.n))
        if self.n > 1:
            await tools.score(query, [tools.candidates[place].text for place in self._judged(tools.candidates)])
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored of the common answers."""
        common = self._common(candidates)
        if not common:
            return choose(candidates, "majority")
        best = choose([candidates[place] for place in common], "best")
        return None if best is None else common[best]

    def _common(self, candidates: Sequence[Candidate]) -> list[int]:
        """Places of the candidates whose answer is common enough."""
        counts = Counter(one.answer for one in candidates if votes(one))
        least = self.alpha * counts.total() - _ROUNDING
        return [place for place, one in enumerate(candidates) if votes(one) and counts[one.answer] >= least]

    def _judged(self, candidates: Sequence[Candidate]) -> list[int]:
        """Of each common answer the likeliest candidate; none that is scored already."""
        ranked = sorted(self._common(candidates), key=lambda place: (candidates[place].logprob, candidates[place].text))
        likeliest = {candidates[place].answer: place for place in ranked}
        return [place for place in likeliest.values() if candidates[place].score is None]
