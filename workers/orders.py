"""What a strategy can order from the outside."""

from dataclasses import dataclass

from router.types import Budget, Call, Query, Run, Sample, Vector
from workers.machine import Order


@dataclass(frozen=True, slots=True)
class SampleOrder(Order[Sample]):
    """One sample, of the plan's pool or of a helper's."""

    call: Call
    pool: str = ""


@dataclass(frozen=True, slots=True)
class ScoreOrder(Order[list[float]]):
    """Scores of texts, by the pool's verifier."""

    query: Query
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HiddenOrder(Order[Vector]):
    """A hidden state of the pool's model."""

    call: Call


@dataclass(frozen=True, slots=True)
class RunOrder(Order[Run]):
    """A program's run."""

    program: str


@dataclass(frozen=True, slots=True)
class LeftOrder(Order[Budget]):
    """What may still be spent."""
