"""A sample as its pieces arrive from an engine."""

from collections.abc import Sequence

from router.ports import Spent
from router.types import Call, Finish, Sample


class Reply:
    """What was written so far for one call, and why it ended: None while it goes on."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.text = ""
        self.logprobs: list[float] = []
        self.tops: list[tuple[float, ...]] = []
        self.finish: Finish | None = None
        self.over = False  # whether nothing more is wanted

    def add(self, text: str, logprobs: Sequence[float], tops: Sequence[Sequence[float]]) -> None:
        """One more piece. Of the likeliest tokens as many are kept as were asked for: servers add the drawn one to them."""
        self.text += text
        self.logprobs += logprobs
        most = self.call.top_logprobs
        if most:
            self.tops += [tuple(sorted(row, reverse=True)[:most]) for row in tops]
        if self.call.halt is not None and self.call.halt.met(self.tops):
            self.cut(Finish.HALTED)

    def cut(self, finish: Finish) -> None:
        """Nothing more is wanted."""
        self.finish, self.over = finish, True

    def end(self, reason: str) -> None:
        """The engine's own reason. `stop` is said both of a stop string and of the model's own end; only `length` is unmistakable."""
        if self.finish is not None:
            return
        stopped = self.call.stop and self.text.endswith(self.call.stop)
        self.finish = Finish.LENGTH if reason == "length" else Finish.STOP if stopped else Finish.END

    def sample(self, spent: Spent, seconds: float) -> Sample:
        """The sample, once it has ended."""
        assert self.finish is not None
        return Sample(
            text=self.text,
            prompt_tokens=spent.prompt,
            completion_tokens=spent.completion,
            finish=self.finish,
            logprobs=tuple(self.logprobs),
            seconds=seconds,
            top_logprobs=tuple(self.tops),
        )
