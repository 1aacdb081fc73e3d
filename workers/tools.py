"""The tools a strategy works with: every sample and score is paid for here, kept attempts are remembered here."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import fsum

import numpy as np

from router.errors import BackendUnavailable, RouterError
from router.ports import Spent
from router.telemetry import Telemetry
from router.types import Call, Candidate, Fate, Query, Sample, Usage
from workers.answers import read
from workers.pool import Pool
from workers.spending import Spending


class MeteredTools:
    """`Tools` over one pool, for one execution. `earlier` are the candidates this same plan gave at earlier stages."""

    def __init__(self, pool: Pool, spending: Spending, telemetry: Telemetry, rng: np.random.Generator, earlier: Sequence[Candidate] = ()) -> None:
        self.rng = rng
        self._pool = pool
        self._spending = spending
        self._telemetry = telemetry
        self._earlier = tuple(earlier)
        self._attempts: list[tuple[Candidate, tuple[Sample, ...]]] = []
        self._scores: dict[str, float] = {}

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """See `Tools.candidates`."""
        return (*self._earlier, *self.new)

    @property
    def new(self) -> tuple[Candidate, ...]:
        """The candidates of this execution alone."""
        return tuple(replace(candidate, score=self._scores.get(candidate.text)) for candidate, _ in self._attempts)

    @property
    def kept_tokens(self) -> int:
        """Tokens of the samples that went into a candidate with an answer, each counted once however many candidates share it."""
        used = {id(sample): sample for candidate, samples in self._attempts if candidate.fate is Fate.KEPT for sample in samples}
        return sum(sample.completion_tokens for sample in used.values())

    async def sample(
        self,
        query: Query,
        *,
        prefix: str = "",
        stop: Sequence[str] = (),
        temperature: float = 0.8,
        max_tokens: int = 256,
        skill: str = "solve",
    ) -> Sample:
        """See `Tools.sample`."""
        seed = int(self.rng.integers(2**31))  # before anything is awaited: the n-th sample has the n-th seed, however calls interleave
        call = Call(messages=query.messages, prefix=prefix, stop=tuple(stop), temperature=temperature, skill=skill, seed=seed)
        async with self._spending.hold(Usage(prompt_tokens=self._pool.backend.count(call)), max_tokens) as granted:
            return await self._buy(replace(call, max_tokens=granted))

    async def score(self, query: Query, texts: Sequence[str]) -> Sequence[float]:
        """See `Tools.score`. A scoring that is cut off is charged its worst case: it cannot be stopped half-way."""
        if (verifier := self._pool.verifier) is None:
            raise BackendUnavailable("the pool has no verifier")
        tokens = verifier.count(query, texts)
        async with self._spending.hold(Usage(scored_tokens=tokens)):
            try:
                scores = await verifier.score(query, texts)
            except asyncio.CancelledError:
                self._spending.charge(Usage(scored_tokens=tokens, calls=1))
                raise
            self._spending.charge(Usage(scored_tokens=sum(score.tokens for score in scores), calls=1))
        values = [score.value for score in scores]
        self._scores.update(zip(texts, values, strict=True))
        return values

    def keep(self, query: Query, samples: Sequence[Sample]) -> None:
        """See `Tools.keep`."""
        text, finish = "".join(sample.text for sample in samples), samples[-1].finish
        answer = read(query.task, text, finish)
        logprobs = [value for sample in samples for value in sample.logprobs]
        candidate = Candidate(
            text=text,
            answer=answer,
            finish=finish,
            tokens=sum(sample.completion_tokens for sample in samples),
            logprob=fsum(logprobs) / len(logprobs) if logprobs else 0.0,
            fate=Fate.DISCARDED if answer is None else Fate.KEPT,
        )
        self._attempts.append((candidate, tuple(samples)))

    async def _buy(self, call: Call) -> Sample:
        spent = Spent()
        try:
            sample = await self._telemetry.sampled(self._pool.model, call, spent, self._pool.backend.sample(call, spent))
        except asyncio.CancelledError:
            self._spending.charge(Usage(prompt_tokens=spent.prompt, cancelled_tokens=spent.completion, calls=1))
            raise
        except RouterError:
            self._spending.charge(Usage(prompt_tokens=spent.prompt, discarded_tokens=spent.completion, calls=1))
            raise
        self._spending.charge(Usage(prompt_tokens=spent.prompt, kept_tokens=spent.completion, calls=1))
        return sample
