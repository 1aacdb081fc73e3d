"""A weighted vote, and for hard questions only, review and refinement of the solutions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log, prod
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import verdict
from workers.parts.sampling import Sampling, missing
from workers.parts.vote import choose, votes
from workers.strategies import strategies
from workers.strategies.weighted_majority import beginnings


@strategies.register("magicore")
@dataclass(frozen=True, slots=True, kw_only=True)
class Magicore(Sampling):
    """MAgICoRe (Chen et al. 2024, arXiv 2409.12147, section 3): `n` chains; the easy questions are decided by a weighted vote, the hard ones refined.

    A chain's reward is o + p: the verifier's score of the whole, and the product of its scores of every beginning. A question is hard if the reward
    of the leading answer's chains, standardised by `mean` and `deviation` over the data set, is below 0 on average, and the weighted vote is not
    confident by one of the two scores: confidence is 2 (1 - sigmoid(H)) of the vote's entropy H, and has to reach `confident`. Then up to
    `iterations` times a reviewer checks every chain (skill "verify", told the step scores where the style has steps), a refiner writes it again
    (skill "refine"), the new chains are scored, and the best `n` of all go on to vote.

    Unlike the authors' code an easy question is never touched again, and a refined chain competes with the one it came from.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score", "steps", "skill:verify", "skill:refine"})
    n: int = 8
    iterations: int = 2
    mean: float = 1.0
    deviation: float = 0.5
    confident: float = 0.5
    verify_tokens: int = 256

    def __post_init__(self) -> None:
        if min(self.n, self.verify_tokens) < 1 or self.iterations < 0 or self.deviation <= 0:
            raise ValueError("magicore: n and verify_tokens must be at least 1, iterations at least 0, deviation above 0")

    @property
    def spends(self) -> str:
        """The hard ones cost more."""
        return f"{self.n} samples, all their beginnings scored; if hard, up to {self.iterations} times {self.n} checks and refinements"

    async def run(self, query: Query, tools: Tools) -> str:
        """Vote; refine what is hard, and vote again."""
        await self.attempts(query, tools, missing(tools, self.n))
        rewards = await self._rewards(query, tools, {})
        for _ in range(self.iterations):
            if not self._hard(tools, rewards):
                break
            chains = [one.text for one in tools.candidates if votes(one)]
            await tools.together(self._refined(query, tools, text, rewards[text]) for text in dict.fromkeys(chains))
            rewards = await self._rewards(query, tools, rewards)
            self._keep_the_best(tools, rewards)
        return "hard" if self._hard(tools, rewards) else "confident"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best of the answer with the largest sum of rewards."""
        return choose(candidates, "weighted")

    async def _rewards(self, query: Query, tools: Tools, known: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """(o, p) of every chain that votes; it is rated by half their sum."""
        texts = dict.fromkeys(one.text for one in tools.candidates if votes(one) and one.text not in known)
        paths = {text: beginnings(text, tools.style.step) for text in texts}
        different = tuple(dict.fromkeys(part for parts in paths.values() for part in parts))
        scores = dict(zip(different, await tools.score(query, different), strict=True))
        rewards = dict(known) | {text: (scores[parts[-1]], prod(scores[part] for part in parts)) for text, parts in paths.items() if parts}
        for place, one in enumerate(tools.candidates):
            if one.text in rewards and votes(one):
                tools.rate(place, sum(rewards[one.text]) / 2)
        return rewards

    def _hard(self, tools: Tools, rewards: Mapping[str, tuple[float, float]]) -> bool:
        """The two conditions."""
        voting = [(one.answer or "", rewards[one.text]) for one in tools.candidates if votes(one) and one.text in rewards]
        if not voting:
            return False
        return is_hard(voting, self.mean, self.deviation, self.confident)

    async def _refined(self, query: Query, tools: Tools, text: str, reward: tuple[float, float]) -> None:
        found = await verdict(query, tools, text, max_tokens=self.verify_tokens)
        said = found.check if found else f"A verifier gives the steps {reward[1]:.2f} of 1."
        await self.attempt(query, tools, skill="refine", texts=(text, said))

    def _keep_the_best(self, tools: Tools, rewards: Mapping[str, tuple[float, float]]) -> None:
        voting = [place for place, one in enumerate(tools.candidates) if votes(one)]
        rank = sorted(voting, key=lambda place: (-sum(rewards.get(tools.candidates[place].text, (0.0, 0.0))), tools.candidates[place].text))
        for place in rank[self.n :]:
            tools.discard(place)


def is_hard(voting: Sequence[tuple[str, tuple[float, float]]], mean: float, deviation: float, confident: float) -> bool:
    """Whether the chains of (answer, (o, p)) leave a question open: a poor leading answer, and a vote that is not sure of it."""
    answers = [answer for answer, _ in voting]
    leader = max(sorted(set(answers)), key=answers.count)
    led = [(o + p - mean) / deviation for answer, (o, p) in voting if answer == leader]
    unsure = any(confidence(_shares(voting, which)) < confident for which in (0, 1))
    return fsum(led) / len(led) < 0 and unsure


def confidence(shares: Sequence[float]) -> float:
    """2 (1 - sigmoid(H)) of a distribution's entropy H in nats: 1 for a single answer, falling towards 0."""
    entropy = -fsum(share * log(share) for share in shares if share > 0)
    return 2 * (1 - 1 / (1 + exp(-entropy)))


def _shares(voting: Sequence[tuple[str, tuple[float, float]]], which: int) -> list[float]:
    """The answers' shares of one of the two scores."""
    totals: dict[str, float] = defaultdict(float)
    for answer, rewards in voting:
        totals[answer] += rewards[which]
    whole = fsum(totals.values())
    return [total / whole for total in totals.values()] if whole else [1 / len(totals)] * len(totals)
