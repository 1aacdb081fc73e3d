"""One score out of the scores of a solution's beginnings."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Literal

Aggregate = Literal["last", "min", "prod"]
AGGREGATES: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {"last": lambda scores: scores[-1], "min": min, "prod": prod}
