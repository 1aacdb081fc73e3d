"""`make scale`, in small: it measures what it says it does."""

from io import StringIO

import pytest
from rich.console import Console

from router.simulation.scenario import Scenario
from tests.scale import losses as ends
from tests.scale.__main__ import measured
from tests.scale.engine import fitted
from tests.scale.ratios import PACE, SLOTS
from tests.scale.report import show


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_everything_is_measured(monkeypatch) -> None:
    monkeypatch.setattr("tests.scale.__main__.losses", lambda seconds: {"a router killed": ends.under_load(seconds, ends.kill_router, routers=2)})
    monkeypatch.setattr("tests.scale.__main__._ray", lambda: None)
    monkeypatch.setattr("tests.scale.__main__.paced", lambda *_: [])  # tests/integration/test_simulate.py has it
    found = measured(1.0, (1, 2), (2,), models=False)
    assert (set(found["routers"]), set(found["workers"])) == ({"1", "2"}, {"2"})
    assert all(row["calls"] > 5 and not row["failed"] for kind in ("routers", "workers") for row in found[kind].values())
    assert found["workers"]["2"]["per_second"] > 1.3 * SLOTS / PACE  # more than one worker could, whose samples take their time
    assert found["ratios"]["routers, with a core each"]["2"] > 1.0
    (killed,) = found["losses"].values()
    assert killed["failed"] == 0 < killed["again"]
    assert Scenario(**found["scenario"]).redis.reserve > 0
    show(found, Console(file=(out := StringIO()), width=200))
    assert all(aim["aim"] in out.getvalue() for aim in found["aims"])


def test_a_curve_is_what_it_was_made_of() -> None:
    steps = [(width, 0.002 + 0.0001 * width) for width in (1, 4, 16, 32) for _ in range(9)] + [(16, 1.0)]
    found = fitted(steps, [(100, 0.01), (200, 0.02), (100, 5.0)], 64)
    assert found.step == pytest.approx(0.002)
    assert found.sequence == pytest.approx(0.0001)
    assert found.prompt == pytest.approx(0.0001)
