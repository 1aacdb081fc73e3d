"""How many replicas a deployment of workers needs."""

from dataclasses import dataclass, field

import pytest

from workers.scaling import LOAD, TOKENS, Backlog


@dataclass
class Config:
    ongoing: float = 100.0

    def get_target_ongoing_requests(self) -> float:
        return self.ongoing


@dataclass
class Seen:
    """As Ray Serve tells."""

    aggregated_metrics: dict[str, dict[object, float]] | None
    total_num_requests: float = 0.0
    config: Config = field(default_factory=Config)


@pytest.mark.parametrize(
    ("told", "requests", "replicas"),
    [
        ({LOAD: {"a": 1.6, "b": 0.8}, TOKENS: {"a": 500, "b": 0}}, 3, 3.0),  # samples wait: 2.4 loads of 0.8
        ({LOAD: {"a": 0.1, "b": 0.1}, TOKENS: {"a": 4_000, "b": 1_000}}, 3, 5.0),  # few samples, but long ones
        ({LOAD: {"a": 0.1}, TOKENS: {"a": 10}}, 250, 2.5),  # executions that have no replica yet
        ({}, 0, 0.0),
        (None, 50, 0.5),
    ],
)
def test_whatever_is_short_decides(told: dict[str, dict[object, float]] | None, requests: float, replicas: float) -> None:
    wanted, remembered = Backlog(load=0.8, tokens=1_000)(Seen(told, requests))
    assert wanted == pytest.approx(replicas)
    assert remembered == {}


def test_tokens_decide_only_where_a_bound_is_named() -> None:
    assert Backlog()(Seen({LOAD: {"a": 0.5}, TOKENS: {"a": 10**9}}))[0] == 0.5
