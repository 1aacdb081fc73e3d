"""Several small searches that know nothing of one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.aggregates import AGGREGATES, Aggregate
from workers.parts.steps import Path, Stepping, grown
from workers.parts.vote import JUDGED, Rule, choose
from workers.strategies import strategies


@strategies.register("dvts")
@dataclass(frozen=True, slots=True, kw_only=True)
class DiverseTrees(Stepping):
    """Diverse verifier tree search (Beeching et al. 2024, "Scaling test-time compute with open models", Hugging Face): `n` / `children` trees.

    Each tree keeps the best of `children` next steps, until that one is finished; so `n` = `children` is greedy search under the verifier. All
    finished paths are candidates: those of a tree's last step, as in the authors' code, and any that finished before without being the best.
    Each tree draws from a random stream of its own, so that the results for a smaller `n` are those of its first trees.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    n: int = 16
    children: int = 4
    aggregate: Aggregate = "last"
    select: Rule = "weighted"

    def __post_init__(self) -> None:
        counted = self.children >= 1 and self.n >= 1 and self.n % self.children == 0
        if not (counted and self.possible and self.select in JUDGED and self.aggregate in AGGREGATES):
            raise ValueError("dvts: n must be a multiple of children, counts at least 1, aggregate last, min or prod, select best or weighted")

    @property
    def spends(self) -> str:
        """Trees by children by steps."""
        return f"{self.n} steps, as many prefixes scored, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Grow every tree by one step per round, until all are finished."""
        streams = tools.rng.spawn(self.n // self.children)
        frontier = [Path(tree=tree) for tree in range(len(streams))]
        while frontier:
            tried = [path for path in frontier for _ in range(self.children)]
            seeds = [int(streams[path.tree].integers(2**31)) for path in tried]
            longer = await grown(self, query, tools, tried, aggregate=self.aggregate, seeds=seeds)
            frontier = [path for path in leaders(longer) if not path.finished]
        return "done" if tools.candidates[tools.earlier :] else "dead_end"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Of the finished paths, the best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)


def leaders(paths: Sequence[Path]) -> list[Path]:
    """The best path of each tree."""
    best = {path.tree: path for path in sorted(paths, key=Path.rank, reverse=True)}
    return [best[tree] for tree in sorted(best)]
