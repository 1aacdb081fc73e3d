"""What never changes about a sequence of plans on offer, worked out once instead of for every query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from router.types import Budget, Forecast, Plan

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """Plans beside those an artifact knows: `ids` of the known ones among them and their places in its arrays, in the order of the offer.

    `grows` are (place, places): a plan, and those that are the same one with less to spend, which it must not be forecast to be worse than.
    """

    plans: tuple[Plan, ...]
    ids: tuple[str, ...]
    known: Places
    grows: tuple[tuple[int, tuple[int, ...]], ...]

    @classmethod
    def of(cls, plans: Sequence[Plan], index: Mapping[str, int]) -> Self:
        """`index` tells where the artifact has each plan."""
        ids = tuple(plan.id for plan in plans if plan.id in index)
        order = sorted(range(len(plans)), key=lambda place: _size(plans[place]))
        less = [(place, tuple(other for other in order if _within(plans[other], plans[place]))) for place in order]
        return cls(tuple(plans), ids, np.array([index[one] for one in ids], np.intp), tuple(one for one in less if one[1]))

    @property
    def whole(self) -> bool:
        """Whether every plan is known."""
        return len(self.ids) == len(self.plans)

    def rising(self, forecasts: list[Forecast]) -> list[Forecast]:
        """Forecasts of success that never fall from a plan to the same plan with more to spend."""
        for place, others in self.grows:
            less = [forecasts[other] for other in others]
            success, low, high = (max(getattr(one, name) for one in (forecasts[place], *less)) for name in ("success", "low", "high"))
            forecasts[place] = forecasts[place]._replace(success=success, low=low, high=high)
        return forecasts


def alike(one: Plan, other: Plan) -> bool:
    """Whether they are one plan but for what it may spend."""
    return (one.pool, one.strategy, _rest(one), one.helpers) == (other.pool, other.strategy, _rest(other), other.helpers)


def samples(plan: Plan) -> int:
    """How many samples it draws, 0 where its options do not say."""
    n = plan.options.get("n", 0)
    return n if isinstance(n, int) else 0


def _within(less: Plan, more: Plan) -> bool:
    """Whether they are one plan but for what it may spend, which is more in the second and nowhere less."""
    return alike(less, more) and _size(less) != _size(more) and all(one <= other for one, other in zip(_size(less), _size(more), strict=True))


def _rest(plan: Plan) -> dict[str, object]:
    return {name: value for name, value in plan.options.items() if name != "n"}


def _size(plan: Plan) -> tuple[float, ...]:
    ceilings = (getattr(plan.budget, name) for name in Budget.__dataclass_fields__)
    return (float(samples(plan)), *(np.inf if one is None else one for one in ceilings))
