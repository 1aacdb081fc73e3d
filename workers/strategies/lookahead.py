"""Search that judges a step by where it leads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.searching import beam_search
from workers.parts.steps import Path, Stepping, different, extended, valued
from workers.parts.vote import JUDGED, Rule, choose
from workers.strategies import strategies


@strategies.register("lookahead")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lookahead(Stepping):
    """Lookahead search (Snell et al. 2024, arXiv 2408.03314, section 5.1): beam search that scores a step after `ahead` more, written greedily.

    Of what is written ahead nothing is kept but the score, so a step costs `ahead` + 1. It ends early where the solution ends, and before a step
    that is cut off. A finished step is scored as it is. The text written ahead is what the verifier reads; the authors of search-and-learn, who
    generate it, score the step alone.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    beams: int = 4
    children: int = 4
    ahead: int = 1
    select: Rule = "weighted"

    def __post_init__(self) -> None:
        if min(self.beams, self.children) < 1 or self.ahead < 0 or not self.possible or self.select not in JUDGED:
            raise ValueError("lookahead: counts must be at least 1, ahead at least 0, select best or weighted")

    @property
    def spends(self) -> str:
        """Beams by children by steps, each with those ahead of it."""
        tried = self.beams * self.children
        return f"{tried} steps, {self.ahead} more after each, {tried} prefixes scored, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Grow by one step per round, until every beam is finished."""

        async def grow(paths: Sequence[Path]) -> list[Path]:
            steps = different(await extended(self, query, tools, paths))
            foreseen = await tools.together(self._foreseen(query, tools, path) for path in steps)
            return await valued(query, tools, [path for path, _ in foreseen], texts=[text for _, text in foreseen])

        return await beam_search(grow, tools, beams=self.beams, children=self.children)

    async def _foreseen(self, query: Query, tools: Tools, path: Path) -> tuple[Path, str]:
        """A path and its text with the steps ahead."""
        ahead = path
        for _ in range(0 if path.finished else self.ahead):
            sample = await self.written(query, tools, ahead, temperature=0.0, seed=0)  # greedy needs no chance
            if sample.finish.whole:
                tools.use(sample)
                ahead = replace(ahead, samples=(*ahead.samples, sample))
            if ahead.finished or not sample.finish.whole:
                break
        return path, ahead.text

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Of the finished paths, the best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)
