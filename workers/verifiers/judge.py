"""A language model as judge."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

from router.errors import BackendUnavailable
from router.ports import Spent
from router.types import Call, Query
from workers.backends import backends
from workers.parts.judging import MARK, MARKS, TOP
from workers.verifiers import verifiers

Mode = Literal["pointwise", "pairwise"]


@verifiers.register("judge")
class Judge:
    """A model marks solutions from 0 to 9 (Zheng et al. 2023, arXiv 2306.05685, section 3.1): each by itself, or every two side by side.

    "pairwise" shows each pair in both orders, so that the order does not matter, and a solution's score is the mean of its marks; k texts take
    k (k - 1) calls. An answer without a mark is asked for again, `tries` times in all; then the judge is unavailable: a made-up score would count
    like a real one. `backend` is another backend's name and options.
    """

    steps = False

    def __init__(self, *, backend: Mapping[str, Any], mode: Mode = "pointwise", tries: int = 2) -> None:
        if mode not in ("pointwise", "pairwise") or tries < 1:
            raise ValueError("judge: mode is pointwise or pairwise, tries at least 1")
        self._backend = backends.build(backend["name"], backend.get("options"))
        self._pairwise = mode == "pairwise"
        self._tries = tries

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """Every try of every call, read and written."""
        return sum((self._backend.count(call) + call.max_tokens) * self._tries for call, _ in self._calls(query, texts))

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """See `Verifier.score`."""
        marks: list[list[int]] = [[] for _ in texts]
        for call, places in self._calls(query, texts):
            for place, mark in zip(places, await self._marked(call, len(places), spent), strict=True):
                marks[place].append(mark)
        return [sum(each) / len(each) / TOP for each in marks]

    async def close(self) -> None:
        """Close the backend."""
        await self._backend.close()

    def _calls(self, query: Query, texts: Sequence[str]) -> list[tuple[Call, tuple[int, ...]]]:
        """What to ask, and whose marks the answer holds."""
        if not self._pairwise or len(texts) == 1:
            return [(_call(query, "score", text), (place,)) for place, text in enumerate(texts)]
        pairs = [pair for one, other in combinations(range(len(texts)), 2) for pair in ((one, other), (other, one))]
        return [(_call(query, "judge", texts[one], texts[other]), (one, other)) for one, other in pairs]

    async def _marked(self, call: Call, count: int, spent: Spent) -> Sequence[int]:
        for attempt in range(self._tries):
            part = Spent()
            try:
                sample = await self._backend.sample(_again(call, attempt), part)
            finally:
                spent.prompt, spent.completion = spent.prompt + part.prompt, spent.completion + part.completion
            found = (MARK if count == 1 else MARKS).search(sample.text)
            if found:
                return [int(mark) for mark in (found.groups() or (found[0],))]
        raise BackendUnavailable(f"the judge gave no mark in {self._tries} tries")


def _call(query: Query, skill: str, *texts: str) -> Call:
    return Call(messages=query.messages, skill=skill, texts=texts, temperature=0.0, max_tokens=32 if skill == "judge" else 4, seed=0)


def _again(call: Call, attempt: int) -> Call:
    """The same call, warmer and with another seed where the first try gave nothing."""
    return call if not attempt else replace(call, temperature=0.7, seed=attempt)
