"""One solution whose thinking is held between a floor and a ceiling of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.tracing import Trace, Tracing
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("budget_forcing")
@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetForcing(Tracing):
    """Budget forcing (s1, Muennighoff et al. 2025, arXiv 2501.19393, section 3.1): thinking is what stands before the opened answer.

    At `max_tokens` of thinking the answer is opened, and the model has to give it. When the model opens it, or ends without one, with fewer than
    `least` tokens thought (null: whenever, as in the paper), the opened answer is taken back and the word for thinking again put in its place, at
    most `ignores` times and not when no token is left. Counted as thought is what the model wrote, the openings that were taken back and an answer
    that the ceiling cut included; words that were put in are not. Once nothing will be ignored, the model may write on into its answer in the same
    sample, so that with `ignores` 0 and enough tokens this is one plain sample.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop"})
    least: int | None = None
    ignores: int = 1

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.answer_tokens) < 1 or min(self.ignores, self.least or 0) < 0:
            raise ValueError("budget_forcing: max_tokens and answer_tokens must be at least 1, ignores and least at least 0")

    @property
    def spends(self) -> str:
        """Thinking in pieces, and the answer."""
        return f"1 sample of up to {self.max_tokens} tokens in up to {self.ignores + 1} pieces, {self.answer_tokens} more for the answer"

    async def run(self, query: Query, tools: Tools) -> str:
        """Think, again if that was too little, and answer."""
        trace = await self.write(query, tools, Trace(), self.max_tokens, stop=self._stop(tools, 0))
        ignored = 0
        while ignored < self.ignores and self._early(trace):
            ignored += 1
            again = trace.unanswered(tools.style).inserted(tools.style.again, tools.style)
            trace = await self.write(query, tools, again, self.room(trace), stop=self._stop(tools, ignored))
        await self.close(query, tools, trace)
        return "done" if trace.finish and trace.finish.whole else "length"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The answer."""
        return choose(candidates, "majority")

    def _stop(self, tools: Tools, ignored: int) -> tuple[str, ...]:
        return (tools.style.answer,) if ignored < self.ignores else ()

    def _early(self, trace: Trace) -> bool:
        """Whether the model has finished thinking before it may."""
        finished = trace.finish is not None and trace.finish.whole
        return finished and self.room(trace) > 0 and (self.least is None or trace.tokens < self.least)
