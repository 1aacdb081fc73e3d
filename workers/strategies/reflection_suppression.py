"""One solution that is kept from second thoughts, the more so the surer the model is of its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Finish, Query
from workers.parts.tracing import Trace, Tracing, superseded
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("reflection_suppression")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionSuppression(Tracing):
    """Certainty-guided reflection suppression (CGRS, Huang et al. 2025, arXiv 2508.05337): no second thoughts while the model is sure.

    After each step the answer that the trace would give now is probed, apart from it. With C = 1 - (mean entropy of the probe's tokens) / log
    (`vocabulary`), the model's number of tokens, the words in `triggers` and the style's own, which begin second
    thoughts, are shut out with probability max(0, (C - `delta`) / (1 - `delta`)).

    Deviations: the authors draw for every next token inside the engine; through an interface this is one draw per step, for all of the step. A
    token's entropy is that of its `top` likeliest alternatives with all others together as one more, which is a lower bound. The last probe that
    could be read stands as the answer until the trace has its own.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "suppress", "top_logprobs"})
    delta: float = 0.9
    triggers: Sequence[str] = ("Wait", "But", "Alternatively", "Alternative", "Hmm")
    vocabulary: int = 785  # the bundled reasoners'
    top: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.delta < 1 or self.vocabulary < 2 or min(self.top, self.max_tokens, self.answer_tokens) < 1:
            raise ValueError("reflection_suppression: delta must be within [0, 1), vocabulary at least 2, counts at least 1")

    @property
    def spends(self) -> str:
        """The trace, read again for each probe."""
        return f"1 sample of up to {self.max_tokens} tokens, a probe of up to {self.answer_tokens} after each step"

    async def run(self, query: Query, tools: Tools) -> str:
        """Write step by step, each with or without second thoughts."""
        trace, standing, chance = Trace(), None, 0.0
        while (room := self.room(trace)) and not trace.ended:
            words = (*self.triggers, tools.style.again) if tools.rng.random() < chance else ()
            trace = await self.write(query, tools, trace, room, stop=(tools.style.step,), suppress=words)
            if trace.finish is not Finish.STOP or trace.answering(tools.style):
                continue
            probe = await self.answered(query, tools, trace, top_logprobs=self.top)
            if probe is None:
                break
            tools.use(probe.samples[-1])
            chance = suppression(certainty(probe.samples[-1].top_logprobs, self.vocabulary), self.delta)
            if tools.read(query, probe.samples[-1], text=probe.text) is not None:
                standing = superseded(tools, standing, tools.keep(query, probe.samples, text=probe.text))
        superseded(tools, standing, await self.close(query, tools, trace))
        return "done" if trace.ended else "length"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer that stands."""
        return choose(candidates, "majority")


def entropy(logprobs: Sequence[float]) -> float:
    """Nats, of the likeliest alternatives and of all others as one."""
    likely = [exp(value) for value in logprobs]
    others = max(0.0, 1 - fsum(likely))
    return -fsum(share * log(share) for share in (*likely, others) if share > 0)


def certainty(top_logprobs: Sequence[Sequence[float]], vocabulary: int) -> float:
    """C: 1 where every token was sure, 0 where all tokens of the vocabulary were as likely; 0 without any token."""
    if not top_logprobs:
        return 0.0
    return max(0.0, 1 - fsum(map(entropy, top_logprobs)) / len(top_logprobs) / log(vocabulary))


def suppression(sure: float, delta: float) -> float:
    """The probability with which second thoughts are shut out."""
    return max(0.0, (sure - delta) / (1 - delta))
