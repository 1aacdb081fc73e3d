"""Search step by step: a verifier judges every beginning of a solution, and only the good ones are continued."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.steps import Path, Stepping, grown
from workers.strategies import strategies
from workers.vote import Rule, choose


@strategies.register("beam")
@dataclass(frozen=True, slots=True, kw_only=True)
class Beam(Stepping):
    """Beam search over steps under a process reward model (Snell et al. 2024, arXiv 2408.03314, section 5.1 and its appendix).

    `beams` paths are kept and `children` next steps tried of each. A finished path that is among the best takes its beam with it, so there are
    never more than `beams`; all finished paths are candidates. A truncated step is thrown away, equal paths are judged and continued once.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    beams: int = 4
    children: int = 4
    select: Rule = "weighted"

    def __post_init__(self) -> None:
        if min(self.beams, self.children, self.max_steps, self.step_tokens) < 1 or self.select == "majority":
            raise ValueError("beam: counts must be at least 1, select best or weighted")

    @property
    def spends(self) -> str:
        """Beams by children by steps."""
        return f"{self.beams * self.children} steps, as many prefixes scored, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Grow by one step per round, until every beam is finished."""
        places, frontier = self.beams, [Path()] * self.beams
        for _ in range(self.max_steps):
            longer = await grown(self, query, tools, [path for path in frontier for _ in range(self.children)])
            best = sorted(longer, key=Path.rank)[:places]
            frontier = [path for path in best if not path.finished]
            places -= len(best) - len(frontier)
            if not frontier:
                return "done" if tools.candidates else "dead_end"
        return "steps"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Of the finished paths, the best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)
