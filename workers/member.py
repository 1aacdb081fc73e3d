"""A member of the fleet: one worker as a router sees it: what it serves, how busy it is, and how far it is trusted."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from router.types import Plan
from workers.remote import Offers, RemoteExecutor

EJECT_AFTER = 3  # failures in a row
FIRST_EJECTION, LONGEST_EJECTION = 1.0, 30.0  # seconds
WARM_UP = 10.0  # seconds from its return until it is given its full share
_COLD = 0.1  # share at its return
_FORGIVEN = 60.0  # seconds without a failure after which earlier ejections are forgotten
_DECLINED = 30.0  # seconds for which a plan that it could not run, whatever it says of itself, is not given to it again


@dataclass(slots=True, eq=False)
class Member:
    """One worker: ejected after failures in a row, for longer each time, and warmed up slowly when it is back (Envoy's outlier detection)."""

    address: str
    executor: RemoteExecutor
    clock: Callable[[], float] = time.monotonic
    offers: Offers | None = None  # as it last said
    declined: dict[str, float] = field(default_factory=dict)  # plans that it could not run, and when
    under_way: int = 0  # executions that this router has there
    silent: bool = False  # it did not say how busy it is
    failures: int = 0
    ejections: int = 0
    out_until: float = 0.0
    back_since: float = float("-inf")
    failed_at: float = float("-inf")

    @property
    def ejected(self) -> bool:
        """Whether it is given nothing now."""
        return self.clock() < self.out_until

    @property
    def burden(self) -> float:
        """What decides who is next: the lowest."""
        warmth = min(1.0, _COLD + (1 - _COLD) * (self.clock() - self.back_since) / WARM_UP)
        return (self.under_way + 1) / warmth

    def serves(self, plan: Plan) -> bool:
        """Whether it has the plan's pools and its strategy; one that has not said yet may."""
        if plan.id in self.declined and self.clock() - self.declined[plan.id] < _DECLINED:
            return False
        if self.offers is None:
            return True
        pools, strategies = self.offers
        return plan.strategy in strategies and plan.pool in pools and all(name in pools for name in plan.helpers)

    def differs(self, plan: Plan, models: Mapping[str, str]) -> bool:
        """Whether it has another model in the plan's pool than `models` says, as while the workers are being renewed."""
        if self.offers is None or plan.pool not in self.offers.pools:
            return False
        model = self.offers.pools[plan.pool].model
        return bool(model) and model != (models.get(plan.pool) or model)

    def decline(self, plan: str) -> None:
        """It could not run this plan."""
        self.declined[plan] = self.clock()

    def ended(self) -> None:
        """One execution there has ended."""
        self.under_way -= 1

    def succeeded(self) -> None:
        """It did what it was asked."""
        self.failures = 0
        if self.ejections and self.clock() - self.failed_at > _FORGIVEN:
            self.ejections = 0

    def failed(self) -> bool:
        """It could not be reached, or failed; whether it is ejected for it."""
        self.failures += 1
        self.failed_at = now = self.clock()
        if self.failures < EJECT_AFTER or self.ejected:
            return False
        self.out_until = self.back_since = now + min(LONGEST_EJECTION, FIRST_EJECTION * 2**self.ejections)
        self.ejections += 1
        self.failures = EJECT_AFTER - 1  # back on trial: one more is enough
        return True
