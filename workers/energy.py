"""Energy: the joules of what a pool reads and writes, by a model of its power or by the machine's own meter."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import structlog

from router.ports import Spent
from router.types import EnergySource

log = structlog.get_logger("rheostat.energy")


class PowerMeter(Protocol):
    """Knows what was drawn."""

    def joules(self) -> float:
        """Energy since some moment that stays the same. It is read before and after each order, so must be quick."""


class Energy(Protocol):
    """Tells what tokens took."""

    @property
    def source(self) -> EnergySource:
        """How the joules are known."""

    def working(self, spent: Spent) -> AbstractContextManager[None]:
        """Around one order, while `spent` grows."""

    def share(self, tokens: int) -> float:
        """The joules of so many tokens, of an order that is done."""


@dataclass(frozen=True, slots=True)
class Modelled:
    """Every token takes the same: the power that the machine draws at work, divided by the tokens per second that it handles."""

    joules_per_token: float = 0.0
    source: EnergySource = EnergySource.ESTIMATED

    def working(self, spent: Spent) -> AbstractContextManager[None]:
        """Makes no difference."""
        return nullcontext()

    def share(self, tokens: int) -> float:
        """In proportion."""
        return tokens * self.joules_per_token


UNKNOWN = Modelled()  # nothing is known, so nothing is told


class Measured:
    """What a meter says, over the time at which anything is at work.

    Each order that is done takes a share of what nobody has taken yet: its tokens, of those and what the orders still at work have handled so far.
    So all that is drawn at work is told once, whatever ran beside what; what is drawn at rest is nobody's. One for all pools on the same GPUs.
    """

    source = EnergySource.MEASURED

    def __init__(self, meter: PowerMeter) -> None:
        self._meter = meter
        self._working: dict[int, Spent] = {}
        self._untaken = 0.0
        self._seen = meter.joules()

    @contextmanager
    def working(self, spent: Spent) -> Iterator[None]:
        """See `Energy.working`."""
        self._look()
        self._working[id(spent)] = spent
        try:
            yield
        finally:
            self._look()
            del self._working[id(spent)]

    def share(self, tokens: int) -> float:
        """See `Energy.share`."""
        self._look()
        others = sum(spent.prompt + spent.completion for spent in self._working.values())
        taken = self._untaken * tokens / (tokens + others) if tokens else 0.0
        self._untaken -= taken
        return taken

    def _look(self) -> None:
        now = self._meter.joules()
        if self._working:
            self._untaken += max(0.0, now - self._seen)
        self._seen = now


class NvmlMeter:
    """The meters of NVIDIA's GPUs, by their numbers, through NVML: of Volta and later. Raises pynvml.NVMLError where there is none."""

    def __init__(self, gpus: Sequence[int]) -> None:
        import pynvml  # noqa: PLC0415 - only workers that measure install it

        pynvml.nvmlInit()
        self._read = pynvml.nvmlDeviceGetTotalEnergyConsumption
        self._gpus = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in gpus]
        self.joules()

    def joules(self) -> float:
        """Of all of them."""
        return float(sum(self._read(gpu) for gpu in self._gpus) / 1e3)


def measured(gpus: Sequence[int]) -> Measured | None:
    """By the meters of these GPUs; None where none is named and, with a warning, where they have none that can be read."""
    if gpus:
        try:
            return Measured(NvmlMeter(gpus))
        except Exception as error:  # pynvml is not installed, or finds nothing: its errors can only be named where it is
            log.warning("energy_is_estimated", gpus=list(gpus), error=f"{type(error).__name__}: {error}")
    return None
