"""A race: one plan on one worker, on a second one too where the first straggles, and on another where it failed. The first outcome is the outcome."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from router.errors import BackendUnavailable, Overloaded, UnknownPlan
from router.ports import Meter, Spare
from router.types import Budget, Outcome, Usage
from workers.member import Member
from workers.outlast import outlast
from workers.remote import WorkerLost

Run = Callable[[Member, Budget, Meter], Coroutine[Any, Any, Outcome]]
Choose = Callable[[Collection[Member]], Member | None]


@dataclass(slots=True, eq=False)
class Attempt:
    """One run on one worker: the meter of what it spends, which `meter` hears of."""

    member: Member
    meter: Meter
    spent: Usage = field(default_factory=Usage)
    task: "asyncio.Task[Outcome]" = field(init=False)

    def charge(self, usage: Usage) -> None:
        """See `Meter.charge`."""
        self.spent += usage
        self.meter.charge(usage)

    def write_off(self) -> None:
        """Another one answered: what was kept here counts as cancelled, and the time was not waited for."""
        kept = self.spent.kept_tokens
        self.charge(Usage(kept_tokens=-kept, cancelled_tokens=kept, seconds=-self.spent.seconds))


class Race:
    """Attempts at one plan, by its id. `choose` names a member beside those given, None where there is none."""

    def __init__(self, plan: str, run: Run, choose: Choose, budget: Budget, meter: Meter) -> None:
        self.hedged = self.retried = False
        self._plan = plan
        self._run = run
        self._choose = choose
        self._budget = budget
        self._meter = meter
        self._attempts: list[Attempt] = []
        self._running: list[Attempt] = []
        self._again: list[Member] = []  # that have lost a worker, and may have another: each is tried once more, when nobody else is left
        self._error: BackendUnavailable | Overloaded | UnknownPlan | None = None

    async def outcome(self, patience: float | None, spare: Spare | None) -> Outcome:
        """Of the first to have one, with what all of them spent in its usage; raises the last error when all failed.

        After `patience` seconds a second run begins, if `spare` says that it is paid for.
        """
        try:
            if not self._start(self._budget):
                raise BackendUnavailable("no worker serves this plan")
            if not await self._any(patience) and spare and await spare():
                self.hedged = self._start(self._budget)
            while True:
                await self._any(None)
                for attempt in [one for one in self._running if one.task.done()]:
                    self._running.remove(attempt)
                    if outcome := self._judged(attempt):
                        return await self._won(attempt, outcome)
                if not self._running:
                    self._retry()
        finally:
            await self._stop()

    def _start(self, budget: Budget) -> bool:
        """On a member that was not tried yet, or may be tried again; whether there is one."""
        member = self._choose([one.member for one in self._attempts])
        if member is None and not self._again:
            return False
        member = member or self._again.pop()
        attempt = Attempt(member, self._meter)
        attempt.task = asyncio.create_task(self._run(member, budget, attempt))
        member.under_way += 1
        attempt.task.add_done_callback(lambda _: member.ended())
        self._attempts.append(attempt)
        self._running.append(attempt)
        return True

    async def _any(self, patience: float | None) -> bool:
        """Whether an attempt has ended, within so many seconds."""
        done, _ = await asyncio.wait([one.task for one in self._running], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    def _judged(self, attempt: Attempt) -> Outcome | None:
        """Its outcome; None where another one may still have one. Raises what would happen anywhere."""
        try:
            outcome = attempt.task.result()
        except UnknownPlan as error:
            attempt.member.decline(self._plan)
            self._error = error
            return None
        except Overloaded as error:
            self._error = error
            return None
        except WorkerLost as error:
            if sum(one.member is attempt.member for one in self._attempts) == 1:
                self._again.append(attempt.member)
            self._error = error
            return None
        except BackendUnavailable as error:
            attempt.member.failed()
            self._error = error
            return None
        if outcome.stop_reason == "deadline" and not attempt.spent.calls:
            attempt.member.failed()  # it did not even begin
        else:
            attempt.member.succeeded()
        return outcome

    def _retry(self) -> None:
        """Somewhere else, with what is left; raises the last error where there is nowhere."""
        spent = Usage()
        for attempt in self._attempts:
            spent += attempt.spent
        self.retried = self._start(self._budget.less(spent))
        if not self.retried and self._error:
            raise self._error

    async def _won(self, winner: Attempt, outcome: Outcome) -> Outcome:
        await self._stop()
        usage = outcome.usage
        for attempt in self._attempts:
            if attempt is not winner:
                attempt.write_off()
                usage += attempt.spent
        return replace(outcome, usage=usage)

    async def _stop(self) -> None:
        """Cancel what still runs, and hear what it spent."""
        for attempt in self._running:
            attempt.task.cancel()
        for attempt in self._running:
            with suppress(asyncio.CancelledError):
                await outlast(attempt.task)
        self._running.clear()
