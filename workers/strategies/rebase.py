"""Search whose width is shared out among all paths, the better ones getting more of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, exp
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.steps import Path, Stepping, extended, valued
from workers.parts.vote import JUDGED, Rule, choose
from workers.strategies import strategies


@strategies.register("rebase")
@dataclass(frozen=True, slots=True, kw_only=True)
class Rebase(Stepping):
    """Reward balanced search (REBASE, Wu et al. 2024, arXiv 2408.00724, section 3.2): the width goes to paths by a softmax of their scores.

    `width` is how many paths there are, the finished ones included; `balance` the temperature of the softmax. Every sample is a path of its own,
    equal ones are scored once. The authors' allocation gives away more than the width when a floating-point residue is rounded up; `allocation`
    is exact.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score", "steps"})
    width: int = 16
    balance: float = 0.2
    select: Rule = "weighted"

    def __post_init__(self) -> None:
        if not (self.width >= 1 and self.balance > 0 and self.possible and self.select in JUDGED):
            raise ValueError("rebase: counts must be at least 1, balance above 0, select best or weighted")

    @property
    def spends(self) -> str:
        """Width by steps."""
        return f"{self.width} steps, as many prefixes scored, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Grow by one step per round; what is finished takes its share of the width with it."""
        width, tried = self.width, [Path()] * self.width
        while tried:
            longer = await valued(query, tools, await extended(self, query, tools, tried))
            frontier = [path for path in longer if not path.finished]
            width -= len(longer) - len(frontier)
            shares = allocation([path.value for path in frontier], width, self.balance)
            tried = [path for path, share in zip(frontier, shares, strict=True) for _ in range(share)]
        return "done" if tools.candidates[tools.earlier :] else "dead_end"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Of the finished paths, the best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)


def allocation(scores: Sequence[float], width: int, temperature: float) -> list[int]:
    """How many children each path gets, `width` in all (equation 3, from the best on: its share of what is left, rounded up).

    Reckoned in fractions, so that it adds up and no path gets more than a better one.
    """
    best = max(scores, default=0.0)
    weights = [Fraction(exp((float(score) - float(best)) / temperature)) for score in scores]
    left, weight, shares = width, sum(weights, Fraction()), [0] * len(scores)
    for place in sorted(range(len(scores)), key=lambda place: -scores[place]):
        shares[place] = ceil(left * weights[place] / weight) if weight else 0
        left -= shares[place]
        weight -= weights[place]
    return shares
