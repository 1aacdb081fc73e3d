"""A decision as its rows tell it, late and in any order, and what was made of them so far."""

from dataclasses import dataclass, field

from policies.page import Outcome, Strand
from router.types import Record


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """An outcome and where it was counted."""

    strand: Strand
    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """How right the answer is by a check, what a source said of it, and the age of the world when both had spoken."""

    right: float
    said: float
    age: int


@dataclass(slots=True)
class Purchase:
    """The row of one, and what was counted of it."""

    record: Record
    counted: Counted | None = None


@dataclass(slots=True)
class Case:
    """What the rows of one decision have told: its first and a later last purchase, the answer given, the ratings, and what was made of them.

    `cost` is what the caller says that carrying out the plan cost, until it is counted.
    """

    first: Purchase | None = None
    last: Purchase | None = None
    given: str | None = None
    cost: int = 0
    ratings: dict[str, tuple[int, float]] = field(default_factory=dict)
    compared: dict[str, Compared] = field(default_factory=dict)

    def right(self, stage: int, value: float) -> float | None:
        """What a rating says of the first purchase's own answer; None where it says nothing yet.

        The answer given may be another one: if that is right this one is wrong, and if that is wrong nothing is known.
        """
        if self.first is None:
            return None
        planned = not self.first.record.stop_reason  # nothing was bought by us: the caller rates the plan itself
        if stage == 0 or planned:
            return value
        if self.given is None:
            return None
        if self.given == self.first.record.outcome_answer:
            return value
        return 0.0 if value == 1 else None
