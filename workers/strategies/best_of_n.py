"""Several samples, judged by the verifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling, score_once
from workers.parts.vote import Rule, choose
from workers.strategies import strategies


@strategies.register("best_of_n")
@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfN(Sampling):
    """The best-scored of `n` samples (Cobbe et al. 2021, arXiv 2110.14168), or the answer of the largest summed score.

    `select` "weighted" is weighted majority (Li et al. 2022, arXiv 2206.02336). Samples come in rounds of `batch` (0: all at once); `enough`
    ends it after a round that reached this score. Those of earlier stages count. Equal texts are scored once; with `n` of 1 nothing is scored,
    for it wins anyway.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score"})
    n: int = 16
    select: Rule = "best"
    batch: int = 0
    enough: float | None = None

    def __post_init__(self) -> None:
        if not (self.n >= 1 and self.batch >= 0 and self.select in ("best", "weighted")):
            raise ValueError("best_of_n: n must be at least 1, batch at least 0, select best or weighted")

    @property
    def spends(self) -> str:
        """All of them."""
        return f"{self.n} samples, as many texts scored"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy rounds of samples and have them scored; with `n` samples there already, as many again."""
        batch = self.batch or self.n
        for bought in range(tools.earlier % self.n, self.n, batch):
            await tools.together(self.attempt(query, tools) for _ in range(min(batch, self.n - bought)))
            if self.n > 1:
                await score_once(query, tools)
            if self.enough is not None and any((one.score or 0.0) >= self.enough for one in tools.candidates):
                return "enough"
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)
