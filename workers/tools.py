"""The tools a strategy works with: they turn what it wants into orders, and remember its attempts. Nothing here waits, or knows a clock."""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from math import fsum
from typing import Any, TypeVar

import numpy as np

from router.types import Budget, Call, Candidate, Fate, Finish, Halt, Price, Query, Run, Sample, Style, Vector
from workers.answers import read
from workers.machine import Crowd, Machine, together
from workers.orders import HiddenOrder, LeftOrder, RunOrder, SampleOrder, ScoreOrder

T = TypeVar("T")


class StrategyTools:
    """`Tools` for one execution on one machine. `earlier` are the candidates that earlier stages drew from the same pool.

    `prices` are per pool, the plan's own under "".
    """

    def __init__(
        self, machine: Machine, rng: np.random.Generator, *, style: Style, prices: Mapping[str, Price], earlier: Sequence[Candidate] = ()
    ) -> None:
        self.rng = rng
        self.style = style
        self.earlier = len(earlier)
        self._machine = machine
        self._prices = prices
        self._candidates = list(earlier)
        self._written: list[Sequence[Sample]] = [()] * len(earlier)  # of each candidate
        self._used: list[Sample] = []
        self._price_of: dict[int, Price] = {}  # by the sample's identity, for samples that a candidate or `_used` keeps alive
        self._scores: dict[str, float] = {}
        self._lost: list[Candidate] = []

    @property
    def candidates(self) -> Sequence[Candidate]:
        """See `Tools.candidates`."""
        return self._candidates

    @property
    def new(self) -> tuple[Candidate, ...]:
        """The candidates of this execution alone, and then the samples that were cut short."""
        return (*self._candidates[self.earlier :], *self._lost)

    @property
    def kept_tokens(self) -> int:
        """Tokens written in samples that served a purpose, each counted once however many candidates share it."""
        attempts = zip(self._candidates, self._written, strict=True)
        kept = [sample for one, samples in attempts if one.fate is Fate.KEPT for sample in samples]
        return sum(sample.completion_tokens for sample in {id(sample): sample for sample in (*kept, *self._used)}.values())

    async def sample(
        self,
        query: Query,
        *,
        prefix: str = "",
        stop: Sequence[str] = (),
        temperature: float = 0.8,
        top_p: float = 1.0,
        max_tokens: int = 256,
        skill: str = "solve",
        texts: Sequence[str] = (),
        top_logprobs: int = 0,
        pieces: bool = False,
        suppress: Sequence[str] = (),
        halt: Halt | None = None,
        pool: str = "",
        seed: int | None = None,
    ) -> Sample:
        """See `Tools.sample`."""
        call = Call(
            messages=query.messages,
            prefix=prefix,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            stop=tuple(stop),
            seed=int(self.rng.integers(2**31)) if seed is None else seed,
            skill=skill,
            texts=tuple(texts),
            top_logprobs=top_logprobs,
            pieces=pieces,
            suppress=tuple(suppress),
            halt=halt,
        )
        sample = await SampleOrder(call, pool)
        self._price_of[id(sample)] = self._prices[pool]
        return sample

    async def score(self, query: Query, texts: Sequence[str]) -> Sequence[float]:
        """See `Tools.score`."""
        if not texts:
            return []
        scores = await ScoreOrder(query, tuple(texts))
        self._scores.update(zip(texts, scores, strict=True))
        for place in range(len(self._candidates)):
            self._score(place)
        return scores

    async def hidden(self, query: Query, *, prefix: str = "") -> Vector:
        """See `Tools.hidden`."""
        return await HiddenOrder(Call(messages=query.messages, prefix=prefix))

    async def run(self, program: str) -> Run:
        """See `Tools.run`."""
        return await RunOrder(program)

    async def left(self) -> Budget:
        """See `Tools.left`."""
        return await LeftOrder()

    def keep(self, query: Query, samples: Sequence[Sample], *, text: str | None = None, answer: str | None = None) -> int:
        """See `Tools.keep`."""
        whole = "".join(sample.text for sample in samples) if text is None else text
        finish = samples[-1].finish if samples else Finish.END
        found = read(query.task, whole, finish) if answer is None else answer
        logprobs = [value for sample in samples for value in sample.logprobs]
        candidate = Candidate(
            text=whole,
            answer=found,
            finish=finish,
            tokens=sum(sample.completion_tokens for sample in samples),
            logprob=fsum(logprobs) / len(logprobs) if logprobs else 0.0,
            fate=Fate.DISCARDED if found is None else Fate.KEPT,
            cost=fsum(self._cost(sample) for sample in samples),
        )
        self._candidates.append(candidate)
        self._written.append(samples)
        self._score(len(self._candidates) - 1)
        return len(self._candidates) - 1

    def use(self, *samples: Sample) -> None:
        """See `Tools.use`."""
        self._used += samples

    def rate(self, place: int, score: float) -> None:
        """See `Tools.rate`."""
        self._candidates[place] = replace(self._candidates[place], score=min(1.0, max(0.0, score)))

    def discard(self, place: int) -> None:
        """See `Tools.discard`."""
        self._candidates[place] = replace(self._candidates[place], fate=Fate.DISCARDED)

    def read(self, query: Query, sample: Sample, *, text: str | None = None) -> str | None:
        """See `Tools.read`."""
        return read(query.task, sample.text if text is None else text, sample.finish)

    def crowd(self, jobs: Iterable[Coroutine[Any, Any, T]], width: int = 0) -> Crowd[T]:
        """See `Tools.crowd`."""
        return Crowd(self._machine, jobs, width)

    async def together(self, jobs: Iterable[Coroutine[Any, Any, T]], width: int = 0) -> list[T]:
        """See `Tools.together`."""
        return await together(self.crowd(jobs, width))

    def cut(self, tokens: int, pool: str) -> None:
        """Remember a sample that was cancelled: what it wrote is gone, what it took is not. The strategy does not see it."""
        cost = tokens * self._prices[pool].completion
        self._lost.append(Candidate(text="", answer=None, finish=Finish.CANCELLED, tokens=tokens, logprob=0.0, fate=Fate.CANCELLED, cost=cost))

    def _score(self, place: int) -> None:
        """The candidate's own rating stands; else it has its text's score."""
        one = self._candidates[place]
        if one.score is None and one.text in self._scores:
            self._candidates[place] = replace(one, score=self._scores[one.text])

    def _cost(self, sample: Sample) -> float:
        price = self._price_of.get(id(sample), self._prices[""])  # one that a strategy spliced together is not known
        return sample.prompt_tokens * price.prompt + sample.completion_tokens * price.completion
