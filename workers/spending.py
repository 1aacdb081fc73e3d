"""Spending: what one execution may spend and has spent. Worst cases are held before a call starts and released to what it really took."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from router.errors import BudgetExhausted
from router.ports import Meter
from router.types import Budget, Price, Usage

_ROUNDING = 1e-9  # prices are floats: a sum that is whole on paper must not be rounded up to the next micro-dollar
_ENDLESS = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """The worst case of one call under way; `cost` is micro-dollars, not rounded."""

    tokens: int
    cost: float
    samples: int
    calls: int


class Spending:
    """One execution's budget, kept to the token: the sum of what is held and what is spent never passes it."""

    def __init__(self, budget: Budget, meter: Meter) -> None:
        self.budget = budget
        self.spent = Usage()
        self._meter = meter
        self._at: dict[Price, tuple[int, int, int]] = {}  # tokens read, written and scored at each price
        self._held: list[_Held] = []
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def left(self) -> Budget:
        """What may still be spent."""
        return self.budget.less(self.spent)

    @asynccontextmanager
    async def hold(self, price: Price, fixed: Usage, completion: int = 0) -> AsyncIterator[int]:
        """Hold a call's worst case while it runs: `fixed` and up to `completion` tokens; gives how many of these it may write.

        First come, first served. Where the worst case does not fit beside what is held, this waits for a call to end; where it does not fit
        alone, `completion` is cut; BudgetExhausted when nothing is left of it, or when samples or calls are used up.
        """
        async with self._turn:
            while (room := self._room(price, fixed)) < completion and self._held:
                self._freed.clear()
                await self._freed.wait()
            granted = min(completion, room)
            if room < min(1, completion) or not self._counts_fit(fixed):
                raise BudgetExhausted("the worst case of one more call does not fit the budget", tokens=self.budget.tokens, cost=self.budget.cost)
            held = _Held(fixed.tokens + granted, _cost(price, fixed) + granted * price.completion, fixed.samples, fixed.calls)
            self._held.append(held)
        try:
            yield granted
        finally:
            self._held.remove(held)
            self._freed.set()

    def charge(self, price: Price, usage: Usage) -> None:
        """Add to what was spent. Costs are rounded up once, over the whole execution, so that many small calls cost no more than one."""
        read, written, scored = self._at.get(price, (0, 0, 0))
        self._at[price] = read + usage.prompt_tokens, written + _written(usage), scored + usage.scored_tokens
        cost = math.ceil(self._exact() - _ROUNDING)
        charged = replace(usage, cost=cost - self.spent.cost)
        self.spent = self.spent + charged
        self._meter.charge(charged)

    def _exact(self) -> float:
        return math.fsum(_cost_of(price, *tokens) for price, tokens in self._at.items())

    def _counts_fit(self, fixed: Usage) -> bool:
        """Whether samples and calls are left; what is held of these will be spent."""
        samples = self.spent.samples + fixed.samples + sum(held.samples for held in self._held)
        calls = self.spent.calls + fixed.calls + sum(held.calls for held in self._held)
        ceilings = ((self.budget.samples, samples), (self.budget.calls, calls))
        return all(most is None or used <= most for most, used in ceilings)

    def _room(self, price: Price, fixed: Usage) -> int:
        """Completion tokens that still fit beside `fixed`, everything held and everything spent; negative when `fixed` itself does not."""
        rooms = [_ENDLESS]
        if self.budget.tokens is not None:
            rooms.append(self.budget.tokens - self.spent.tokens - fixed.tokens - sum(held.tokens for held in self._held))
        if self.budget.cost is not None:
            outstanding = math.fsum(held.cost for held in self._held) + _cost(price, fixed)
            rooms.append(_affordable(self.budget.cost - self._exact() - outstanding + _ROUNDING, price))
        return min(rooms)


def _cost(price: Price, usage: Usage) -> float:
    """Micro-dollars, not yet rounded."""
    return _cost_of(price, usage.prompt_tokens, _written(usage), usage.scored_tokens)


def _cost_of(price: Price, read: int, written: int, scored: int) -> float:
    return read * price.prompt + written * price.completion + scored * price.scored


def _written(usage: Usage) -> int:
    return usage.kept_tokens + usage.discarded_tokens + usage.cancelled_tokens


def _affordable(left: float, price: Price) -> int:
    if left < 0:
        return -1
    return math.floor(left / price.completion) if price.completion else _ENDLESS
