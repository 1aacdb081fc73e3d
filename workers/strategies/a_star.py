"""Search that always goes on where the whole way looks shortest."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.searching import best_first
from workers.parts.steps import Path, Stepping, concluded, different, extended, valued
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("a_star")
@dataclass(frozen=True, slots=True, kw_only=True)
class AStar(Stepping):
    """A*-decoding (Chatziveroglou 2025, arXiv 2505.13672): best-first over beginnings by f = g + h, `children` next steps of each.

    h = 1 - r with r the verifier's score, as in the paper. Its cost g could not be checked against the text: here it is `weight` times the sum of
    1 - r over the steps, so a path pays for every doubtful step on its way. `weight` 0 is greedy. Of all that was begun the `frontier` cheapest
    are remembered; it ends with the first finished path whose turn it is, or after `expansions`; without any, the cheapest is then written to the
    end at once. The answer is the finished path of the lowest f; its score is exp(-f), about the product of its steps' scores.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    children: int = 4
    expansions: int = 32
    frontier: int = 64
    weight: float = 1.0

    def __post_init__(self) -> None:
        if min(self.children, self.expansions, self.frontier) < 1 or self.weight < 0 or not self.possible:
            raise ValueError("a_star: counts must be at least 1, weight at least 0")

    @property
    def spends(self) -> str:
        """Expansions."""
        return f"up to {self.expansions * self.children} steps, as many prefixes scored, {self.children} at a time"

    async def run(self, query: Query, tools: Tools) -> str:
        """Expand one path after another."""

        def whole(path: Path) -> float:
            return cost(path.marks, self.weight)

        def rated(paths: Sequence[Path]) -> list[Path]:
            for path in paths:
                if path.place is not None:
                    tools.rate(path.place, exp(-whole(path)))
            return different(paths)

        async def grow(paths: Sequence[Path]) -> list[Path]:
            return rated(await valued(query, tools, await extended(self, query, tools, paths)))

        reason, path = await best_first(grow, whole, children=self.children, expansions=self.expansions, frontier=self.frontier)
        if reason == "expansions" and not tools.candidates[tools.earlier :]:
            rated(await concluded(self, query, tools, path))
        return reason

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The finished path of the lowest cost."""
        return choose(candidates, "best")


def cost(marks: Sequence[float], weight: float) -> float:
    """The f of a path whose beginnings have these scores: what it has cost so far, and what is doubtful about it now."""
    return weight * fsum(1 - mark for mark in marks) + (1 - marks[-1])
