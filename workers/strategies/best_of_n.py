"""Several samples, judged by the verifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.strategies import strategies
from workers.together import together
from workers.vote import Rule, choose


@strategies.register("best_of_n")
@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfN:
    """The best-scored of `n` samples (Cobbe et al. 2021, arXiv 2110.14168), or the answer of the largest summed score.

    `select` "weighted" is weighted majority (Li et al. 2022, arXiv 2206.02336). Samples come in rounds of `batch` (0: all at once); `enough`
    ends it after a round that reached this score. Equal texts are scored once; with `n` of 1 nothing is scored, for it wins anyway.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score"})
    n: int = 16
    select: Rule = "best"
    batch: int = 0
    enough: float | None = None
    skill: str = "solve"
    temperature: float = 0.8
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if not (self.n >= 1 and self.batch >= 0 and self.select in ("best", "weighted")):
            raise ValueError("best_of_n: n must be at least 1, batch at least 0, select best or weighted")

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy rounds of samples and have them scored."""
        batch = self.batch or self.n
        for bought in range(0, self.n, batch):
            await together([partial(self._attempt, query, tools)] * min(batch, self.n - bought))
            await self._judge(query, tools)
            if self.enough is not None and any((one.score or 0.0) >= self.enough for one in tools.candidates):
                return "enough"
        return "done"

    async def _attempt(self, query: Query, tools: Tools) -> None:
        tools.keep(query, [await tools.sample(query, skill=self.skill, temperature=self.temperature, max_tokens=self.max_tokens)])

    async def _judge(self, query: Query, tools: Tools) -> None:
        readable = {one.text: one.score for one in tools.candidates if one.answer is not None}
        unscored = [text for text, score in readable.items() if score is None]
        if unscored and self.n > 1:
            await tools.score(query, unscored)

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)
