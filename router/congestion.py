"""Congestion: what a place in a pool's queue is worth, so that plans get cheaper as pools fill, and dearer again after.

The shadow price of a pool is a share of what its plans cost, `exp(z) - 1`. It is the dual variable of the constraint that a pool is asked for no more
than `TARGET` of what it can do, learned by exponentiated gradient: z rises with the load in excess, falls with the room that is left, and never
below 0 (Arora, Hazan and Kale 2012, "The multiplicative weights update method", section 3.2: packing programs). The excess itself is added
to z, since a queue that has just formed should be felt before it has been summed up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from router.types import Plan, Prediction

TARGET = 0.8  # of a pool's slots
_RATE = 1.0  # by which z grows in a second, for each unit of load in excess
_AT_ONCE = 1.0  # that z counts higher, for each unit of load in excess
_MOST_LOAD = 4.0
_MOST = 6.0  # of z: plans then count four hundred times as dear


@dataclass(slots=True)
class _Pool:
    """One pool's z, the load last seen, and when."""

    z: float = 0.0
    excess: float = -TARGET
    at: float = 0.0

    @property
    def share(self) -> float:
        return math.expm1(min(_MOST, self.z + max(0.0, _AT_ONCE * self.excess)))


class Congestion:
    """The shadow prices of all pools, from what their workers say of their load."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}
        self._shares: Mapping[str, float] = {}  # of pools that have a price

    def observe(self, loads: Mapping[str, float], at: float) -> None:
        """The load of each pool now, `at` seconds: samples that are drawn or wait, of those it can draw at once."""
        for name, load in loads.items():
            pool = self._pools.setdefault(name, _Pool(at=at))
            pool.excess = min(load, _MOST_LOAD) - TARGET
            pool.z = min(_MOST, max(0.0, pool.z + _RATE * pool.excess * (at - pool.at)))
            pool.at = at
        self._shares = {name: share for name, pool in self._pools.items() if (share := pool.share) > 0.01}

    @property
    def shares(self) -> Mapping[str, float]:
        """Of what its plans cost, that each busy pool's queue adds."""
        return self._shares

    def priced(self, prediction: Prediction, plans: Sequence[Plan]) -> Prediction:
        """With the shadow prices of these plans' pools in what they cost: for choosing alone, since nobody is charged them."""
        shares = self._shares
        if not shares:
            return prediction
        pool_of = {plan.id: plan.pool for plan in plans}
        forecasts = tuple(one._replace(cost=one.cost * (1 + shares.get(pool_of[one.plan], 0.0))) for one in prediction.forecasts)
        return replace(prediction, forecasts=forecasts)

    def reason(self, plans: Sequence[Plan]) -> str:
        """In words, where any of these plans' pools is busy."""
        if not self._shares:
            return ""
        pools = dict.fromkeys(plan.pool for plan in plans if plan.pool in self._shares)
        return ", ".join(f"pool {name} is busy and counts {1 + self._shares[name]:.1f} times as dear" for name in pools)
