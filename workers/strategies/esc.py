"""Majority of several samples, drawn in windows until one is unanimous."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling, missing
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("esc")
@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStoppingSelfConsistency(Sampling):
    """Early-stopping self-consistency (ESC, Li et al. 2024, arXiv 2401.10480, section 3): windows of samples until all answers of one are the same.

    `n` samples at most, those of earlier stages counted, in windows of `window`. A sample that failed or cannot be read keeps its window from being
    unanimous. The majority of all samples is given, where the authors' code gives the window's answer; "outvoted" says that these differ.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    n: int = 40
    window: int = 5

    def __post_init__(self) -> None:
        if min(self.n, self.window) < 1:
            raise ValueError("esc: n and window must be at least 1")

    @property
    def spends(self) -> str:
        """Windows."""
        return f"{min(self.window, self.n)} to {self.n} samples"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy windows until one is unanimous."""
        left = missing(tools, self.n)
        for size in [self.window] * (left // self.window) + [left % self.window] * (left % self.window > 0):
            places = await tools.together(self.attempt(query, tools) for _ in range(size))
            answers = {tools.candidates[place].answer for place in places}
            if len(places) == self.window and len(answers) == 1 and None not in answers:
                return "unanimous" if self._majority(tools.candidates) in answers else "outvoted"
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's."""
        return choose(candidates, "majority")

    def _majority(self, candidates: Sequence[Candidate]) -> str | None:
        place = self.choose(candidates)
        return None if place is None else candidates[place].answer
