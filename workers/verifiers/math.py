"""Comparison with known answers, as mathematics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from router.ports import Spent
from router.types import Finish, Query, Task
from workers.answers import canonical, read
from workers.verifiers import verifiers


@verifiers.register("math")
@dataclass(frozen=True, slots=True, kw_only=True)
class Math:
    r"""1 for a finished text whose answer is worth the same as the known one, else 0: `\frac{2}{4}` is `0.5` (see `workers.expressions`).

    `answers` maps a question to its answer; for tests, demonstrations, and rewards from data sets.
    """

    answers: Mapping[str, str]
    steps: ClassVar[bool] = False

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """Nothing: no model reads them."""
        return 0

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """See `Verifier.score`; a question that is not known scores 0."""
        known = self.answers.get(query.text)
        right = None if known is None else canonical(Task.MATH, known)
        return [float(right is not None and read(Task.MATH, text, Finish.END) == right) for text in texts]

    async def close(self) -> None:
        """Nothing to let go of."""
