"""Spending: what one execution may spend and has spent. Worst cases are held before a call starts and released to what it really took."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from router.errors import BudgetExhausted
from router.ports import Meter
from router.types import Budget, Price, Usage

_ROUNDING = 1e-9  # prices are floats: a sum that is whole on paper must not be rounded up to the next micro-dollar
_ENDLESS = 2**62


class Spending:
    """One execution's budget, kept to the token: the sum of what is held and what is spent never passes it."""

    def __init__(self, budget: Budget, price: Price, joules_per_token: float, meter: Meter) -> None:
        self.budget = budget
        self.price = price
        self.spent = Usage()
        self._joules_per_token = joules_per_token
        self._meter = meter
        self._held: list[Usage] = []
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, fixed: Usage, completion: int = 0) -> AsyncIterator[int]:
        """Hold a call's worst case while it runs: `fixed` and up to `completion` tokens; gives how many of these it may write.

        First come, first served. Where the worst case does not fit beside what is held, this waits for a call to end; where it does not fit
        alone, `completion` is cut; BudgetExhausted when nothing is left of it.
        """
        async with self._turn:
            while (room := self._room(fixed)) < completion and self._held:
                self._freed.clear()
                await self._freed.wait()
            granted = min(completion, room)
            if room < min(1, completion):
                raise BudgetExhausted("the worst case of one more call does not fit the budget", tokens=self.budget.tokens, cost=self.budget.cost)
            held = replace(fixed, kept_tokens=granted)
            self._held.append(held)
        try:
            yield granted
        finally:
            self._held.remove(held)
            self._freed.set()

    def charge(self, usage: Usage) -> None:
        """Add to what was spent. Costs are rounded up once, over the whole execution, so that many small calls cost no more than one."""
        total = self.spent + usage
        cost = math.ceil(self._cost(total) - _ROUNDING)
        joules = usage.tokens * self._joules_per_token
        charged = replace(usage, cost=cost - self.spent.cost, joules=joules)
        self.spent = replace(total, cost=cost, joules=self.spent.joules + joules)
        self._meter.charge(charged)

    def _cost(self, usage: Usage) -> float:
        """Micro-dollars, not yet rounded."""
        written = usage.kept_tokens + usage.discarded_tokens + usage.cancelled_tokens
        return usage.prompt_tokens * self.price.prompt + written * self.price.completion + usage.scored_tokens * self.price.scored

    def _room(self, fixed: Usage) -> int:
        """Completion tokens that still fit beside `fixed`, everything held and everything spent; negative when `fixed` itself does not."""
        total = sum(self._held, self.spent + fixed)
        rooms = [_ENDLESS]
        if self.budget.tokens is not None:
            rooms.append(self.budget.tokens - total.tokens)
        if self.budget.cost is not None:
            rooms.append(self._affordable(self.budget.cost - self._cost(total) + _ROUNDING))
        return min(rooms)

    def _affordable(self, left: float) -> int:
        if left < 0:
            return -1
        return math.floor(left / self.price.completion) if self.price.completion else _ENDLESS
