"""Several samples that are compared two by two until the best is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import comparison
from workers.parts.sampling import Sampling, missing
from workers.parts.tournament import Ratings
from workers.parts.vote import choose, votes
from workers.strategies import strategies


@strategies.register("tournament")
@dataclass(frozen=True, slots=True, kw_only=True)
class Tournament(Sampling):
    """Pairwise self-verification (V1, arXiv 2603.04304, section 3): `n` solutions, and `ratio` comparisons for each.

    First every solution meets `least` others, those that met fewest first (topology coverage); then neighbours in the ranking meet, the closest
    first and at most `window` places apart (Swiss refinement). The judge marks both of a pair; a solution's score is its win rate weighted by
    margin. Which of the two is shown first is drawn by lot; with `both` each pair is judged in both orders, for two calls.

    Solutions with the same answer are one contestant, shown by its likeliest text: comparing them would tell nothing of which answer is right. The
    paper's own constants could not be read; these are chosen.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"skill:judge"})
    n: int = 8
    ratio: float = 3.0
    least: int = 2
    window: int = 2
    both: bool = False

    def __post_init__(self) -> None:
        if self.n < 1 or self.ratio < 0 or min(self.least, self.window) < 1:
            raise ValueError("tournament: n, least and window must be at least 1, ratio at least 0")

    @property
    def spends(self) -> str:
        """Solutions and comparisons."""
        return f"{self.n} samples, up to {round(self.ratio * self.n)} comparisons" + (" in both orders" if self.both else "")

    async def run(self, query: Query, tools: Tools) -> str:
        """Draw, then compare in rounds; with `n` samples there already, draw as many again."""
        await self.attempts(query, tools, missing(tools, self.n))
        texts = contestants(tools.candidates)
        ratings, answers, left = Ratings(len(texts)), list(texts), round(self.ratio * self.n)
        while left > 0 and (pairs := self._next(ratings, tools, left)):
            await tools.together(self._meet(query, tools, ratings, list(texts.values()), pair) for pair in pairs)
            left -= len(pairs)
            rate(tools, {answer: ratings.rate(place) for place, answer in enumerate(answers)})
        return "unopposed" if len(texts) < 2 else "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The highest rated; without any comparison the majority."""
        return choose(candidates, "best")

    def _next(self, ratings: Ratings, tools: Tools, left: int) -> list[tuple[int, int]]:
        """The pairs of the next round."""
        least = min(self.least, ratings.count - 1)
        return ratings.coverage(least, left, tools.rng) or ratings.swiss(self.window, left)

    async def _meet(self, query: Query, tools: Tools, ratings: Ratings, texts: Sequence[str], pair: tuple[int, int]) -> None:
        orders = [pair, pair[::-1]]
        shown = orders if self.both else [orders[int(tools.rng.integers(2))]]
        for first, second in shown:
            found = await comparison(query, tools, texts[first], texts[second])
            ratings.tell(first, second, (found.first, found.second) if found else None)


def contestants(candidates: Sequence[Candidate]) -> dict[str, str]:
    """The likeliest text of each answer, answers in an order that does not depend on the candidates'."""
    best = {one.answer: one.text for one in sorted(candidates, key=lambda one: (one.logprob, one.text)) if one.answer is not None and votes(one)}
    return dict(sorted(best.items()))


def rate(tools: Tools, rates: dict[str, float]) -> None:
    """Give every candidate its answer's rate."""
    for place, one in enumerate(tools.candidates):
        if one.answer is not None and votes(one):
            tools.rate(place, rates[one.answer])
