"""A plan that breaks, one that becomes better, and those that stay what they are."""

import numpy as np
import pytest

from policies import policies
from policies.change import FALSE_ALARM, change
from policies.learner import FLEET, Learner
from policies.page import Outcome, Strand
from policies.sources import USUAL, ear
from policies.tally import told
from router.types import Evidence, Forecast, Knobs, Plan, Prediction, Record

EARS = {source: ear(source, np.zeros((2, 2))) for source in USUAL}


def test_the_ratio_is_that_of_two_gaussians_against_one():
    """With outcomes of variance 1/4: twice the drop in squared error, and found where it drops most."""
    values = np.array([1.0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] + [0.0] * 14 + [1.0, 0.0])
    errors = [((values[:at] - values[:at].mean()) ** 2).sum() + ((values[at:] - values[at:].mean()) ** 2).sum() for at in range(1, len(values))]
    assert change(values, np.ones(len(values))) == 1 + int(np.argmin(errors)) == 16
    bar = np.log(3 * len(values) ** 1.5 / FALSE_ALARM)
    apart = ((values - values.mean()) ** 2).sum() - min(errors)
    shrunk = np.sqrt(bar / (2 * apart))
    assert change(values * shrunk * 1.001, np.ones(len(values)))
    assert not change(values * shrunk * 0.999, np.ones(len(values)))


def test_what_counts_less_says_less():
    values = np.array([1.0] * 20 + [0.0] * 20)
    assert change(values, np.ones(40)) == 20
    assert not change(values, np.full(40, 0.5))


def an_outcome(rng, right, forecast, source="unit_test"):
    return Outcome(told(tuple(rng.normal(size=2)), forecast, float(rng.random() < right)), source, 0.0, 0)


def looks(rng, rights, forecast, strand=None):
    """How many outcomes it took until a change was noticed, or None."""
    strand = strand or Strand(4)
    for number, right in enumerate(rights, 1):
        strand.add(an_outcome(rng, right, forecast))
        if strand.changed(EARS, lambda _: 1.0):
            return number
    return None


@pytest.mark.parametrize(("right", "forecast"), [(0.5, 0.5), (0.9, 0.9), (0.95, 0.05)], ids=["unsure", "sure", "badly forecast"])
def test_a_plan_that_stays_what_it_is_is_left_alone(right, forecast):
    """Fewer than one in a hundred are thought to have changed within 2,000 outcomes."""
    rng = np.random.default_rng(1)
    assert sum(looks(rng, [right] * 2_000, forecast) is not None for _ in range(15)) == 0


def test_other_queries_than_before_are_no_change():
    """Right for half of the contexts; after 300 outcomes only those are asked."""
    rng, strand = np.random.default_rng(2), Strand(4)
    for number in range(900):
        context = rng.normal(size=2)
        context[0] = np.abs(context[0]) if number >= 300 else context[0]
        strand.add(Outcome(told(tuple(context), 0.5, float(rng.random() < 1 / (1 + np.exp(-3 * context[0])))), "unit_test", 0.0, 0))
        assert not strand.changed(EARS, lambda _: 1.0)


@pytest.mark.parametrize(("before", "after", "most"), [(0.9, 0.05, 16), (0.8, 0.2, 40), (0.2, 0.9, 32)])
@pytest.mark.parametrize("count", [100, 3_000])
def test_a_change_is_noticed_within_so_many_outcomes(before, after, most, count):
    taken, kept = [], []
    for seed in range(7):
        rng, strand = np.random.default_rng(seed), Strand(4)
        assert looks(rng, [before] * count, 0.7, strand) is None
        taken.append(looks(rng, [after] * 200, 0.7, strand))
        believed = strand.tally(EARS)
        kept.append(believed.weight - taken[-1])
        assert 0.7 + believed.moment[0] / believed.weight == pytest.approx(after, abs=0.4)
    assert np.median(taken) <= most
    assert np.median(kept) < 8


NAMES = tuple("abcdefghij")
PLANS = tuple(Plan(id=name, pool=name, strategy="direct") for name in NAMES)


class World:
    """Ten plans forecast as they are, until somebody changes `right`; outcomes are rated at once, posteriors made now and then."""

    def __init__(self, seed: int, exploration: float) -> None:
        self.rng, self.learner, self.policy = np.random.default_rng(seed), Learner(), policies.build("thompson")
        self.right = np.append(np.linspace(0.4, 0.7, len(NAMES) - 1), 0.85)
        self.forecast, self.knobs, self.count = self.right.copy(), Knobs(value=1_000.0, exploration=exploration), 0

    def serve(self, queries: int) -> float:
        """The share that goes to the last plan."""
        return float(np.mean([self._one() for _ in range(queries)]))

    def _one(self) -> float:
        self.count += 1
        success = np.clip(self.forecast + self.rng.normal(scale=0.05, size=len(NAMES)), 0.02, 0.98)
        forecasts = tuple(
            Forecast(plan=name, success=one, low=one - 0.1, high=one + 0.1, tokens=1.0, cost=10.0, seconds=1.0)
            for name, one in zip(NAMES, success.tolist(), strict=True)
        )
        context = self.rng.normal(size=4).astype(np.float32)
        choices = self.policy.weigh(Prediction(in_hand=0.0, forecasts=forecasts, version="v", context=context), Evidence(), PLANS, self.knobs)
        plan = choices.draw(self.rng).plan
        known = {"decision_id": str(self.count), "tenant": "t", "at": float(self.count)}
        bought = {"action": "buy", "plan": plan, "offered": NAMES, "success": tuple(success), "costs": (10.0,) * len(NAMES), "cost": 10}
        right = float(self.rng.random() < self.right[NAMES.index(plan)] + success[NAMES.index(plan)] - self.forecast[NAMES.index(plan)])
        self.learner.fold(Record(id="p", kind="stage", predictor="v", context=tuple(context.tolist()), **known, **bought))
        self.learner.fold(Record(id="r", kind="reward", stage=0, reward=right, reward_source="unit_test", **known))
        if self.count % 10 == 0:
            self.policy = self.policy.after(self.learner.posteriors()[FLEET])
        return choices.chances.get(NAMES[-1], 0.0)


@pytest.mark.parametrize(("before", "seed"), [(300, 0), (4_500, 2)])
def test_thompson_leaves_a_plan_that_breaks_within_two_hundred_queries(before, seed):
    world = World(seed, exploration=0.02)
    assert world.serve(before) > 0.3
    world.right[-1] = 0.02
    world.serve(200)
    assert world.serve(100) < 0.05
    assert world.learner.changes == {("t", NAMES[-1]): 1}


def test_a_plan_that_recovers_comes_back():
    """As fast as it is explored: some ten right answers are enough."""
    world = World(0, exploration=0.3)
    world.serve(300)
    world.right[-1] = 0.02
    world.serve(200)
    assert world.serve(50) < 0.05
    world.right[-1] = 0.95
    world.serve(800)
    assert world.serve(50) > 0.5
