"""Search step by step: a verifier judges every beginning of a solution, and only the good ones are continued."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.aggregates import AGGREGATES, Aggregate
from workers.parts.searching import beam_search
from workers.parts.steps import Path, Stepping, grown
from workers.parts.vote import JUDGED, Rule, choose
from workers.strategies import strategies


@strategies.register("beam")
@dataclass(frozen=True, slots=True, kw_only=True)
class Beam(Stepping):
    """Beam search over steps under a process reward model (Snell et al. 2024, arXiv 2408.03314, section 5.1 and its appendix).

    `beams` paths are kept and `children` next steps tried of each, so the paper's N is their product. `aggregate` makes a path's value of the
    scores of its beginnings, which are all there anyway: the last, their minimum or their product. A finished path that is among the best takes
    its beam with it, so there are never more than `beams`; all finished paths are candidates. A truncated step is thrown away, equal paths are
    judged and continued once; of equal values the likelier path goes on.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    beams: int = 4
    children: int = 4
    aggregate: Aggregate = "last"
    select: Rule = "weighted"

    def __post_init__(self) -> None:
        if min(self.beams, self.children) < 1 or not self.possible or self.select not in JUDGED or self.aggregate not in AGGREGATES:
            raise ValueError("beam: counts must be at least 1, aggregate last, min or prod, select best or weighted")

    @property
    def spends(self) -> str:
        """Beams by children by steps."""
        return f"{self.beams * self.children} steps, as many prefixes scored, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Grow by one step per round, until every beam is finished."""

        async def grow(paths: Sequence[Path]) -> list[Path]:
            return await grown(self, query, tools, paths, aggregate=self.aggregate)

        return await beam_search(grow, tools, beams=self.beams, children=self.children)

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Of the finished paths, the best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)
