"""A member of the fleet: one worker as a router sees it: how busy it is, and how far it is trusted."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from workers.remote import Load, RemoteExecutor

EJECT_AFTER = 3  # failures in a row
FIRST_EJECTION, LONGEST_EJECTION = 1.0, 30.0  # seconds
WARM_UP = 10.0  # seconds from its return until it is given its full share
_COLD = 0.1  # share at its return
_FORGIVEN = 60.0  # seconds without a failure after which earlier ejections are forgotten


@dataclass(slots=True, eq=False)
class Member:
    """One worker: ejected after failures in a row, for longer each time, and warmed up slowly when it is back (Envoy's outlier detection)."""

    address: str
    executor: RemoteExecutor
    clock: Callable[[], float] = time.monotonic
    loads: Mapping[str, Load] = field(default_factory=dict)  # of its pools, as it last said
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

    def has(self, pool: str) -> bool:
        """Whether it serves a pool; one that has not said yet may."""
        return not self.loads or pool in self.loads

    def leave(self) -> None:
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
