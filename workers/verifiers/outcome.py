"""The bundled process reward model as a judge of whole solutions."""

from collections.abc import Sequence
from pathlib import Path

from router.ports import Spent
from router.types import Query
from workers.verifiers import verifiers
from workers.verifiers.reward import Reward


@verifiers.register("outcome")
class Outcome:
    """An outcome reward model (Cobbe et al. 2021, arXiv 2110.14168): P(the answer is right) where a finished solution ends.

    The model is in `directory`. A text that is not finished is judged as if it were, so this is no judge of beginnings; `reward` is.
    """

    steps = False

    def __init__(self, *, directory: str | Path) -> None:
        self._reward = Reward(directory=directory)

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """Each text once, and its end."""
        return self._reward.count(query, _ended(texts))

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """See `Verifier.score`."""
        return await self._reward.score(query, _ended(texts), spent)

    async def close(self) -> None:
        """End the engine's thread."""
        await self._reward.close()


def _ended(texts: Sequence[str]) -> list[str]:
    """Without the line break that would make it a beginning."""
    return [text.rstrip("\n") for text in texts]
