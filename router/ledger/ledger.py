"""The ledger in Redis, shared by all routers."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from redis.asyncio import Redis

from router.errors import StoreUnavailable
from router.ledger.allowance import MOST_OWED, Allowance
from router.ledger.refusal import HELD_UP, exhausted
from router.ledger.scripts import RESERVE, SETTLE, SPENT
from router.store import Store, budget_key, fleet_budget_key, fleet_leases_key, hold_key, leases_key
from router.tenants import DAY, Unit, Window
from router.types import Amount

TRIES = 12  # to deliver what is owed, in the time after which a charge is confirmed
CONFIRM_AFTER = 3.0  # seconds; Redis syncs its file each second, and may be a second late
LONGEST_LEASE = 86_400.0  # seconds; shorter than the keys live
MOST = 2**52  # micro-dollars, or tokens; Lua counts exactly up to 2^53
_UNITS = {Unit.COST: "c", Unit.TOKENS: "t", Unit.REQUESTS: "r", Unit.OPEN: "o"}
_NAMES = {letter: unit for unit, letter in _UNITS.items()}
_NOTHING = Amount(0)


@dataclass(slots=True, kw_only=True)
class Charge:
    """A settlement that Redis may still lose. It is repeated until it is surely on Redis' disk; the hold id makes that harmless."""

    tenant: str
    hold_id: str
    amount: Amount
    due: float  # when to send it, again or at all, on the ledger's clock
    acknowledged: bool = False


class RedisLedger:
    """Holds and charges in Redis. Open it as a context manager: a task of its own delivers what Redis has not got yet.

    `windows` are those of a tenant, `fleet` those of all tenants together. While Redis is away, each router grants on its own up to `local_limit`
    micro-dollars per tenant, see `Allowance`; `max_owed` is the most settlements that may then wait.
    """

    def __init__(
        self,
        store: Store,
        windows: Callable[[str], tuple[Window, ...]],
        *,
        fleet: tuple[Window, ...] = (),
        local_limit: int = 1_000_000,
        max_owed: int = MOST_OWED,
        confirm_after: float = CONFIRM_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._windows = windows
        self._fleet = fleet
        self._confirm_after = confirm_after
        self._clock = clock
        self._charges: dict[str, Charge] = {}
        self._local = Allowance(local_limit, max_owed, clock)
        self._reserve = store.client.register_script(RESERVE)
        self._settle = store.client.register_script(SETTLE)
        self._spent = store.client.register_script(SPENT)

    async def __aenter__(self) -> Self:
        self._courier = asyncio.create_task(self._deliver_forever(), name="ledger-courier")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._courier.cancel()
        with suppress(asyncio.CancelledError):
            await self._courier
        with suppress(StoreUnavailable):
            await self._deliver(list(self._owed()))

    @property
    def degraded(self) -> bool:
        """Whether Redis was away a moment ago."""
        return not self._store.available

    @property
    def owed(self) -> int:
        """Settlements that Redis has not acknowledged."""
        return sum(1 for _ in self._owed())

    async def reserve(self, tenant: str, hold_id: str, amount: Amount, ttl: float, least: Amount | None = None) -> Amount:
        """Hold `amount`, or `least`, for at most `ttl` seconds; raises BudgetExhausted and RateLimited. See ports.Ledger."""
        least = amount if least is None else least
        _check(amount)
        _check(least)
        lease = max(1, round(min(ttl, LONGEST_LEASE) * 1000))
        keys, args = self._keys(tenant, hold_id), self._args(tenant, hold_id, *amount, *least, lease)
        try:
            told = await self._store.ask(lambda _: self._reserve(keys=keys, args=args))
        except StoreUnavailable:
            return self._reserve_locally(tenant, hold_id, amount, ttl, least)
        if len(told) == 2:
            return Amount(*map(int, told))
        scope, window, unit, limit, spent, held, left = told
        unit = _NAMES[unit.decode()]
        asked = {Unit.COST: least.cost, Unit.TOKENS: least.tokens}.get(unit, 1)
        again = left / 1000 if spent + asked > limit and unit is not Unit.OPEN else HELD_UP
        raise exhausted(window.decode(), unit, limit=limit, used=spent + held, asked=asked, retry_after=again, scope=scope.decode())

    async def settle(self, tenant: str, hold_id: str, amount: Amount) -> None:
        """Charge what was used, be it more than was held, and free the rest. Never fails: what Redis cannot take now is delivered later."""
        _check(amount)
        self._local.release(hold_id)
        charge = self._charges.setdefault(hold_id, Charge(tenant=tenant, hold_id=hold_id, amount=amount, due=self._clock() + self._confirm_after))
        if not charge.acknowledged:
            with suppress(StoreUnavailable):
                await self._deliver([charge])

    async def spent(self, tenant: str, window: str = DAY.name) -> tuple[int, int]:
        """(Spent in this window of a tenant, held now), in the window's unit; raises StoreUnavailable."""
        return (await self.all_spent(tenant))[window]

    async def all_spent(self, tenant: str) -> dict[str, tuple[int, int]]:
        """The same for all of a tenant's windows, by name."""
        return await self._told(self._windows(tenant), self._keys(tenant, ""), self._args(tenant, ""))

    async def fleet_spent(self, window: str) -> tuple[int, int]:
        """The same for a window of all tenants together."""
        keys, args = ["", fleet_budget_key(), fleet_leases_key()], ["", 0, 0, 0, 0, 0, 1, *_scope("fleet", self._fleet)]
        return (await self._told(self._fleet, keys, args))[window]

    async def _told(self, windows: tuple[Window, ...], keys: list[str], args: list[str | int]) -> dict[str, tuple[int, int]]:
        *spent, cost, tokens = await self._store.ask(lambda _: self._spent(keys=keys, args=args))
        held = {Unit.COST: int(cost), Unit.TOKENS: int(tokens)}
        return {one.name: (int(count), held.get(one.unit, 0)) for one, count in zip(windows, spent, strict=True)}

    def _keys(self, tenant: str, hold_id: str) -> list[str]:
        keys = [hold_key(tenant, hold_id), budget_key(tenant), leases_key(tenant)]
        return [*keys, fleet_budget_key(), fleet_leases_key()] if self._fleet else keys

    def _args(self, tenant: str, hold_id: str, *numbers: int) -> list[str | int]:
        """What every script is given."""
        args: list[str | int] = [f"{tenant}/{hold_id}", *numbers, *(0,) * (5 - len(numbers)), 2 if self._fleet else 1]
        args += _scope("tenant", self._windows(tenant))
        return [*args, *_scope("fleet", self._fleet)] if self._fleet else args

    def _reserve_locally(self, tenant: str, hold_id: str, amount: Amount, ttl: float, least: Amount) -> Amount:
        if hold_id in self._charges:
            return _NOTHING
        owed = [(charge.tenant, charge.amount) for charge in self._owed()]
        return self._local.grant(tenant, hold_id, amount, ttl, least, windows=self._windows(tenant), owed=owed)

    def _owed(self) -> Iterator[Charge]:
        return (charge for charge in self._charges.values() if not charge.acknowledged)

    async def _deliver_forever(self) -> None:
        while True:
            await asyncio.sleep(self._confirm_after / TRIES)
            now = self._clock()
            due = [charge for charge in self._charges.values() if charge.due <= now]
            with suppress(StoreUnavailable):
                for start in range(0, len(due), 256):
                    await self._deliver(due[start : start + 256])

    async def _deliver(self, charges: Sequence[Charge]) -> None:
        """Send. What had been acknowledged before is done with: the first time is on disk by now, or this time made up for its loss."""
        confirmed = [charge for charge in charges if charge.acknowledged]
        await self._store.ask(lambda redis: self._send(redis, charges))
        for charge in charges:
            charge.acknowledged, charge.due = True, self._clock() + self._confirm_after
        for charge in confirmed:
            self._charges.pop(charge.hold_id, None)

    async def _send(self, redis: Redis, charges: Sequence[Charge]) -> None:
        if len(charges) == 1:  # one way to Redis and back; a pipeline first asks whether the script is there
            await self._charge(charges[0], redis)
            return
        async with redis.pipeline(transaction=False) as pipeline:
            for charge in charges:
                await self._charge(charge, pipeline)
            await pipeline.execute()

    async def _charge(self, charge: Charge, client: Redis) -> None:
        args = self._args(charge.tenant, charge.hold_id, *charge.amount)
        await self._settle(keys=self._keys(charge.tenant, charge.hold_id), args=args, client=client)


def _scope(name: str, windows: Sequence[Window]) -> list[str | int]:
    args: list[str | int] = [name, len(windows)]
    for window in windows:
        length = -1 if window.seconds is None else round(window.seconds * 1000)
        args += [window.name, length, -1 if window.limit is None else window.limit, _UNITS[window.unit]]
    return args


def _check(amount: Amount) -> None:
    if not all(0 <= one <= MOST for one in amount):
        raise ValueError(f"micro-dollars and tokens must be between 0 and {MOST}, not {amount.cost} and {amount.tokens}")
