"""The allowance: what one router grants on its own while Redis is away."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from router.errors import StoreUnavailable
from router.ledger.refusal import HELD_UP, exhausted
from router.tenants import Unit, Window
from router.types import Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHold:
    """A hold granted while Redis was away."""

    tenant: str
    amount: Amount
    until: float


LOCAL_LIMIT = 10_000_000  # micro-dollars per tenant that one router of a service grants while Redis is away
MOST_OWED = 10_000  # settlements that may then wait


class Allowance:
    """Up to `limit` micro-dollars per tenant, never more than its own windows allow, counting what is held and what is still to be delivered.

    With `most` holds and undelivered settlements it grants nothing, so that none is dropped.
    """

    def __init__(self, limit: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._most = most
        self._clock = clock
        self._holds: dict[str, LocalHold] = {}

    def grant(
        self, tenant: str, hold_id: str, amount: Amount, ttl: float, least: Amount, *, windows: Sequence[Window], owed: Iterable[tuple[str, Amount]]
    ) -> Amount:
        """What is held from now on; `owed` are undelivered settlements by tenant. Raises BudgetExhausted and StoreUnavailable."""
        now, owed = self._clock(), list(owed)
        self._holds = {known: hold for known, hold in self._holds.items() if hold.until > now}
        known = self._holds.get(hold_id)
        if known and known.amount.covers(amount):
            return known.amount
        if len(owed) + len(self._holds) >= self._most:
            raise StoreUnavailable("Redis is away and too many settlements wait for it")
        outstanding = [one.amount for one in self._holds.values() if one.tenant == tenant and one is not known]
        outstanding += [used for who, used in owed if who == tenant]
        granted = self._granted(amount, least, known.amount if known else None, outstanding, windows)
        self._holds[hold_id] = LocalHold(tenant=tenant, amount=granted, until=now + ttl)
        return granted

    def release(self, hold_id: str) -> None:
        """Forget a hold, if it was granted here."""
        self._holds.pop(hold_id, None)

    def _granted(self, amount: Amount, least: Amount, known: Amount | None, outstanding: Sequence[Amount], windows: Sequence[Window]) -> Amount:
        tight = False
        for place, unit, limit in ((0, Unit.COST, self._limit), (1, Unit.TOKENS, None)):
            limits = [one for one in (limit, *(window.limit for window in windows if window.unit is unit)) if one is not None]
            if not limits:
                continue
            used = sum(one[place] for one in outstanding)
            left = min(limits) - used
            if known is None and least[place] > left:
                raise exhausted("outage", unit, limit=min(limits), used=used, asked=least[place], retry_after=HELD_UP)
            tight |= amount[place] > left if known else amount[place] * (len(outstanding) + 2) > left
        if known:
            return known if tight else amount
        return least if tight else amount
