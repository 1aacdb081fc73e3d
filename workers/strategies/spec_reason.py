"""A small model drafts the steps, a larger one writes those that it does not like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from router.errors import BackendUnavailable
from router.ports import Tools
from router.types import Candidate, Query, Sample
from workers.parts.judging import mark
from workers.parts.steps import Path, Stepping, twice
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("spec_reason")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpecReason(Stepping):
    """SpecReason (Pan et al. 2025, arXiv 2504.07891): speculative decoding by steps, with a mark in place of equal tokens.

    The helper pool `draft` writes each step; the plan's own pool marks the solution with it from 0 to 9 in one token, and writes the step itself
    if the mark is under `threshold`, or none; 0 takes every step that gets a mark, 10 none. The first `own` steps are its own. A draft that is
    cut off, or fails, is not marked. It ends early once the same step was written `repeats` times on end. The mark is the greedy one; the authors
    offer the mean over digits too.
    """

    temperature: float = 0.6
    draft: str = "draft"
    threshold: int = 7
    own: int = 0
    repeats: int = 4

    def __post_init__(self) -> None:
        if not (self.possible and self.draft and self.threshold >= 0 and self.own >= 0 and self.repeats >= 2):
            raise ValueError("spec_reason: counts must be at least 1, draft a pool's name, threshold and own at least 0, repeats at least 2")

    @property
    def needs(self) -> frozenset[str]:
        """Both write steps; the plan's own pool marks them."""
        return frozenset({"helper", "prefix", "stop", "skill:score"})

    @property
    def spends(self) -> str:
        """Drafts, marks, and own steps."""
        return f"up to {self.max_steps} steps of {self.draft}, as many marks, and own steps in place of those under {self.threshold}"

    async def run(self, query: Query, tools: Tools) -> str:
        """Step by step until the end."""
        path = Path()
        while not path.finished:
            sample = None if len(path.samples) < self.own else await self._drafted(query, tools, path)
            if sample is None:
                sample = await twice(self.written, query, tools, path)
            path = replace(path, samples=(*path.samples, sample))
            if path.truncated:
                return "dead_end"
            if repeated(path.samples) >= self.repeats:
                return "repeats"
        tools.keep(query, path.samples)
        return "done"

    async def _drafted(self, query: Query, tools: Tools, path: Path) -> Sample | None:
        """The small model's step, if the large one takes it."""
        try:
            sample = await self.written(query, tools, path, pool=self.draft)
            found = await mark(query, tools, path.text + sample.text) if sample.finish.whole else None
        except BackendUnavailable:
            return None
        return None if found is None or found < self.threshold else sample

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer, if one can be read."""
        return choose(candidates, "majority")


def repeated(samples: Sequence[Sample]) -> int:
    """How many of the last steps say the same."""
    return sum(1 for _ in takewhile(lambda sample: sample.text == samples[-1].text, reversed(samples)))
