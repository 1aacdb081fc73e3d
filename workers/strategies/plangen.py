"""Constraints first, then whichever inner strategy has served best, until what it gives is verified."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Any

from router.ports import Strategy, Tools
from router.types import Candidate, Query
from workers.parts.judging import chosen, verdict
from workers.parts.sampling import remarked
from workers.parts.steps import twice
from workers.parts.vote import choose, votes
from workers.strategies import strategies

_ARMS: Sequence[Mapping[str, Any]] = (
    {"strategy": "self_consistency", "options": {"n": 4, "batch": 4}},
    {"strategy": "best_of_n", "options": {"n": 4}},
    {"strategy": "beam", "options": {"beams": 2, "children": 2}},
)


@dataclass(slots=True)
class Arm:
    """What one inner strategy has been worth so far."""

    strategy: Strategy
    rewards: list[float] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)  # share of its answers that were new


@strategies.register("plangen")
@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGen:
    """PlanGEN's mixture of algorithms (Parmar et al. 2025, arXiv 2502.16111, section 3).

    A constraint agent (skill "split") lists what a solution must respect; `remark` adds it to the question for models that follow instructions. A
    selection agent pulls one of the `arms`, each an inner strategy with its options, by upper confidence bound; the verification agent (skill
    "verify") judges what it gave, and it ends once P(right) reaches `enough`, or after `rounds`. Every arm is pulled once first.

    The bound is the mean reward, plus `explore` sqrt(ln t / n), plus `diversity` times the share of its answers that were new, plus `recovery` for
    an arm whose last reward was above its mean, plus `prior` times 1 - P(the model knows this) for arms later in the list, which are to be the
    more thorough ones (skill "know", where the pool has it). The constants could not be read in the paper; these are chosen.
    """

    arms: Sequence[Mapping[str, Any]] = _ARMS
    rounds: int = 4
    enough: float = 0.9
    explore: float = 0.5
    diversity: float = 0.2
    recovery: float = 0.1
    prior: float = 0.2
    constraints: bool = True
    remark: bool = False
    constraint_tokens: int = 128
    verify_tokens: int = 256

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.arms or min(self.constraint_tokens, self.verify_tokens) < 1:
            raise ValueError("plangen: rounds, constraint_tokens and verify_tokens must be at least 1, and there must be arms")
        if any(set(arm) - {"strategy", "options"} or arm.get("strategy") == "plangen" for arm in self.arms):
            raise ValueError("plangen: an arm has a strategy other than this and its options")
        self._arms()

    @property
    def needs(self) -> frozenset[str]:
        """What the arms need, and to verify."""
        skills = {"skill:verify"} | ({"skill:split"} if self.constraints else set()) | ({"skill:know"} if self.prior else set())
        return frozenset(skills).union(*(arm.strategy.needs for arm in self._arms()))

    @property
    def spends(self) -> str:
        """Rounds of whatever is pulled."""
        return f"up to {self.rounds} of: {'; '.join(arm.strategy.spends for arm in self._arms())}; each verified"

    async def run(self, query: Query, tools: Tools) -> str:
        """Constraints, then pulls."""
        asked = await self._constrained(query, tools) if self.constraints else query
        hard = await self._hardness(query, tools)
        arms = self._arms()
        for pull in range(1, self.rounds + 1):
            arm = max(arms, key=lambda one: self._bound(one, arms, pull, hard))
            if await self._pull(asked, tools, arm) >= self.enough:
                return "verified"
        return "rounds"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best verified; before any was, the majority."""
        return choose(candidates, "best")

    def _arms(self) -> list[Arm]:
        return [Arm(strategies.build(str(arm["strategy"]), arm.get("options"))) for arm in self.arms]

    async def _constrained(self, query: Query, tools: Tools) -> Query:
        said = await twice(lambda: tools.sample(query, skill="split", temperature=0.0, max_tokens=self.constraint_tokens))
        tools.use(said)
        return remarked(query, f"Respect each of these:\n{said.text.strip()}") if self.remark else query

    async def _hardness(self, query: Query, tools: Tools) -> float:
        known = await twice(chosen, query, tools, "know", (), ("Yes", "No")) if self.prior else None
        return 0.0 if known is None else 1 - known

    def _bound(self, arm: Arm, arms: Sequence[Arm], pull: int, hard: float) -> float:
        """The modified upper confidence bound."""
        thorough = arms.index(arm) / max(1, len(arms) - 1)
        if not arm.rewards:
            return 1e6 + self.prior * hard * thorough - (1 - hard) * thorough
        return bound(arm.rewards, arm.fresh, pull, self) + self.prior * hard * thorough

    async def _pull(self, query: Query, tools: Tools, arm: Arm) -> float:
        """Run the arm, verify the answer it would give, and remember what that is worth."""
        before = len(tools.candidates)
        known = {one.answer for one in tools.candidates if votes(one)}
        await arm.strategy.run(query, tools)
        new = tools.candidates[before:]
        place = arm.strategy.choose(new)
        found = None if place is None else await twice(verdict, query, tools, new[place].text, max_tokens=self.verify_tokens)
        reward = found.probability if found else 0.0
        answers = [one.answer for one in new if votes(one)]
        arm.rewards.append(reward)
        arm.fresh.append(len(set(answers) - known) / max(1, len(set(answers))))
        for number, one in enumerate(new, before):  # a score of the arm's own verifier does not compare with others'
            if votes(one):
                tools.rate(number, reward if place is not None and one.answer == new[place].answer else 0.0)
        return reward


def bound(rewards: Sequence[float], fresh: Sequence[float], pull: int, weights: PlanGen) -> float:
    """Mean, exploration, diversity and recovery of an arm that was pulled."""
    mean = sum(rewards) / len(rewards)
    recovering = weights.recovery if rewards[-1] > mean else 0.0
    return mean + weights.explore * sqrt(log(pull) / len(rewards)) + weights.diversity * sum(fresh) / len(fresh) + recovering
