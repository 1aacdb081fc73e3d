"""Solutions that are made to think again at ever longer intervals, and their majority."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import missing
from workers.parts.tracing import Trace, Tracing
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("iterative_deepening")
@dataclass(frozen=True, slots=True, kw_only=True)
class IterativeDeepening(Tracing):
    """Iterative deepening sampling (Chen, Koenig and Dilkina 2025, arXiv 2502.05449): a trigger for self-correction at `first` * `gamma`^i tokens.

    That is O(log(`max_tokens` / `first`) / log `gamma`) triggers, each the style's word for thinking again, or `trigger`. Each of `n` solutions ends
    where the model ends it, so one that is shorter than `first` is a plain sample; an answer that is being written is not broken into. At
    `max_tokens` the answer is asked for. Solutions of earlier stages count, and the majority is given (in the paper best-of-n does as well).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop"})
    temperature: float = 0.8
    n: int = 4
    first: int = 32
    gamma: float = 2.0
    trigger: str = ""

    def __post_init__(self) -> None:
        if min(self.n, self.first, self.max_tokens, self.answer_tokens) < 1 or not self.gamma > 1:
            raise ValueError("iterative_deepening: counts must be at least 1, gamma above 1")

    @property
    def spends(self) -> str:
        """Pieces of each."""
        pieces = len(marks(self.first, self.gamma, self.max_tokens))
        return f"{self.n} samples of up to {self.max_tokens} tokens in up to {pieces} pieces, {self.answer_tokens} more for the answer"

    async def run(self, query: Query, tools: Tools) -> str:
        """Write all of them on to each mark in turn: rounds, so that what is drawn does not depend on which is quicker."""
        traces = [Trace()] * missing(tools, self.n)
        for mark in marks(self.first, self.gamma, self.max_tokens):
            traces = await tools.together(self._deepened(query, tools, trace, mark) for trace in traces)
        await tools.together(self.close(query, tools, trace) for trace in traces if not trace.ended)
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's."""
        return choose(candidates, "majority")

    async def _deepened(self, query: Query, tools: Tools, trace: Trace, mark: int) -> Trace:
        """The trace up to the mark, with a trigger before what comes now unless it is the beginning or the answer; kept once it has ended."""
        if trace.ended or trace.full:
            return trace
        if trace.text and not trace.answering(tools.style):
            trace = trace.inserted(self.trigger or tools.style.again, tools.style)
        trace = await self.write(query, tools, trace, mark - trace.tokens)
        if trace.ended:
            tools.keep(query, trace.samples, text=trace.text)
        return trace


def marks(first: int, gamma: float, most: int) -> list[int]:
    """Tokens written at each trigger, first * gamma^i rounded down, and `most` as the end."""
    found, mark = list[int](), float(first)
    while mark < most:
        if not found or int(mark) > found[-1]:
            found.append(int(mark))
        mark *= gamma
    return [*found, most]
