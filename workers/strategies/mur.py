"""One solution step by step, with more tries for the steps the model is less sure of than it has been."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum
from typing import Literal

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import TOP, mark
from workers.parts.tracing import Trace, Tracing
from workers.parts.vote import choose
from workers.strategies import strategies

Critic = Literal["verifier", "score", "logprob"]


@strategies.register("mur")
@dataclass(frozen=True, slots=True, kw_only=True)
class Mur(Tracing):
    """Momentum uncertainty guided reasoning (MUR, Yan et al. 2025, arXiv 2507.14958): test-time scaling for the uncertain steps alone.

    With l the mean log-probability of a step and m <- `momentum` * m + (1 - `momentum`) * l its momentum, beginning at 0, a step other than the
    first is tried `tries` times if exp(l) < `gamma` * exp(m) before it; the `critic` chooses: the verifier, the model's own mark of the solution so
    far ("score"), or the step's log-probability. The chosen step enters the momentum. As in the authors' code, whose defaults
    these are, m is not corrected for its beginning at 0, so early steps are measured against a certainty that is too high. Their code draws all tries
    anew; here the step that was there already is one of them.
    """

    temperature: float = 0.6
    step_tokens: int = 64
    max_steps: int = 20
    momentum: float = 0.9
    gamma: float = 0.8
    tries: int = 4
    critic: Critic = "verifier"

    def __post_init__(self) -> None:
        if min(self.step_tokens, self.max_steps, self.tries, self.max_tokens, self.answer_tokens) < 1 or self.gamma < 0:
            raise ValueError("mur: counts must be at least 1, gamma at least 0")
        if not 0 <= self.momentum <= 1 or self.critic not in ("verifier", "score", "logprob"):
            raise ValueError("mur: momentum must be within [0, 1], critic verifier, score or logprob")

    @property
    def needs(self) -> frozenset[str]:
        """What the critic takes."""
        critics = {"verifier": {"score", "steps"}, "score": {"skill:score"}, "logprob": set[str]()}
        return frozenset({"prefix", "stop", "logprobs"} | critics[self.critic])

    @property
    def spends(self) -> str:
        """Steps, and tries."""
        return f"up to {self.max_steps} steps, each up to {self.tries} times and judged where the model is less sure than before"

    async def run(self, query: Query, tools: Tools) -> str:
        """Go step by step until the end."""
        trace, momentum = Trace(), 0.0
        for place in range(self.max_steps):
            longer = await self._step(query, tools, trace)
            if place and uncertain(certainty(longer), momentum, self.gamma):
                longer = await self._best(query, tools, trace, longer)
            momentum = self.momentum * momentum + (1 - self.momentum) * certainty(longer)
            trace = longer
            if trace.ended or not self.room(trace):
                break
        await self.close(query, tools, trace)
        return "done" if trace.ended else "length" if not self.room(trace) else "steps"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer."""
        return choose(candidates, "majority")

    async def _step(self, query: Query, tools: Tools, trace: Trace) -> Trace:
        return await self.write(query, tools, trace, min(self.step_tokens, self.room(trace)), stop=(tools.style.step,))

    async def _best(self, query: Query, tools: Tools, trace: Trace, first: Trace) -> Trace:
        """The best of this step and its other tries; equal ones are judged once."""
        others = await tools.together(self._step(query, tools, trace) for _ in range(self.tries - 1))
        different = {one.text: one for one in (*others, first)}
        values = await self._values(query, tools, different)
        return max(different.values(), key=lambda one: (values.get(one.text, -1.0), certainty(one), one.text))

    async def _values(self, query: Query, tools: Tools, traces: dict[str, Trace]) -> dict[str, float]:
        """What the critic thinks of each text; what it does not say is missing."""
        if self.critic == "verifier":
            return dict(zip(traces, await tools.score(query, tuple(traces)), strict=True))
        if self.critic == "logprob":
            return {text: exp(certainty(one)) for text, one in traces.items()}

        async def marked(text: str) -> tuple[str, int | None]:
            return text, await mark(query, tools, text)

        return {text: given / TOP for text, given in await tools.together(map(marked, traces)) if given is not None}


def certainty(trace: Trace) -> float:
    """Mean log-probability of the last step's tokens."""
    logprobs = trace.samples[-1].logprobs if trace.samples else ()
    return fsum(logprobs) / len(logprobs) if logprobs else 0.0


def uncertain(logprob: float, momentum: float, gamma: float) -> bool:
    """Whether a step is to be tried again: it is less likely than the momentum, scaled by gamma."""
    return exp(logprob) < gamma * exp(momentum)
