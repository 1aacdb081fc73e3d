"""The bundled process reward model: how likely everything written so far is right."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from router.errors import BackendUnavailable
from router.ports import Spent
from router.types import Call, Query
from workers.parts.aggregates import AGGREGATES, Aggregate
from workers.prompts import bundled
from workers.verifiers import verifiers


@verifiers.register("reward")
class Reward:
    """A process reward model (Lightman et al. 2023, arXiv 2305.20050) in `directory`, on the CPU.

    `aggregate` makes one score of a text's steps: the last one's, which has read all the others (the search-and-learn recipe), their minimum,
    or their product. The latter two read every prefix, and are charged for that.
    """

    steps = True

    def __init__(self, *, directory: str | Path, aggregate: Aggregate = "last") -> None:
        from workers.reasoner.engine import Engine  # noqa: PLC0415 - torch is not in the base install

        if aggregate not in AGGREGATES:
            raise ValueError(f"reward: no aggregate {aggregate!r}; known: {', '.join(AGGREGATES)}")
        self._aggregate = aggregate
        self._engine = Engine(Path(directory), slots=1)

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """At most one token more than each prefix has: the end of a finished text is read too."""
        asked = self._engine.count(_asked(query))
        return sum(asked + self._engine.count(prefix) + 1 for text in texts for prefix in self._prefixes(text))

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """See `Verifier.score`."""
        prefixes = [self._prefixes(text) for text in texts]
        if not texts:
            return []
        spent.prompt = self.count(query, texts)  # the engine reads to the end, whoever is still waiting
        try:
            found = await asyncio.to_thread(self._engine.score, _asked(query), [one for part in prefixes for one in part])
        except RuntimeError as error:
            raise BackendUnavailable(str(error)) from error
        spent.prompt = sum(tokens for _, tokens in found)
        values = (value for value, _ in found)
        return [AGGREGATES[self._aggregate]([next(values) for _ in part]) for part in prefixes]

    async def close(self) -> None:
        """End the engine's thread."""
        await asyncio.to_thread(self._engine.close)

    def _prefixes(self, text: str) -> list[str]:
        if self._aggregate == "last":
            return [text]
        lines = text.splitlines(keepends=True)
        return ["".join(lines[: end + 1]) for end in range(len(lines))] or [text]


def _asked(query: Query) -> str:
    """The reward model judges worked solutions."""
    return bundled(Call(messages=query.messages, skill="solve"))
