"""One sample."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("direct")
@dataclass(frozen=True, slots=True, kw_only=True)
class Direct(Sampling):
    """One sample, greedy unless a temperature is given; `skill` "direct" answers at once, "solve" works it out first.

    With `judge` the verifier scores it: that changes nothing here, but it is evidence for whether to buy more.
    """

    skill: str = "direct"
    temperature: float = 0.0
    judge: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """A verifier, to judge."""
        return frozenset({"score"} if self.judge else ()) | ({"skill:direct"} if self.skill == "direct" else frozenset())

    @property
    def spends(self) -> str:
        """One."""
        return "1 sample" + (", 1 scoring" if self.judge else "")

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the one sample."""
        kept = tools.candidates[await self.attempt(query, tools)]
        if self.judge and kept.finish.whole:
            await tools.score(query, [kept.text])
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer, if one can be read."""
        return choose(candidates, "majority")
