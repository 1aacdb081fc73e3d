"""A plan of sub-questions first, and a share of the tokens for each of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, floor, fsum, pi
from typing import ClassVar, Literal

from router.ports import Tools
from router.types import Candidate, Finish, Query
from workers.parts.sampling import remarked
from workers.parts.steps import twice
from workers.parts.tracing import Trace, Tracing
from workers.parts.vote import choose
from workers.strategies import strategies

Schedule = Literal["constant", "linear", "polynomial", "exponential", "cosine"]
_PART = re.compile(r"^[ \t]*([1-9])[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_DECAY: Mapping[Schedule, Callable[[int, int], float]] = {
    "constant": lambda place, count: 1.0,
    "linear": lambda place, count: float(count - place),
    "polynomial": lambda place, count: float((count - place) ** 2),
    "exponential": lambda place, count: 0.9**place,
    "cosine": lambda place, count: 0.5 * (1 + cos(pi * place / max(1, count - 1))) + 0.1,
}


@strategies.register("plan_and_budget")
@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAndBudget(Tracing):
    """Plan-and-Budget (Lin et al. 2025, arXiv 2505.16122): the query is split into sub-questions, which share `max_tokens` by difficulty and order.

    The skill `split` gives the sub-questions, each after its credit, a digit from 1 to 9. Sub-question i gets tokens in proportion to its credit
    times the `schedule`'s weight for place i. As in the paper the model is told so in words, after the user's last message (`words`; off for pools
    that know no instructions, as the bundled reasoners). Beyond the paper, `enforce` makes it so: the i-th step ends at its budget, what the plan
    leaves over is for what comes after it, and at `max_tokens` the answer is asked for. Without a plan that can be read it is one sample.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "skill:split"})
    max_tokens: int = 350
    schedule: Schedule = "polynomial"
    plan_tokens: int = 128
    words: bool = True
    enforce: bool = True

    def __post_init__(self) -> None:
        if self.schedule not in _DECAY or min(self.max_tokens, self.plan_tokens, self.answer_tokens) < 1:
            raise ValueError(f"plan_and_budget: schedule must be one of {', '.join(_DECAY)}, counts at least 1")

    @property
    def spends(self) -> str:
        """The plan and the solution."""
        return f"1 plan of up to {self.plan_tokens} tokens, 1 sample of up to {self.max_tokens} tokens, {self.answer_tokens} for its answer"

    async def run(self, query: Query, tools: Tools) -> str:
        """Plan, share out, and write."""
        parts = await self._plan(query, tools)
        shares = allocated([credit for credit, _ in parts], self.max_tokens, self.schedule)
        told = remarked(query, wording([part for _, part in parts], shares)) if self.words else query
        trace = await self._stepped(told, tools, shares) if self.enforce else Trace()
        if not trace.ended and (room := self.room(trace)):
            trace = await self.write(told, tools, trace, room)
        await self.close(told, tools, trace)
        return "done" if trace.ended else "length"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer."""
        return choose(candidates, "majority")

    async def _plan(self, query: Query, tools: Tools) -> list[tuple[int, str]]:
        """Credits and sub-questions; a line that was cut off is none."""
        sample = await twice(lambda: self.draw(query, tools, skill="split", max_tokens=self.plan_tokens))
        text = sample.text if sample.finish.whole else sample.text[: sample.text.rfind("\n") + 1]
        parts = [(int(found[1]), found[2]) for found in _PART.finditer(text)]
        if parts:
            tools.use(sample)
        return parts

    async def _stepped(self, query: Query, tools: Tools, shares: Sequence[int]) -> Trace:
        """A step for each share, cut where it uses that up; none once the answer is open."""
        trace = Trace()
        for share in shares:
            if trace.ended or trace.full or trace.answering(tools.style):
                break
            if trace.finish is Finish.LENGTH:
                trace = trace.inserted("", tools.style)
            if share:
                trace = await self.write(query, tools, trace, share, stop=(tools.style.step,))
        return trace


def allocated(credits: Sequence[float], total: int, schedule: Schedule) -> list[int]:
    """Tokens for each sub-question, which add up to the total: shares rounded down, one more each for the largest weights."""
    weights = [credit * _DECAY[schedule](place, len(credits)) for place, credit in enumerate(credits)]
    whole = fsum(weights)
    if not whole:
        return [0] * len(weights)
    shares = [floor(total * weight / whole + 1e-9) for weight in weights]
    for place in sorted(range(len(weights)), key=lambda place: -weights[place])[: total - sum(shares)]:
        shares[place] += 1
    return shares


def wording(parts: Sequence[str], shares: Sequence[int]) -> str:
    """The plan as the model is told of it; nothing without one."""
    rows = [f"{number}. {part} (about {share} tokens)" for number, (part, share) in enumerate(zip(parts, shares, strict=True), 1)]
    return "\n".join(["Answer these sub-questions one after the other, each within its number of tokens, then the question:", *rows] if rows else [])
