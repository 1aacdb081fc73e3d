"""Attempts one after the other, each shown the best and the last so far and what the verifier said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import verdict
from workers.parts.sampling import Sampling
from workers.parts.vote import choose
from workers.strategies import strategies

Feedback = Literal["none", "score", "check"]


@strategies.register("iterative_agent_decoding")
@dataclass(frozen=True, slots=True, kw_only=True)
class IterativeAgentDecoding(Sampling):
    """Iterative agent decoding (arXiv 2504.01931, algorithm 1): up to `n` attempts, best first kept, until one scores `enough`.

    From the second on an attempt is conditioned on the best so far and the last one that did not beat it, with the verifier's feedback: its "score",
    or the model's own "check" of the best in words. It never falls back: the best-scored attempt is given. Without feedback the attempts are
    independent, which is best of n, one by one.
    """

    n: int = 4
    enough: float = 0.95
    feedback: Feedback = "check"
    verify_tokens: int = 256

    def __post_init__(self) -> None:
        if min(self.n, self.verify_tokens) < 1 or self.feedback not in get_args(Feedback):
            raise ValueError("iterative_agent_decoding: n and verify_tokens must be at least 1, feedback none, score or check")

    @property
    def needs(self) -> frozenset[str]:
        """A verifier, and the skills that feedback is for."""
        skills = {"none": set[str](), "score": {"skill:refine"}, "check": {"skill:refine", "skill:verify"}}[self.feedback]
        return frozenset({"score"} | skills)

    @property
    def spends(self) -> str:
        """One after the other."""
        return f"up to {self.n} samples, each scored" + (", and checked before the next" if self.feedback == "check" else "")

    async def run(self, query: Query, tools: Tools) -> str:
        """Attempt, score, remember the best."""
        best = last = await self._scored(query, tools)
        for _ in range(1, self.n):
            if self._score(tools, best) >= self.enough:
                return "enough"
            shown = await self._shown(query, tools, best, last)
            last = await self._scored(query, tools, **shown)
            best = max(best, last, key=lambda place: (self._score(tools, place), -place))
        return "enough" if self._score(tools, best) >= self.enough else "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored."""
        return choose(candidates, "best")

    async def _scored(self, query: Query, tools: Tools, **shown: object) -> int:
        """One attempt with its score; what cannot be read has none."""
        place = await self.attempt(query, tools, **shown)
        if tools.candidates[place].answer is not None:
            await tools.score(query, (tools.candidates[place].text,))
        return place

    async def _shown(self, query: Query, tools: Tools, best: int, last: int) -> dict[str, object]:
        """What the next attempt is conditioned on; an attempt that cannot be read teaches nothing."""
        if self.feedback == "none" or tools.candidates[best].answer is None:
            return {}
        text = tools.candidates[best].text
        if self.feedback == "score":
            said = f"A verifier gives this {self._score(tools, best):.2f} of 1."
        else:
            found = await verdict(query, tools, text, max_tokens=self.verify_tokens)
            said = found.check if found else ""
        worse = "" if last == best else f"\nThis was no better:\n{tools.candidates[last].text}"
        return {"skill": "refine", "texts": (text, f"{said}{worse}")}

    @staticmethod
    def _score(tools: Tools, place: int) -> float:
        return tools.candidates[place].score or 0.0
