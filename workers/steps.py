"""Paths of steps: what every search over beginnings of solutions is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

from router.ports import Tools
from router.types import Finish, Query, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Steps from the root, the value of the whole of them, and the tree they belong to where there are several."""

    samples: tuple[Sample, ...] = ()
    value: float = 0.0
    tree: int = 0

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
    """How a search draws steps: until the pool's style ends one, `step_tokens` at most, `max_steps` of them."""

    skill: str = "solve"
    temperature: float = 0.8
    max_steps: int = 24
    step_tokens: int = 64

    async def step(self, query: Query, tools: Tools, path: Path, **more: Any) -> Path:  # noqa: ANN401 - further arguments of Tools.sample
        """The path with one more step. One that is finished is kept as a candidate."""
        asked = {"skill": self.skill, "temperature": self.temperature, "max_tokens": self.step_tokens, "stop": (tools.style.step,), **more}
        sample = await tools.sample(query, prefix=path.text, **asked)
        longer = replace(path, samples=(*path.samples, sample))
        if longer.finished:
            tools.keep(query, longer.samples)
        return longer


async def grown(stepping: Stepping, query: Query, tools: Tools, paths: Sequence[Path]) -> list[Path]:
    """Each of these paths with one more step, valued by the verifier; the truncated ones left out, equal ones of a tree there once."""
    longer = await tools.together(stepping.step(query, tools, path) for path in paths)
    different = {(path.tree, path.text): path for path in longer if not path.truncated}
    return await valued(query, tools, tuple(different.values()))


async def valued(query: Query, tools: Tools, paths: Sequence[Path]) -> list[Path]:
    """The paths with the verifier's score of each; equal texts are scored once."""
    texts = tuple(dict.fromkeys(path.text for path in paths))
    value = dict(zip(texts, await tools.score(query, texts), strict=True))
    return [replace(path, value=value[path.text]) for path in paths]
