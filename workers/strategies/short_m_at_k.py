"""Several thoughts side by side; the first that end are answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Finish, Query, Sample
from workers.parts.sampling import Sampling
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("short_m_at_k")
@dataclass(frozen=True, slots=True, kw_only=True)
class ShortMAtK(Sampling):
    """short-m@k (Hassid et al. 2025, arXiv 2505.17813, section 4): of `k` samples the `m` that first finish thinking, by majority.

    Thinking ends where the pool's style opens the answer. The m-th to get there ends the race; then the m are answered, from where they stand. Of
    equally common answers the one with the shortest thought wins, so each is rated 1 / (1 + tokens of its thought). A sample that ends without
    opening an answer is one of the m only if it can be read; a truncated one never is. Earlier stages were no part of the race: they only vote.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"cancel", "stop", "prefix"})
    m: int = 3
    k: int = 8
    answer_tokens: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.m <= self.k or self.answer_tokens < 1:
            raise ValueError("short_m_at_k: m must be at least 1 and at most k, answer_tokens at least 1")

    @property
    def spends(self) -> str:
        """The rest is given up."""
        return f"{self.k} samples, of which {self.k - self.m} are cut off when {self.m} have finished thinking"

    async def run(self, query: Query, tools: Tools) -> str:
        """Let them race, and answer the first."""
        first = await self._race(query, tools)
        if not first:
            return "dead_end"
        await tools.together(self._answer(query, tools, thought) for thought in first)
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's; of equally common answers the one with the shortest thought."""
        return choose(candidates, "majority")

    async def _race(self, query: Query, tools: Tools) -> list[Sample]:
        """The thoughts that ended first. What ended otherwise is kept as it is, without a vote."""
        first: list[Sample] = []
        with tools.crowd(self.draw(query, tools, stop=(tools.style.answer,)) for _ in range(self.k)) as crowd:
            async for _, sample in crowd:
                if sample.finish is Finish.STOP or (sample.finish.whole and tools.read(query, sample) is not None):
                    first.append(sample)
                else:
                    tools.discard(tools.keep(query, [sample]))
                if len(first) == self.m:
                    break
        return first

    async def _answer(self, query: Query, tools: Tools, thought: Sample) -> None:
        """Finish a thought, unless it came to its own end, and keep it."""
        samples = [thought]
        if thought.finish is Finish.STOP:
            samples.append(await self.draw(query, tools, prefix=thought.text, max_tokens=self.answer_tokens))
        tools.rate(tools.keep(query, samples), 1 / (1 + thought.completion_tokens))
