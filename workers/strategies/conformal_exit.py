"""One solution, ended early where a calibrated score says that its answer is safe."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, fsum, inf
from typing import Literal

from router.ports import Tools
from router.types import Candidate, Finish, Query
from workers.parts.judging import chosen
from workers.parts.tracing import Trace, Tracing
from workers.parts.vote import choose
from workers.strategies import strategies

Score = Literal["verifier", "restart", "logprob"]


@strategies.register("conformal_exit")
@dataclass(frozen=True, slots=True, kw_only=True)
class ConformalExit(Tracing):
    """Conformal early exit (LYNX, arXiv 2512.05325) over any score of the solution so far: the verifier's, P(restarting would not help), or the
    geometric mean probability of its tokens.

    After each step the score p is read as P(the answer would be right, if it were given now). `right` and `wrong` are scores of exits that turned
    out right and wrong; split conformal prediction with quantiles of each class by itself keeps the true class in the prediction set with
    probability 1 - `delta`, and the trace is ended where that set is {right} alone.

    LYNX reads hidden states through a trained probe, at words like "Wait"; here any scalar is calibrated the same way, at the ends of steps. Its
    code takes the largest score where a class has too few to have the quantile; that breaks the guarantee (nine scores and a delta of 0.03 keep
    90 %), so here the quantile is then infinite: too few wrong exits, or none at all, and it never exits early, so that nothing is scored either.
    """

    answer_tokens: int = 64
    score: Score = "verifier"
    delta: float = 0.1
    right: Sequence[float] = ()
    wrong: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1 or self.score not in ("verifier", "restart", "logprob") or min(self.max_tokens, self.answer_tokens) < 1:
            raise ValueError("conformal_exit: delta must be within (0, 1), score verifier, restart or logprob, counts at least 1")
        if not all(0 <= value <= 1 for value in (*self.right, *self.wrong)):
            raise ValueError("conformal_exit: right and wrong must be scores within [0, 1]")

    @property
    def needs(self) -> frozenset[str]:
        """What the score takes."""
        scores = {"verifier": {"score", "steps"}, "restart": {"skill:restart"}, "logprob": {"logprobs"}}
        return frozenset({"prefix", "stop"} | scores[self.score])

    @property
    def spends(self) -> str:
        """The trace, scored as it grows."""
        return f"1 sample of up to {self.max_tokens} tokens, scored after each step, up to {self.answer_tokens} for its answer"

    async def run(self, query: Query, tools: Tools) -> str:
        """Write step by step until it is safe to stop."""
        least, above = bounds(self.right, self.wrong, self.delta)
        stop = () if above == inf else (tools.style.step,)
        trace = Trace()
        while (room := self.room(trace)) and not trace.ended:
            trace = await self.write(query, tools, trace, room, stop=stop)
            if trace.finish is Finish.STOP and not trace.answering(tools.style):
                score = await self._score(query, tools, trace)
                if score is not None and score >= least and score > above:
                    await self.close(query, tools, trace)
                    return "safe"
        await self.close(query, tools, trace)
        return "done" if trace.ended else "length"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer."""
        return choose(candidates, "majority")

    async def _score(self, query: Query, tools: Tools, trace: Trace) -> float | None:
        match self.score:
            case "verifier":
                return (await tools.score(query, [trace.text]))[0]
            case "restart":
                return await chosen(query, tools, "restart", (trace.text,), ("No", "Yes"))
            case "logprob":
                logprobs = [value for sample in trace.samples for value in sample.logprobs]
                return exp(fsum(logprobs) / len(logprobs)) if logprobs else None


def quantile(scores: Sequence[float], delta: float) -> float:
    """The conformal quantile: the ceil((n + 1)(1 - delta))-th smallest of n nonconformity scores, infinite where n is too small to have it."""
    place = ceil((len(scores) + 1) * (1 - delta) - 1e-9)
    return sorted(scores)[place - 1] if place <= len(scores) else inf


def bounds(right: Sequence[float], wrong: Sequence[float], delta: float) -> tuple[float, float]:
    """The score that a right exit has at least, and that which a wrong one does not pass, each with probability 1 - delta.

    The nonconformity of a label is 1 minus its probability, which is 1 - p for right and p for wrong. So the prediction set has `right` in it
    from the first bound on, and `wrong` up to the second.
    """
    return 1 - quantile([1 - value for value in right], delta), quantile(wrong, delta)
