"""A model that knows its solutions by heart, and a verifier that knows its scores."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from router.ports import Spent
from router.types import Call, Finish, Query, Sample
from tests.workers.toy import Oracle, Toy
from workers.parts.steps import Path


@dataclass
class Reciter(Toy):
    """Goes on from a prefix as one of its texts does, by the seed as often as it has them; greedily as the first does."""

    texts: tuple[str, ...] = ()
    written: list[tuple[str, str]] = field(default_factory=list)  # prefix, and what came

    def worked(self, call: Call) -> str:
        possible = [text[len(call.prefix) :] for text in self.texts if text.startswith(call.prefix)]
        return random.Random(call.seed).choice(possible) if call.temperature else possible[0]

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        self.written.append((call.prefix, sample.text))
        return sample


@dataclass
class Table(Oracle):
    """Scores by text; `other` for those it does not have."""

    scores: Mapping[str, float] = field(default_factory=dict)
    other: float = 0.5

    def value(self, query: Query, text: str) -> float:
        return self.scores.get(text, self.other)


def a_sample(text: str, *, finish: Finish = Finish.STOP, logprobs: tuple[float, ...] = ()) -> Sample:
    return Sample(text=text, prompt_tokens=1, completion_tokens=len(text), finish=finish, logprobs=logprobs)


def a_path(*texts: str, finished: bool = False, marks: tuple[float, ...] = (), logprobs: tuple[float, ...] = ()) -> Path:
    """A path of such steps; its last one has these log-probabilities."""
    samples = [a_sample(text) for text in texts[:-1]]
    if texts:
        samples.append(a_sample(texts[-1], finish=Finish.END if finished else Finish.STOP, logprobs=logprobs))
    return Path(samples=tuple(samples), marks=marks, value=marks[-1] if marks else 0.0)
