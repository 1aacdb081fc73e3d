"""Whole fleets, simulated: what they answer, refuse, spend and learn, and what is said of it."""

from dataclasses import replace
from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console

from router.simulation.command import scenarios
from router.simulation.measured import Episode, Purchase, Step, Traffic
from router.simulation.report import first, show, words
from router.simulation.run import buildable, once, simulated
from router.simulation.scenario import EngineSettings, Outage, RedisSettings, RouterSettings, Scenario, scenario
from router.simulation.shape import bears, shape


def a_traffic(cost: int = 100, tokens: int = 20, ceiling: int = 1_000, reports: float = 0.0) -> Traffic:
    """Requests that buy `dear` once, and might have bought `cheap`, which is worth a little less and a tenth as long."""
    dear = Purchase("dear", "large", ((tokens,),), 0.0, cost, 0.1)
    cheap = Purchase("cheap", "small", ((max(1, tokens // 10),),), 0.0, cost // 10, 0.1)
    choices = (("abstain", 0.0, 0.0), ("dear", 1_000.0, float(cost)), ("cheap", 990.0, cost / 10))
    return Traffic(
        episodes=(Episode((Step(dear, choices),)),),
        by_plan={"dear": (dear,), "cheap": (cheap,)},
        pools=("large", "small"),
        pool_of={"dear": "large", "cheap": "small"},
        ceilings={"dear": ceiling, "cheap": ceiling // 10},
        gaps=(1.0,),
        rate=1.0,
        reports=reports,
    )


# One step of 10 ms however many are in it, 16 at once: 20 tokens take 0.2 s, and a GPU bears 80 requests a second.
ENGINE = EngineSettings(step=0.01, sequence=0.0, prompt=0.0, slots=16)
QUICK = RouterSettings(call=200.0, stage=200.0, report=0.0)
PLAIN = Scenario(name="plain", rate=20.0, engine=ENGINE, router=QUICK, small=0.0, tenants=1)


def test_a_light_load_is_answered_as_fast_as_its_parts_are() -> None:
    found = once(PLAIN, a_traffic(), 0, seconds=20)
    assert found["answered_per_second"] == pytest.approx(20, rel=0.15)
    assert found["refused"] == 0
    assert 0.2 < found["p50"] < 0.22
    assert found["cost"] == 100


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert once(PLAIN, a_traffic(), 3, seconds=5) == once(PLAIN, a_traffic(), 3, seconds=5) != once(PLAIN, a_traffic(), 4, seconds=5)


def test_too_much_for_the_gpus_makes_their_plans_dearer_then_is_refused() -> None:
    found = once(PLAIN.model_copy(update={"rate": 100.0}), a_traffic(), 0, seconds=20)
    assert found["moved"] > 0.1
    assert found["answered_per_second"] == pytest.approx(100, rel=0.1)  # cheaper plans are bought, so nobody is refused
    (step,) = a_traffic().episodes[0].steps
    blind = replace(a_traffic(), episodes=(Episode((replace(step, choices=()),)),))
    found = once(PLAIN.model_copy(update={"rate": 200.0}), blind, 0, seconds=20)
    assert found["refused, OVERLOADED"] > 0.3
    assert found["answered_per_second"] == pytest.approx(80, rel=0.1)


def test_no_budget_is_passed_while_redis_is_there() -> None:
    few = PLAIN.model_copy(update={"small": 0.3, "left": 0.4})
    found = once(few, a_traffic(), 0, seconds=20)
    assert found["overspent"] == 0
    assert found["refused, BUDGET_EXHAUSTED"] > 0  # towards the end what still fits is bought, and then nothing fits
    assert found["cost"] < 80


def test_while_redis_is_away_routers_grant_on_their_own_and_no_more_than_their_allowance() -> None:
    away = PLAIN.model_copy(update={"small": 0.3, "left": 0.1, "outage": Outage(begin=2.0, seconds=30.0)})
    found = once(away, a_traffic(cost=50_000, ceiling=60_000), 0, seconds=20)
    assert found["degraded"] > 0.9
    assert 0 < found["overspent_dollars"] < 10.0  # of the one router there is
    assert once(away.model_copy(update={"outage": None}), a_traffic(cost=50_000, ceiling=60_000), 0, seconds=20)["overspent_dollars"] == 0


def test_a_redis_that_is_too_slow_is_left_alone() -> None:
    slow = PLAIN.model_copy(update={"rate": 60.0, "redis": RedisSettings(reserve=20_000.0, settle=20_000.0)})
    assert first(_told(slow)) == "Redis"
    found = once(slow, a_traffic(), 0, seconds=20)
    assert found["busy, Redis"] > 0.9
    assert found["degraded"] > 0.1
    assert found["answered_per_second"] == pytest.approx(60, rel=0.15)


def test_learning_falls_behind_where_rows_come_faster_than_they_are_folded() -> None:
    learning = PLAIN.model_copy(update={"learning": True})
    learned = [
        once(
            learning.model_copy(update={"router": RouterSettings(call=200, stage=200, fold=fold)}),
            a_traffic(reports=1.0),
            0,
            seconds=20,
        )
        for fold in (10.0, 14_000.0)
    ]
    quick, slow = (one["lag"] for one in learned)
    assert quick < 2
    assert slow > 4


def test_a_slice_does_what_the_whole_does() -> None:
    """A hundred GPUs of which a few are simulated, beside a tenth of the requests to ten, all of which are."""
    light = RedisSettings(reserve=7, settle=6, look=3, keep=4, row=4)
    one = PLAIN.model_copy(update={"gpus": 10, "rate": 500.0, "gpus_per_worker": 1, "routers": 4, "redis": light})
    many = one.model_copy(update={"gpus": 100, "rate": 5_000.0, "routers": 40})
    assert shape(one, a_traffic()).share == 1 > shape(many, a_traffic()).share
    whole, part = (once(of, a_traffic(), 0, seconds=10) for of in (one, many))
    assert part["answered_per_second"] == pytest.approx(10 * whole["answered_per_second"], rel=0.1)
    assert part["p99"] == pytest.approx(whole["p99"], rel=0.35)
    assert part["busy, routers"] == pytest.approx(whole["busy, routers"], rel=0.25)


def test_what_each_part_bears_is_its_share_of_what_a_request_takes() -> None:
    borne = bears(PLAIN, a_traffic())
    assert borne["GPUs"] == pytest.approx(80)
    assert borne["routers"] == pytest.approx((1 - 4 * 250e-6) / 400e-6)
    assert borne["Redis"] == pytest.approx(1 / (30 + 60 + 2 * 50 + 45 + 2 * 35) * 1e6, rel=0.01)


@pytest.mark.parametrize("learning", [False, True])
def test_what_may_be_built_bears_what_it_is_asked(learning: bool) -> None:
    asked = [Scenario(gpus=gpus, learning=learning) for gpus in (1, 10, 100, 1_000)]
    built = [buildable(one, a_traffic(tokens=200)) for one in asked]
    for one in built:
        assert all(most >= one.asked for most in bears(one, a_traffic(tokens=200)).values())
    assert built[0].cells == 1 < built[-1].cells
    assert all(few.cells <= more.cells for few, more in pairwise(built))


def test_the_report_says_what_is_used_up_and_what_helps() -> None:
    out = StringIO()
    plans = [PLAIN, PLAIN.model_copy(update={"name": "busy", "rate": 300.0})]
    done = []
    fleets = simulated(plans, a_traffic(), seed=0, seeds=2, requests=500, progress=lambda *steps: done.append(steps))
    assert done[-1] == (4, 4)
    show({"fleets": fleets, "remarks": ["a remark"]}, Console(file=out, width=250))
    assert "nothing is used up" in " ".join(words(fleets[0]))
    assert "GPUs first, at 80" in out.getvalue()
    assert "What helps: 4.7 times the GPUs" in out.getvalue()
    assert "a remark" in out.getvalue()


def test_scenarios_are_numbers_or_a_file(tmp_path) -> None:
    assert [one.gpus for one in scenarios("1,1000")] == [1, 1_000]
    file = tmp_path / "hall.yaml"
    file.write_text("gpus: 16\npools: {large: {step: 0.02, slots: 64}}\nredis: {reserve: 30}\n")
    (found,) = scenarios(str(file))
    assert (found.name, found.of("large").slots, found.of("small").slots, found.redis.reserve) == ("hall", 64, 256, 30)
    file.write_text("gpu: 16\n")
    with pytest.raises(ValueError, match="gpu"):
        scenario(file)
    with pytest.raises(ValueError, match="numbers of GPUs"):
        scenarios("many")


def _told(one: Scenario) -> dict:
    return {"bears": bears(one, a_traffic())}
