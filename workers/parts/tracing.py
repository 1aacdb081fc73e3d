"""One trace: a solution that is written piece by piece, with room between the pieces to look at it, to put words in, or to end it."""

from dataclasses import dataclass, replace
from typing import Any

from router.errors import InvalidQuery
from router.ports import Tools
from router.types import Finish, Query, Sample, Style
from workers.parts.sampling import Sampling
from workers.parts.steps import twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was written so far, words that were put in included, and the samples that wrote it.

    `finish` is why the last piece ended, None where words were put in after it. `full` says that it cannot go on: the model's context, or the
    budget, has no room for what was asked.
    """

    text: str = ""
    samples: tuple[Sample, ...] = ()
    finish: Finish | None = None
    full: bool = False

    @property
    def tokens(self) -> int:
        """Tokens written; words that were put in are read, not written."""
        return sum(sample.completion_tokens for sample in self.samples)

    @property
    def ended(self) -> bool:
        """Whether the model came to its own end."""
        return self.finish is Finish.END

    def plus(self, sample: Sample) -> "Trace":
        """With one more piece."""
        return replace(self, text=self.text + sample.text, samples=(*self.samples, sample), finish=sample.finish)

    def inserted(self, words: str, style: Style) -> "Trace":
        """With words put in, after the end of a step."""
        between = "" if not self.text or self.text.endswith(style.step) else style.step
        return replace(self, text=f"{self.text}{between}{words}", finish=None)

    def answering(self, style: Style) -> bool:
        """Whether the answer is open, or just being opened."""
        return style.answer in self.text or self._opening(style) > 0

    def answer_opened(self, style: Style) -> "Trace":
        """With the answer open."""
        if style.answer in self.text:
            return self
        return replace(self, text=self.text[: len(self.text) - self._opening(style)]).inserted(style.answer, style)

    def unanswered(self, style: Style) -> "Trace":
        """Without the answer: what was thought before it."""
        return replace(self, text=self.text.partition(style.answer)[0])

    def _opening(self, style: Style) -> int:
        """Length of the part of what opens the answer that the last step has, if it has nothing else: a piece may end anywhere."""
        last = self.text.rpartition(style.step)[2]
        return len(last) if style.answer.startswith(last) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing(Sampling):
    """How one trace is written: `max_tokens` at most before its answer, and `answer_tokens` for an answer that it is made to give.

    It is greedy unless a temperature is given; the answer that it is made to give always is. A piece that the backend fails to write is asked for
    once more, for a lone trace has nothing else to go on with.
    """

    temperature: float = 0.0
    answer_tokens: int = 32

    def room(self, trace: Trace) -> int:
        """Tokens that may still be written before the answer."""
        return 0 if trace.full else max(0, self.max_tokens - trace.tokens)

    async def write(self, query: Query, tools: Tools, trace: Trace, tokens: int, **more: Any) -> Trace:  # noqa: ANN401 - arguments of Tools.sample
        """The trace with one more piece, of so many tokens at most."""
        try:
            sample = await twice(lambda: self.draw(query, tools, prefix=trace.text, max_tokens=tokens, **more))
        except InvalidQuery:
            if not trace.text:
                raise
            return replace(trace, full=True)
        return replace(trace.plus(sample), full=sample.finish is Finish.LENGTH and sample.completion_tokens < tokens)

    async def answered(self, query: Query, tools: Tools, trace: Trace, **more: Any) -> Trace | None:  # noqa: ANN401 - arguments of Tools.sample
        """The trace with its answer written now, and nothing after it; None where the context has no room. The trace itself stays as it is."""
        opened = trace.answer_opened(tools.style)
        asked = {"prefix": opened.text, "temperature": 0.0, "max_tokens": self.answer_tokens, "stop": (tools.style.step,), **more}
        try:
            return opened.plus(await twice(lambda: self.draw(query, tools, **asked)))
        except InvalidQuery:
            return None

    async def close(self, query: Query, tools: Tools, trace: Trace) -> int | None:
        """Keep the trace, with its answer written now unless it came to its own end; its place, None where there was no room for an answer."""
        last = trace if trace.ended else await self.answered(query, tools, trace)
        return None if last is None else tools.keep(query, last.samples, text=last.text)


def superseded(tools: Tools, standing: int | None, newer: int | None) -> int | None:
    """Let a newer attempt, if it can be read, take the vote of the one that stood so far; the place of the one that stands now."""
    if newer is None or tools.candidates[newer].answer is None:
        return standing
    if standing is not None:
        tools.discard(standing)
    return newer
