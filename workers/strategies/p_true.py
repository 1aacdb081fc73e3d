"""Several samples, and the answer that the model itself holds to be true."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import chosen, rate_once
from workers.parts.sampling import Sampling, missing
from workers.parts.vote import Rule, choose
from workers.strategies import strategies


@strategies.register("p_true")
@dataclass(frozen=True, slots=True, kw_only=True)
class PTrue(Sampling):
    """P(True) (Kadavath et al. 2022, arXiv 2207.05221, section 3): `n` samples, each different answer put to the model as a proposal, true or false?

    An answer's score is P(True) over the two words, from the log-probability of the word that was said. `select` gives the answer of the highest
    score, or ("weighted") of the highest sum of scores over the samples that gave it. Samples of earlier stages count.

    `asks` above 1 averages so many verdicts drawn at temperature 1, which is for backends without log-probabilities: with them it adds nothing.
    The paper's form with several proposals side by side is not used, as the skill sees one.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"skill:true"})
    n: int = 4
    asks: int = 1
    select: Rule = "best"

    def __post_init__(self) -> None:
        if min(self.n, self.asks) < 1 or self.select not in ("best", "weighted"):
            raise ValueError("p_true: n and asks must be at least 1, select best or weighted")

    @property
    def spends(self) -> str:
        """All of them."""
        return f"{self.n} samples, {self.asks} verdicts on each different answer"

    async def run(self, query: Query, tools: Tools) -> str:
        """Draw, and have each different answer judged; with `n` samples there already, draw as many again."""
        await self.attempts(query, tools, missing(tools, self.n))

        async def believed(answer: str) -> float | None:
            return await self._believed(query, tools, answer)

        await rate_once(query, tools, lambda one: one.answer or "", believed)
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer most believed in."""
        return choose(candidates, self.select)

    async def _believed(self, query: Query, tools: Tools, answer: str) -> float | None:
        """Mean P(True) of the verdicts that can be read; None without any."""
        heat = 1.0 if self.asks > 1 else 0.0
        asked = (chosen(query, tools, "true", (answer,), ("True", "False"), temperature=heat) for _ in range(self.asks))
        found = [value for value in await tools.together(asked) if value is not None]
        return fsum(found) / len(found) if found else None
