"""The turnstile of the service under a simulated clock: who comes next is decided by the real one, and only the waiting is simulated."""

from collections.abc import Callable
from typing import Any

from simpy import Environment, Event

from router.errors import Overloaded
from router.turnstile import Turnstile, _Line


class Waiter:
    """Whoever wants to come in. As the futures that a turnstile keeps: `entered` is called once it may, `refused` with the error if it may not."""

    __slots__ = ("entered", "line", "refused", "since", "told")

    def __init__(self, entered: Callable[[], None], refused: Callable[[Exception], None]) -> None:
        self.entered = entered
        self.refused = refused
        self.told = False
        self.line: _Line | None = None
        self.since = 0.0

    def done(self) -> bool:
        """Whether it was told."""
        return self.told

    def set_result(self, _: None) -> None:
        """It may come in."""
        self.told = True
        self.entered()

    def set_exception(self, error: Exception) -> None:
        """It gave way to somebody else."""
        self.told = True
        self.refused(error)


class Gate(Turnstile):
    """A turnstile in a simulation."""

    def __init__(self, env: Environment, permits: int, queue: int) -> None:
        super().__init__(permits, queue, clock=lambda: env.now)
        self._env = env
        self.inside_seconds = 0.0  # of all permits together, once they were given back

    def come(self, tenant: str, waiter: Waiter) -> None:
        """Let in now, later, or not at all; the waiter is told which."""
        waiter.line = line = self._line(tenant, 1.0)
        if not self._waiting_before(line) and self._open(line):
            self._enter(line)
            waiter.since = self._env.now
            waiter.set_result(None)
            return
        try:
            if self.waiting >= self._queue:
                self._make_room(line)
        except Overloaded as error:
            waiter.set_exception(error)
            return
        line.waiting.append(waiter)  # type: ignore[arg-type]
        self.waiting += 1

    def go(self, waiter: Waiter) -> None:
        """Leave."""
        assert waiter.line is not None
        stayed = self._env.now - waiter.since
        self.inside_seconds += stayed
        self._leave(waiter.line, stayed)

    def tire(self, waiter: Waiter) -> None:
        """Leave the queue, having waited for too long."""
        if not waiter.told and waiter.line is not None:
            waiter.told = True
            self._give_up(waiter.line, waiter)  # type: ignore[arg-type]


def permit(env: Environment) -> tuple[Waiter, Event]:
    """A waiter, and the event that it has come in, or failed to."""
    told: Any = env.event()
    told.defused = True

    def entered() -> None:
        waiter.since = env.now
        told.succeed()

    waiter = Waiter(entered, told.fail)
    return waiter, told
