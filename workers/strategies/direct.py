"""One sample."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.ports import Tools
from router.types import Candidate, Finish, Query
from workers.strategies import strategies
from workers.vote import choose


@strategies.register("direct")
@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """One sample, greedy unless a temperature is given; `skill` "direct" answers at once, "solve" works it out first.

    With `judge` the verifier scores it: that changes nothing here, but it is evidence for whether to buy more.
    """

    skill: str = "direct"
    temperature: float = 0.0
    max_tokens: int = 256
    judge: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """A verifier, to judge."""
        return frozenset({"score"} if self.judge else ())

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the one sample."""
        sample = await tools.sample(query, skill=self.skill, temperature=self.temperature, max_tokens=self.max_tokens)
        tools.keep(query, [sample])
        if self.judge and sample.finish is not Finish.LENGTH:
            await tools.score(query, [sample.text])
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer, if one can be read."""
        return choose(candidates, "majority")
