"""Scaling: how many replicas a deployment of workers needs, by the samples and the tokens that are outstanding."""

import math
from collections.abc import Mapping
from typing import Protocol

LOAD, TOKENS = "load", "tokens"  # what a replica tells: its busiest pool's samples, of those that it draws at once; tokens of all its samples


class Config(Protocol):
    """The part of Ray Serve's autoscaling settings that is looked at."""

    def get_target_ongoing_requests(self) -> float:
        """Executions of one replica."""


class Seen(Protocol):
    """What Ray Serve tells a policy, as far as this one listens."""

    aggregated_metrics: Mapping[str, Mapping[object, float]] | None
    total_num_requests: float
    config: Config


class Backlog:
    """As many replicas as keep each below `load`, `tokens` and Serve's `target_ongoing_requests`, which alone counts what has no replica yet.

    `load` is samples that are drawn or wait, of those a pool draws at once: above 1 there is a queue. `tokens` are those that these samples may still
    read and write. Serve keeps the result within its bounds, and waits before it follows.
    """

    def __init__(self, load: float = 1.0, tokens: float = math.inf) -> None:
        self._most = {LOAD: load, TOKENS: tokens}

    def __call__(self, seen: Seen) -> tuple[float, dict[str, object]]:
        """Replicas wanted, not rounded; nothing to be remembered."""
        told = seen.aggregated_metrics or {}
        needs = [sum(told.get(name, {}).values()) / most for name, most in self._most.items()]
        return max(*needs, seen.total_num_requests / seen.config.get_target_ongoing_requests()), {}
