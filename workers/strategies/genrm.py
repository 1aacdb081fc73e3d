"""Several samples, each checked by the model itself, several times over."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import ClassVar, Literal, get_args

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import rate_once, verdict
from workers.parts.sampling import Sampling, missing
from workers.parts.vote import JUDGED, Rule, choose
from workers.strategies import strategies

Reading = Literal["hybrid", "binary"]


@strategies.register("genrm")
@dataclass(frozen=True, slots=True, kw_only=True)
class GenRM(Sampling):
    """Generative verification (Zhang et al. 2024, arXiv 2408.15240, eq. 5; scaled as in Singhi et al. 2025, arXiv 2504.01005, section 3).

    `n` solutions, and for each different one `verifications` checks that end in a verdict. A solution's score is the mean of P(Yes) over its checks
    ("hybrid": from the word's log-probability where there is one) or the share of checks that said yes ("binary"). A check without a verdict is
    left out of the mean, not counted as a no. `select` "best" gives the highest score, "weighted" the answer of the largest sum. Without
    verifications this is a majority.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"skill:verify"})
    n: int = 8
    verifications: int = 4
    verify_temperature: float = 0.7
    verify_tokens: int = 256
    reading: Reading = "hybrid"
    select: Rule = "weighted"

    def __post_init__(self) -> None:
        if min(self.n, self.verify_tokens) < 1 or self.verifications < 0 or self.select not in JUDGED or self.reading not in get_args(Reading):
            raise ValueError("genrm: n must be at least 1, verifications at least 0, select best or weighted, reading hybrid or binary")

    @property
    def spends(self) -> str:
        """S (1 + lambda V), in the words of the second paper."""
        return f"{self.n} samples, {self.verifications} checks of each different one"

    async def run(self, query: Query, tools: Tools) -> str:
        """Draw, and have each different solution checked; with `n` samples there already, draw as many again."""
        await self.attempts(query, tools, missing(tools, self.n))
        if not self.verifications:
            return "done"

        async def judged(text: str) -> float | None:
            return await self._judged(query, tools, text)

        await rate_once(query, tools, lambda one: one.text, judged)
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)

    async def _judged(self, query: Query, tools: Tools, text: str) -> float | None:
        heat = self.verify_temperature if self.verifications > 1 else 0.0
        checks = (verdict(query, tools, text, temperature=heat, max_tokens=self.verify_tokens) for _ in range(self.verifications))
        found = [one.probability if self.reading == "hybrid" else float(one.said) for one in await tools.together(checks) if one is not None]
        return fsum(found) / len(found) if found else None
