"""One solution, ended as soon as the answer it would give has settled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import atan2, cos, exp, fsum, pi, sin, sqrt
from typing import Literal

from router.ports import Tools
from router.types import Candidate, Finish, Query, Sample, Style
from workers.parts.tracing import Trace, Tracing, superseded
from workers.parts.vote import choose
from workers.strategies import strategies

At = Literal["steps", "tokens", "markers"]
Rule = Literal["runs", "jump", "confidence"]


@strategies.register("answer_convergence")
@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerConvergence(Tracing):
    """Early stopping on answer convergence (Liu and Wang 2025, arXiv 2506.02536): the trace is probed for the answer that it would give now.

    A probe goes on, greedily, from a copy of the trace with the answer opened; the trace itself never sees it. `at` says when: after each step,
    every `chunk` tokens (Dynasor), or where the model writes its word for thinking again (then from before that word). `rule` says when to stop:

    - "runs": the last `agree` probes gave the same answer.
    - "jump": the run of equal answers is longer than the run before it by `least_jump`, and by significantly more (one-sided t-test at `alpha`;
      null: no test) than runs were before (ES-CoT, Mao et al. 2025, arXiv 2509.14004; its second version probes at markers). The test asks
      whether the new jump is one more draw from the earlier jumps' distribution; that the paper means this form of it is our reading. With fewer
      than two earlier jumps there is no test, and no stop.
    - "confidence": the probe's tokens, its end included, have a geometric mean probability above `confident` (DEER, Yang et al.
      2025, arXiv 2504.15895).

    A probe that cannot be read ends a run and is none. The last answer that was read stands until a later one, or the whole trace, takes its place,
    so a run that is cut short has an answer. The papers write the answer anew after stopping; here the probe that settled it is the answer.
    """

    at: At = "steps"
    chunk: int = 64
    rule: Rule = "runs"
    agree: int = 3
    least_jump: int = 10
    alpha: float | None = 0.05
    confident: float = 0.95

    def __post_init__(self) -> None:
        if self.at not in ("steps", "tokens", "markers") or self.rule not in ("runs", "jump", "confidence"):
            raise ValueError("answer_convergence: at is steps, tokens or markers; rule is runs, jump or confidence")
        if min(self.chunk, self.agree, self.least_jump, self.max_tokens, self.answer_tokens) < 1 or not 0 <= self.confident <= 1:
            raise ValueError("answer_convergence: counts must be at least 1, confident within [0, 1]")
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise ValueError("answer_convergence: alpha must be within (0, 1), or null for no test")

    @property
    def needs(self) -> frozenset[str]:
        """Log-probabilities, for confidence."""
        return frozenset({"prefix", "stop"} | ({"logprobs"} if self.rule == "confidence" else set()))

    @property
    def spends(self) -> str:
        """The trace, read again for each probe."""
        places = {"steps": "step", "tokens": f"{self.chunk} tokens", "markers": "second thought"}
        return f"1 sample of up to {self.max_tokens} tokens, a probe of up to {self.answer_tokens} after each {places[self.at]}"

    async def run(self, query: Query, tools: Tools) -> str:
        """Write and probe until the answer has settled, or the trace has ended."""
        trace, answers, standing = Trace(), list[str | None](), None
        while (room := self.room(trace)) and not trace.ended:
            tokens = min(self.chunk, room) if self.at == "tokens" else room
            trace = await self.write(query, tools, trace, tokens, stop=self._stop(tools.style))
            if not self._probed(trace) or trace.answering(tools.style):
                continue
            probe = await self.answered(query, tools, self._seen(trace, tools.style))
            if probe is None:
                break
            answers.append(tools.read(query, probe.samples[-1], text=probe.text))
            if answers[-1] is not None:
                tools.use(probe.samples[-1])
                standing = superseded(tools, standing, tools.keep(query, probe.samples, text=probe.text))
                if self.settled(answers, probe.samples[-1]):
                    return "converged"
        superseded(tools, standing, await self.close(query, tools, trace))
        return "done" if trace.ended else "length"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer that stands."""
        return choose(candidates, "majority")

    def settled(self, answers: Sequence[str | None], probe: Sample) -> bool:
        """Whether the rule is met by the answers probed so far, of which the last could be read."""
        match self.rule:
            case "runs":
                return run_lengths(answers)[-1] >= self.agree
            case "jump":
                return jumped(run_lengths(answers), self.least_jump, self.alpha)
            case "confidence":
                return bool(probe.logprobs) and exp(fsum(probe.logprobs) / len(probe.logprobs)) > self.confident

    def _stop(self, style: Style) -> tuple[str, ...]:
        return {"steps": (style.step,), "tokens": (), "markers": (style.again,)}[self.at]

    def _probed(self, trace: Trace) -> bool:
        """Whether this is a place to probe at."""
        return not trace.full and trace.finish is (Finish.LENGTH if self.at == "tokens" else Finish.STOP)

    def _seen(self, trace: Trace, style: Style) -> Trace:
        """What a probe sees: all, but for a second thought that is just beginning."""
        return replace(trace, text=trace.text.rpartition(style.again)[0]) if self.at == "markers" else trace


def run_lengths(answers: Sequence[str | None]) -> list[int]:
    """Lengths of the runs of equal answers; what could not be read parts runs and is none."""
    return [len(list(run)) for answer, run in groupby(answers) if answer is not None]


def jumped(lengths: Sequence[int], least: int, alpha: float | None) -> bool:
    """ES-CoT's run-jump test: whether the last run is longer than the one before it by at least `least`, and significantly so."""
    jumps = [after - before for before, after in pairwise(lengths)]
    if not jumps or jumps[-1] < least:
        return False
    return alpha is None or (len(jumps) > 2 and p_value(jumps[-1], jumps[:-1]) < alpha)


def p_value(latest: float, earlier: Sequence[float]) -> float:
    """P(a value at least as high as the latest | it is drawn like the earlier ones, normally): one-sided t-test of one against at least two."""
    count, mean = len(earlier), fsum(earlier) / len(earlier)
    spread = sqrt(fsum((value - mean) ** 2 for value in earlier) / (count - 1) * (1 + 1 / count))
    return t_tail(latest - mean, spread, count - 1)


def t_tail(distance: float, spread: float, freedom: int) -> float:
    """P(T >= distance / spread) of Student's t, exactly: the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3-4)."""
    angle = atan2(abs(distance), spread * sqrt(freedom)) if distance else 0.0
    odd, term, total = freedom % 2, 1.0, 0.0
    for power in range(odd, freedom - 1, 2):
        total += term * cos(angle) ** power
        term *= (power + 1) / (power + 2)
    within = (angle + sin(angle) * total) * 2 / pi if odd else sin(angle) * total
    return (1 - within) / 2 if distance > 0 else (1 + within) / 2
