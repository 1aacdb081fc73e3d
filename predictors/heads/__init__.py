"""What was fitted, as plain arrays: columns to log-odds, one model family per file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from predictors.calibration import Calibrations
from router.registry import Registry

Array = NDArray[np.float64]


class Head(Protocol):
    """Rows of columns, the first being the constant 1, to one log-odds per output. Pure; finite for finite rows. Its fields are its arrays."""

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Log-odds (n, k) before calibration of rows (n, d)."""

    def beside(self, rows: Array) -> Callable[[Array], Array]:
        """Log-odds of rows that end in these, (n, e), and all begin with the columns (d - e,) it is called with."""
        return lambda first: self.logits(beside(first, rows))


heads: Registry[Head] = Registry("predictors.heads")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A head with what was learned on held-out rows: the calibration of each output, and the standard deviation (k,) of its log-odds."""

    head: Head
    calibrations: Calibrations
    spread: Array

    @classmethod
    def of(cls, family: str, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Self:
        """From the arrays whose names begin with `prefix`."""
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        calibrations, spread = Calibrations(own.pop("calibration_x"), own.pop("calibration_y")), own.pop("spread")
        return cls(heads.build(family, own), calibrations, spread)

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Calibrated log-odds (n, k) of rows (n, d)."""
        return self.calibrations.apply(self.head.logits(x))

    def beside(self, rows: Array) -> Callable[[Array], Array]:
        """As `Head.beside`, calibrated."""
        told = self.head.beside(rows)
        return lambda first: self.calibrations.apply(told(first))


def beside(first: NDArray[np.floating[Any]], rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Columns (c,), the same for each row, before rows (n, e)."""
    out = np.empty((len(rows), len(first) + rows.shape[1]), rows.dtype)
    out[:, : len(first)], out[:, len(first) :] = first, rows
    return out
