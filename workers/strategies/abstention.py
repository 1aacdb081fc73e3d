"""One solution, whose answer is given only if the model is sure of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.tracing import Trace, Tracing
from workers.parts.vote import choose, votes
from workers.strategies import strategies

Over = Literal["sum", "mean", "min"]


@strategies.register("abstention")
@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention(Tracing):
    """Selective answering (Jurayj et al. 2025, arXiv 2502.13962): the answer's own probability after thinking, and no answer where it is below `tau`.

    Thinking ends where the model opens its answer, or at `max_tokens`; then the answer is written greedily. Its confidence is exp of the `over` of
    its tokens' log-probabilities, the token that ends it left out; "sum" makes it the probability of the whole answer. Where a wrong answer costs
    as much as r right ones gain, the best `tau` is r / (1 + r) (`best_tau`), if the confidence is calibrated. The paper counts digits alone as the
    answer's tokens.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "logprobs"})
    tau: float = 0.5
    over: Over = "sum"

    def __post_init__(self) -> None:
        if not 0 <= self.tau <= 1 or self.over not in ("sum", "mean", "min") or min(self.max_tokens, self.answer_tokens) < 1:
            raise ValueError("abstention: tau must be within [0, 1], over sum, mean or min, counts at least 1")

    @property
    def spends(self) -> str:
        """Thinking, and the answer."""
        return f"1 sample of up to {self.max_tokens} tokens, and its answer of up to {self.answer_tokens}"

    async def run(self, query: Query, tools: Tools) -> str:
        """Think, answer, and say how sure the answer is."""
        thought = await self.write(query, tools, Trace(), self.max_tokens, stop=(tools.style.answer,))
        last = await self.answered(query, tools, thought)
        if last is None:
            return "length"
        sure = confidence(last.samples[-1].logprobs[:-1], self.over)
        tools.rate(tools.keep(query, last.samples, text=last.text), sure)
        return "done" if sure >= self.tau else "unsure"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The surest answer, none if even that is not sure enough."""
        sure = [place for place, one in enumerate(candidates) if votes(one) and (one.score or 0.0) >= self.tau]
        best = choose([candidates[place] for place in sure], "best")
        return None if best is None else sure[best]


def confidence(logprobs: Sequence[float], over: Over) -> float:
    """Of an answer, from its tokens' log-probabilities; 0 without any."""
    if not logprobs:
        return 0.0
    return exp({"sum": fsum(logprobs), "mean": fsum(logprobs) / len(logprobs), "min": min(logprobs)}[over])


def best_tau(penalty: float) -> float:
    """The confidence from which answering pays, where a right answer gains 1, a wrong one costs `penalty` and none is 0."""
    return penalty / (1 + penalty)


def utility(confidences: Sequence[float], rights: Sequence[bool], tau: float, penalty: float) -> float:
    """Mean over questions: 1 for a right answer, minus the penalty for a wrong one, 0 where the confidence is below tau."""
    given = np.asarray(confidences, np.float64) >= tau
    return float(np.mean(np.where(given, np.where(np.asarray(rights, bool), 1.0, -penalty), 0.0)))


def risk_coverage(confidences: Sequence[float], rights: Sequence[bool]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coverage, and the share of wrong answers among those given, at each threshold that changes anything: from the surest answers alone to all."""
    order = np.argsort(-np.asarray(confidences, np.float64), kind="stable")
    sorted_confidences = np.asarray(confidences, np.float64)[order]
    answered = np.arange(1, len(order) + 1)
    wrong = np.cumsum(~np.asarray(rights, bool)[order])
    last = np.append(sorted_confidences[1:] != sorted_confidences[:-1], True) if len(order) else np.zeros(0, bool)
    return (answered / max(1, len(order)))[last], (wrong / answered)[last]
