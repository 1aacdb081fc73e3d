"""Paths of steps: what every search over beginnings of solutions is made of."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any, ParamSpec, TypeVar

from router.errors import BackendUnavailable
from router.ports import Tools
from router.types import Finish, Query, Sample
from workers.parts.aggregates import AGGREGATES, Aggregate

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Steps from the root, the value of the whole of them, and the tree they belong to where there are several.

    `marks` are the verifier's scores of its beginnings, the whole last; `place` is a finished path's among the candidates.
    """

    samples: tuple[Sample, ...] = ()
    value: float = 0.0
    tree: int = 0
    marks: tuple[float, ...] = ()
    place: int | None = None

    @property
    def text(self) -> str:
        """Everything written so far."""
        return "".join(sample.text for sample in self.samples)

    @property
    def logprob(self) -> float:
        """Natural log of its probability under the model that wrote it; 0 where the backend does not tell."""
        return fsum(value for sample in self.samples for value in sample.logprobs)

    @property
    def finished(self) -> bool:
        """Whether the model ended by itself; a truncated path is not finished."""
        return bool(self.samples) and self.samples[-1].finish is Finish.END

    @property
    def truncated(self) -> bool:
        """Whether its last step was cut off."""
        return bool(self.samples) and not self.samples[-1].finish.whole

    def rank(self) -> tuple[float, float, str]:
        """A key that sorts the best first; of equal values the likelier, then in an order that does not depend on time."""
        return -self.value, -self.logprob, self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepping:
    """How a search draws steps: until the pool's style ends one, `step_tokens` at most.

    A path has `max_steps` of them; the last is written to the end of the solution, `last_tokens` at most.
    """

    skill: str = "solve"
    temperature: float = 0.8
    max_steps: int = 24
    step_tokens: int = 64
    last_tokens: int = 256

    @property
    def possible(self) -> bool:
        """Whether the numbers make sense; strategies check it with their own."""
        return min(self.max_steps, self.step_tokens, self.last_tokens) >= 1 and self.temperature >= 0

    async def step(self, query: Query, tools: Tools, path: Path, **more: Any) -> Path:  # noqa: ANN401 - further arguments of Tools.sample
        """The path with one more step. One that is finished is kept as a candidate."""
        longer = replace(path, samples=(*path.samples, await self.written(query, tools, path, **more)))
        return replace(longer, place=tools.keep(query, longer.samples)) if longer.finished else longer

    async def written(self, query: Query, tools: Tools, path: Path, **more: Any) -> Sample:  # noqa: ANN401 - further arguments of Tools.sample
        """The next step of a path."""
        last = len(path.samples) + 1 >= self.max_steps
        asked = {"max_tokens": self.last_tokens} if last else {"max_tokens": self.step_tokens, "stop": (tools.style.step,)}
        return await tools.sample(query, prefix=path.text, **{"skill": self.skill, "temperature": self.temperature, **asked, **more})


async def grown(
    stepping: Stepping,
    query: Query,
    tools: Tools,
    paths: Sequence[Path],
    *,
    aggregate: Aggregate = "last",
    seeds: Sequence[int] | None = None,
) -> list[Path]:
    """Each of these paths with one more step, valued by the verifier; the truncated ones left out, equal ones of a tree there once."""
    return different(await valued(query, tools, await extended(stepping, query, tools, paths, seeds=seeds), aggregate=aggregate))


async def extended(stepping: Stepping, query: Query, tools: Tools, paths: Sequence[Path], *, seeds: Sequence[int] | None = None) -> list[Path]:
    """Each of these paths with one more step, drawn with its own seed if there are any; the truncated ones left out."""
    of = dict(enumerate(seeds or ()))
    longer = await tools.together(stepping.step(query, tools, path, seed=of.get(number)) for number, path in enumerate(paths))
    return [path for path in longer if not path.truncated]


async def valued(
    query: Query, tools: Tools, paths: Sequence[Path], *, aggregate: Aggregate = "last", texts: Sequence[str] | None = None
) -> list[Path]:
    """The paths with the verifier's scores, of their own texts or of these instead; equal texts are scored once.

    A path's value is the last of its scores, their minimum or their product. A finished path's candidate is rated with it.
    """
    judged = [path.text for path in paths] if texts is None else texts
    different_ones = tuple(dict.fromkeys(judged))
    scores = dict(zip(different_ones, await tools.score(query, different_ones), strict=True))
    return [_marked(tools, path, scores[text], aggregate) for path, text in zip(paths, judged, strict=True)]


def _marked(tools: Tools, path: Path, score: float, aggregate: Aggregate) -> Path:
    marks = (*path.marks, score)
    value = AGGREGATES[aggregate](marks)
    if path.place is not None:
        tools.rate(path.place, value)
    return replace(path, value=value, marks=marks)


async def concluded(stepping: Stepping, query: Query, tools: Tools, path: Path) -> list[Path]:
    """A path written to the end at once, and valued; nothing if that is cut off. For searches that would else end without an answer."""
    whole = await twice(stepping.step, query, tools, path, max_tokens=stepping.last_tokens, stop=())
    return await valued(query, tools, [whole]) if whole.finished else []


def different(paths: Iterable[Path]) -> list[Path]:
    """Of equal paths of a tree, one."""
    return list({(path.tree, path.text): path for path in paths}.values())


async def twice(job: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """The job's result; where the backend fails it once, it is tried once more. For searches that have nothing else under way."""
    try:
        return await job(*args, **kwargs)
    except BackendUnavailable:
        return await job(*args, **kwargs)
