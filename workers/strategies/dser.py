"""Long chains of checking and mending, side by side, whose last answers vote."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import Verdict, verdict
from workers.parts.sampling import Sampling
from workers.parts.vote import choose, votes
from workers.strategies import strategies
from workers.strategies.sequential_refinement import AGAIN


@strategies.register("dser")
@dataclass(frozen=True, slots=True, kw_only=True)
class Dser(Sampling):
    """Deep self-evolving reasoning (arXiv 2510.17498, section 3): `chains` chains of `rounds` rounds, each a check and then always a refinement.

    Right and wrong are the two states of a Markov chain whose stationary share of right answers is p_IC / (p_IC + p_CI), so what counts is that
    mending is likelier than spoiling, not that any one check is reliable. A chain's answer is the majority of its last `tail` iterates, the answer
    given the majority of the chains.

    Where spoiling is likelier the method can only do harm: a chain whose checks change their mind about one answer in more than `flips` of its
    rounds (1: never) is ended.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"skill:verify", "skill:refine"})
    chains: int = 4
    rounds: int = 4
    tail: int = 10
    flips: float = 0.5
    verify_tokens: int = 256

    def __post_init__(self) -> None:
        if min(self.chains, self.tail, self.verify_tokens) < 1 or self.rounds < 0 or not 0 <= self.flips <= 1:
            raise ValueError("dser: chains, tail and verify_tokens must be at least 1, rounds at least 0, flips within [0, 1]")

    @property
    def spends(self) -> str:
        """Chains by rounds."""
        return f"{self.chains} chains of 1 sample, then {self.rounds} checks and refinements"

    async def run(self, query: Query, tools: Tools) -> str:
        """Run the chains, and let each have one vote."""
        ended = await tools.together(self._chain(query, tools) for _ in range(self.chains))
        for places in ended:
            self._speak_with_one_voice(tools, places)
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority; while chains still run, of all that was written lately."""
        return choose(candidates, "majority")

    async def _chain(self, query: Query, tools: Tools) -> list[int]:
        """Places of the iterates that count."""
        places = [await self.attempt(query, tools)]
        verdicts: dict[str | None, list[bool]] = {}
        for _ in range(self.rounds):
            one = tools.candidates[places[-1]]
            found = await verdict(query, tools, one.text, max_tokens=self.verify_tokens)
            if found is not None:
                verdicts.setdefault(one.answer, []).append(found.said)
            if self._unsteady(verdicts):
                break
            places.append(await self.attempt(query, tools, skill="refine", texts=(one.text, _said(found))))
            while len(places) > self.tail:
                tools.discard(places.pop(0))
        return places

    def _unsteady(self, verdicts: dict[str | None, list[bool]]) -> bool:
        """Whether checks of one and the same answer keep changing."""
        pairs = [one != other for said in verdicts.values() for one, other in pairwise(said)]
        return len(pairs) > 1 and sum(pairs) / len(pairs) > self.flips

    def _speak_with_one_voice(self, tools: Tools, places: Sequence[int]) -> None:
        """Leave one vote to a chain: the latest iterate of its majority."""
        voting = [place for place in places if votes(tools.candidates[place])]
        if not voting:
            return
        counts = Counter(tools.candidates[place].answer for place in voting)
        spokesman = max(voting, key=lambda place: (counts[tools.candidates[place].answer], place))
        for place in voting:
            if place != spokesman:
                tools.discard(place)


def _said(found: Verdict | None) -> str:
    """The check, where it could be read."""
    return found.check if found else AGAIN
