"""Energy: by tokens of a model, or by a meter, whose every joule at work is told once."""

import asyncio
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from router.ports import Spent
from router.types import Budget, EnergySource, Evidence, Usage
from tests.workers.toy import Bill, Toy, a_plan, a_query
from workers.energy import Measured, Modelled, measured
from workers.executor import LocalExecutor, Pool

ESTIMATED, MEASURED = EnergySource.ESTIMATED, EnergySource.MEASURED


@dataclass
class Meter:
    """Says what it is told to."""

    drawn: float = 100.0

    def joules(self) -> float:
        return self.drawn


def test_a_model_takes_the_same_for_every_token() -> None:
    assert (Modelled(0.5).share(10), Modelled(0.5).source, Modelled().share(10)) == (5.0, ESTIMATED, 0.0)


def test_what_is_drawn_at_rest_is_nobodys() -> None:
    meter = Meter()
    energy, spent = Measured(meter), Spent()
    meter.drawn += 1_000
    with energy.working(spent):
        meter.drawn += 30
        spent.completion = 3
    meter.drawn += 1_000
    assert energy.share(3) == 30
    assert energy.share(3) == 0


def test_orders_side_by_side_share_by_their_tokens_and_together_take_all() -> None:
    meter, one, two = Meter(), Spent(), Spent()
    energy = Measured(meter)
    with energy.working(two):
        with energy.working(one):
            meter.drawn += 40
            one.prompt, one.completion, two.completion = 10, 20, 10
        first = energy.share(30)
        meter.drawn += 6
        two.completion = 20
    assert (first, energy.share(20)) == (30.0, 16.0)


def test_an_order_that_handled_nothing_leaves_its_joules_to_the_next() -> None:
    meter, energy = Meter(), None
    energy = Measured(meter)
    with energy.working(Spent()):
        meter.drawn += 5
    assert energy.share(0) == 0
    with energy.working(Spent()):
        meter.drawn += 1
    assert energy.share(4) == 6


def test_a_sum_is_measured_only_if_all_of_it_is() -> None:
    estimate, measure = Usage(joules=1.0), Usage(joules=2.0, energy=MEASURED)
    assert (estimate + measure).energy is ESTIMATED
    assert (measure + estimate).energy is ESTIMATED
    assert (measure + measure).energy is MEASURED
    assert (Usage() + measure).energy is MEASURED
    assert (measure + Usage(calls=1)).energy is MEASURED
    assert (measure + measure).since(measure) == measure


class Drawing(Toy):
    """Draws two joules with every token it writes."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(pace=0.0005)
        self.meter = meter

    async def _write(self, call, spent, index):
        sample = await super()._write(call, spent, index)
        self.meter.drawn += 2.0 * sample.completion_tokens
        return sample


async def test_the_receipt_has_the_joules_of_the_meter_also_of_cancelled_samples() -> None:
    meter, bill = Meter(), Bill()
    pool = Pool(backend=Drawing(meter), energy=Measured(meter))
    executor = LocalExecutor(pools={"toy": pool})
    both = [executor.execute(a_query(f"3 1 4 {digit}"), a_plan("short_m_at_k", k=6, m=2), Evidence(), Budget(), bill) for digit in range(2)]
    outcomes = await asyncio.gather(*both)
    assert bill.usage.cancelled_tokens > 0
    assert sum(one.usage.joules for one in outcomes) == pytest.approx(meter.drawn - 100)
    assert {one.usage.energy for one in outcomes} == {MEASURED} == {bill.usage.energy}


def test_without_a_gpu_there_is_an_estimate_and_a_warning() -> None:
    """Here for real: the library is installed, and finds no driver."""
    assert measured(()) is None
    with capture_logs() as logs:
        assert measured((0,)) is None
    assert [(line["event"], line["gpus"]) for line in logs] == [("energy_is_estimated", [0])]
    assert "NVML" in logs[0]["error"]
