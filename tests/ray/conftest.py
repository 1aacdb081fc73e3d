"""Clusters with the application on them, and what its toy has spent."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.settings import bundled_model
from tests.otlp import Collector, collecting
from tests.ray.cluster import TOKEN, Nodes, nodes

PRICE = (0.1, 1.0, 0.05)
NANO = {"name": "embedded", "options": {"directory": str(bundled_model("nano"))}}
TWO = {"min_replicas": 2, "max_replicas": 2}
QUICK = {"metrics_interval_s": 0.2, "look_back_period_s": 0.6, "upscale_delay_s": 0.2, "downscale_delay_s": 0.5}


@dataclass(frozen=True)
class Town:
    """A cluster, the file that its toys write to, and what its replicas export."""

    nodes: Nodes
    spending: Path
    collector: Collector

    @property
    def spent(self) -> int:
        """Tokens of all samples of toys that have ended."""
        return sum(int(line.split()[0]) for line in self.spending.read_text().splitlines())

    @property
    def last(self) -> int:
        """The process of the last of them."""
        return int(self.spending.read_text().split()[-1])


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A router that knows the clusters' token."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)


@pytest.fixture(scope="package")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Two nodes with a replica each."""
    with nodes() as started, collecting() as (endpoint, collector):
        one = Town(started, tmp_path_factory.mktemp("ray") / "spent", collector)
        one.spending.touch()
        pools = {
            "toy": {"backend": {"name": "toy", "options": {"spent": str(one.spending)}}, "model": "toy", "slots": 4},
            "nano": {"backend": NANO, "model": "rheostat-nano", "slots": 8},
        }
        plans = {"toy-direct": {"pool": "toy", "strategy": "direct", "tokens": 1_000, "cost": 2_000, "price": PRICE}}
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        started.deploy({"worker": {"pools": pools}, "plans": plans}, environment, autoscaling_config=TWO | QUICK, max_replicas_per_node=1)
        yield one
