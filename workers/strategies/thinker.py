"""A fast answer, checked; a slow solution only where the check fails."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import Verdict, verdict
from workers.parts.sampling import Sampling
from workers.parts.tracing import superseded
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("thinker")
@dataclass(frozen=True, slots=True, kw_only=True)
class Thinker(Sampling):
    """Fast thinking, verification, slow thinking, summary (Thinker, Chung et al. 2025, arXiv 2505.21097), as a flow of inference alone.

    The fast answer (`fast_skill`, `fast_tokens`, greedy) is given if the model's check of it says yes with probability `tau`; one that is cut off
    or cannot be read is not even checked. Else the problem is solved at length: from scratch, or with `skill` "refine" from the fast answer and its
    check. With `summarise` the slow solution is written again, shorter; it is given if it still has the same answer. A slow answer that can be
    read takes the vote of the fast one. In the paper each stage is trained for; here the pool's skills stand in.
    """

    temperature: float = 0.0
    fast_skill: str = "direct"
    fast_tokens: int = 64
    verify_tokens: int = 256
    tau: float = 0.5
    summarise: bool = False

    def __post_init__(self) -> None:
        if min(self.fast_tokens, self.verify_tokens, self.max_tokens) < 1 or self.tau < 0:
            raise ValueError("thinker: counts must be at least 1, tau at least 0")

    @property
    def needs(self) -> frozenset[str]:
        """The skills that are used."""
        skills = {self.fast_skill, self.skill, "verify"} | ({"summarise"} if self.summarise else set())
        return frozenset(f"skill:{name}" for name in skills - {"solve"})

    @property
    def spends(self) -> str:
        """All stages, if the first is not enough."""
        return f"1 fast answer and its check, then perhaps 1 sample{' and its summary' if self.summarise else ''}"

    async def run(self, query: Query, tools: Tools) -> str:
        """Fast, and slow if need be."""
        fast = await self.attempt(query, tools, skill=self.fast_skill, max_tokens=self.fast_tokens, temperature=0.0)
        found = None
        if tools.candidates[fast].answer is not None:
            found = await verdict(query, tools, tools.candidates[fast].text, max_tokens=self.verify_tokens)
        if found is not None:
            tools.rate(fast, found.probability)
            if found.probability >= self.tau:
                return "fast"
        slow = await self._slow(query, tools, tools.candidates[fast].text, found)
        superseded(tools, fast, slow)
        if self.summarise and tools.candidates[slow].answer is not None:
            await self._summary(query, tools, slow)
        return "slow"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer that stands."""
        return choose(candidates, "majority")

    async def _slow(self, query: Query, tools: Tools, fast: str, found: Verdict | None) -> int:
        """From scratch too where there is no check to learn from."""
        if self.skill != "refine":
            return await self.attempt(query, tools)
        return await (self.attempt(query, tools, texts=(fast, found.check)) if found else self.attempt(query, tools, skill="solve"))

    async def _summary(self, query: Query, tools: Tools, slow: int) -> None:
        """A summary with another answer is none."""
        solved = tools.candidates[slow]
        summary = await self.attempt(query, tools, skill="summarise", texts=(solved.text,), temperature=0.0)
        tools.discard(slow if tools.candidates[summary].answer == solved.answer else summary)
