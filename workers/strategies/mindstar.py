"""Tree search that reasons with a step-by-step judge: along one line, or with ways back."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import ClassVar, Literal, get_args

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.particles import bounded_logit, softmax
from workers.parts.searching import beam_search, best_first
from workers.parts.steps import Path, Stepping, concluded, grown
from workers.parts.vote import choose
from workers.strategies import strategies

Mode = Literal["beam", "levin"]


@strategies.register("mindstar")
@dataclass(frozen=True, slots=True, kw_only=True)
class MindStar(Stepping):
    """MindStar, M* (Kang et al. 2024, arXiv 2405.16265): `children` next steps are judged, and the search goes on from the best of them.

    `mode` "beam" keeps `beams` of them and never goes back. "levin" is Levin tree search (Orseau et al. 2018, arXiv 1811.10928): of all paths ever
    seen that of the least depth / probability is expanded next, so it goes back once the line it is on has become doubtful. Unverified: how the
    paper makes a policy of scores and what its depth counts. Here the probability of a path is the product, over its steps, of the step's share of
    the odds among its siblings, and depth is in steps, the root included. That is a policy, so Levin's bound holds: the first finished path whose
    turn it is has been found after at most as many expansions as the cost of any. Where `expansions` were not enough, the path whose turn it would
    be is written to the end at once. The answer is the best-scored finished path.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    mode: Mode = "levin"
    children: int = 8
    beams: int = 1
    expansions: int = 32
    frontier: int = 256

    def __post_init__(self) -> None:
        if min(self.children, self.beams, self.expansions, self.frontier) < 1 or not self.possible or self.mode not in get_args(Mode):
            raise ValueError("mindstar: counts must be at least 1, mode beam or levin")

    @property
    def spends(self) -> str:
        """Expansions, or beams by steps."""
        if self.mode == "levin":
            return f"up to {self.expansions * self.children} steps, as many prefixes scored, {self.children} at a time"
        return f"{self.beams * self.children} steps, as many prefixes scored, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Search until one path, or every beam, is finished."""
        surprise = {"": 0.0}  # minus the log-probability of each path

        async def grow(paths: Sequence[Path]) -> list[Path]:
            return await grown(self, query, tools, paths)

        async def grow_one(paths: Sequence[Path]) -> list[Path]:
            longer = await grow(paths)
            for path, share in zip(longer, shares([path.value for path in longer]), strict=True):
                surprise[path.text] = surprise[paths[0].text] - log(share)
            return longer

        def cost(path: Path) -> float:
            return log(len(path.samples) + 1) + surprise[path.text]

        if self.mode == "beam":
            return await beam_search(grow, tools, beams=self.beams, children=self.children)
        reason, path = await best_first(grow_one, cost, children=self.children, expansions=self.expansions, frontier=self.frontier)
        if reason == "expansions" and not tools.candidates[tools.earlier :]:
            await concluded(self, query, tools, path)
        return reason

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored finished path."""
        return choose(candidates, "best")


def shares(scores: Sequence[float]) -> list[float]:
    """What part of their odds each of these scores has; none is nothing, so that a path that no other is better than can still be gone."""
    return [float(share) for share in softmax([bounded_logit(score) for score in scores])]
