"""What outcomes say of the forecasts' errors, against the same model solved as one dense system, and in small worlds."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal

from policies import policies
from policies.hierarchy import Solved
from policies.posterior import correct, fit
from policies.tally import Tally, log_odds, paid, row, told
from router.types import Evidence, Forecast, Knobs, Plan, Prediction

PLANS = tuple(Plan(id=name, pool=name, strategy="direct") for name in ("a", "b", "c"))
NAMES = tuple(plan.id for plan in PLANS)
NOISE, SHARED, OWN = 0.2, np.array([0.1, 0.05, 0.02]), np.array([0.04, 0.03, 0.01])


def observed(rng, count=30, width=3):
    """Rows (n, d), residuals (n,) and the place of the plan (n,) of outcomes of three plans."""
    return rng.normal(size=(count, width)), rng.normal(size=count), rng.integers(3, size=count)


def one_more(x, residual, forecast=0.3):
    """A tally of one outcome that was better than forecast by `residual`."""
    z = np.array([*x, forecast + residual, forecast])
    return Tally(z[:, None] * z, np.zeros((2, 2)))


def tallied(x, residual, plan):
    tallies = [Tally.empty(x.shape[1], 0) for _ in range(3)]
    for one, r, place in zip(x, residual, plan, strict=True):
        tallies[place] = tallies[place].plus(one_more(one, r))
    return tallies


def dense(x, residual, plan, shared, own):
    """Mean (k, d), covariance (k, d, d) and log-likelihood with the outcomes as one Gaussian vector, theta_0 integrated out by hand."""
    width = x.shape[1]
    design = np.zeros((len(x), 3 * width))
    for index, place in enumerate(plan):
        design[index, place * width : (place + 1) * width] = x[index]
    prior = np.kron(np.ones((3, 3)), np.diag(shared)) + np.kron(np.eye(3), np.diag(own))
    total = design @ prior @ design.T + NOISE * np.eye(len(x))
    gain = prior @ design.T @ np.linalg.inv(total)
    covariance = prior - gain @ design @ prior
    blocks = np.stack([covariance[at : at + width, at : at + width] for at in range(0, 3 * width, width)])
    return (gain @ residual).reshape(3, width), blocks, multivariate_normal(np.zeros(len(x)), total).logpdf(residual)


def test_it_is_the_dense_solution():
    x, residual, plan = observed(np.random.default_rng(3))
    mean, covariance = Solved.of(tallied(x, residual, plan), NOISE, SHARED[None], OWN[None]).moments()
    wanted_mean, wanted_covariance, _ = dense(x, residual, plan, SHARED, OWN)
    assert mean == pytest.approx(wanted_mean)
    assert covariance == pytest.approx(wanted_covariance)


def test_scales_are_compared_by_their_likelihood():
    x, residual, plan = observed(np.random.default_rng(4))
    scales = [(SHARED, OWN), (SHARED * 9, OWN), (SHARED, OWN * 5)]
    shared, own = (np.stack(one) for one in zip(*scales, strict=True))
    solved = Solved.of(tallied(x, residual, plan), NOISE, shared, own)
    told = solved.likelihood.tolist()
    wanted = [dense(x, residual, plan, *pair)[2] for pair in scales]
    assert [right - left for left, right in pairwise(told)] == pytest.approx([right - left for left, right in pairwise(wanted)])
    assert solved.chance == pytest.approx(softmax(wanted))


def test_draws_have_the_moments():
    """Over three pairs of scales, of which the outcomes are thought to come."""
    scales = np.array([[1.0], [9.0], [0.2]])
    solved = Solved.of(tallied(*observed(np.random.default_rng(5))), NOISE, scales * SHARED, scales[::-1] * OWN)
    mean, covariance = solved.moments()
    drawn = solved.draws(np.random.default_rng(0), 40_000)
    assert min(solved.chance) > 0.01
    assert drawn.mean(axis=1) == pytest.approx(mean, abs=1e-4)  # they come in pairs about each scale's
    for place in range(3):
        assert np.cov(drawn[place].T) == pytest.approx(covariance[place], abs=0.002)


def test_tallies_are_sums_over_outcomes():
    x, residual, _ = observed(np.random.default_rng(6))
    whole = tallied(x, residual, np.zeros(len(x), int))[0].times(0.5)
    assert whole.gram == pytest.approx(x.T @ x / 2)
    assert whole.moment == pytest.approx(residual @ x / 2)
    assert whole.square == pytest.approx(residual @ residual / 2)


def test_what_was_told_is_the_row_and_then_what_came_of_it():
    for success in (0.0, 0.3, 1.0):
        assert row((0.25, -0.5), success) == pytest.approx((1.0, log_odds(np.array([success]))[0], 0.25, -0.5))
        assert told((0.25, -0.5), success, 1.0) == pytest.approx([*row((0.25, -0.5), success), 1.0, success])


def forecast(plan, success, cost=10.0):
    return Forecast(plan=plan, success=success, low=success - 0.1, high=min(1.0, success + 0.1), tokens=1.0, cost=cost, seconds=1.0)


def predicted(context=(), success=(0.5, 0.5, 0.5), version="v"):
    forecasts = tuple(forecast(plan, one) for plan, one in zip(NAMES, success, strict=True))
    return Prediction(in_hand=0.0, forecasts=forecasts, version=version, context=np.array(context, np.float32))


def experience(truth, count=600, *, seed=0, width=1, success=(0.5, 0.5, 0.5), cost=lambda context: 20.0):
    """The posterior after so many outcomes of plans drawn evenly, right with probability `truth(plan, context)`; 10 were forecast to be paid."""
    rng = np.random.default_rng(seed)
    tallies = {name: Tally.empty(2 + width, width) for name in NAMES}
    for _ in range(count):
        context, place = rng.normal(size=width), int(rng.integers(3))
        right = rng.random() < truth(NAMES[place], context)
        z = told(context, success[place], right)
        u = paid(context, cost(context), 10.0)
        tallies[NAMES[place]] = tallies[NAMES[place]].plus(Tally(z[:, None] * z, u[:, None] * u))
    return fit("v", tallies)


def test_the_version_names_the_content():
    first, second, other = (experience(lambda plan, context, rate=rate: rate) for rate in (0.7, 0.7, 0.6))
    assert first.version == second.version != other.version
    assert first.after(other).version == second.after(other).version != first.version


def test_it_learns_what_the_forecasts_get_wrong():
    """All are forecast at .5; in truth they are right .2, .5 and .8 of the time, and cost twice what was forecast."""
    truth = {"a": 0.2, "b": 0.5, "c": 0.8}
    found = correct(experience(lambda plan, _: truth[plan]), predicted([0.0]))
    assert found.success == pytest.approx(list(truth.values()), abs=0.08)
    assert np.all(found.spread() < 0.06)
    assert found.cost == pytest.approx([20.0] * 3, rel=0.05)


def test_it_learns_what_plans_cost_by_context():
    """Forecast at 10, they cost 10 + 5 x, and never less than a tenth or more than ten times what was forecast."""
    posterior = experience(lambda plan, _: 0.5, cost=lambda x: 10 + 5 * float(x[0]))
    for at, cost in ((1.0, 15.0), (-1.0, 5.0), (-9.0, 1.0), (99.0, 100.0)):
        assert correct(posterior, predicted([at])).cost == pytest.approx([cost] * 3, rel=0.15)


def test_it_learns_for_whom():
    """Plan a is right where the context is positive, plan b where it is negative, plan c half of the time."""
    posterior = experience(lambda plan, x: {"a": x[0] > 0, "b": x[0] < 0, "c": 0.5}[plan], count=900)
    for at, best in ((1.0, "a"), (-1.0, "b")):
        found = correct(posterior, predicted([at]))
        assert NAMES[int(found.success.argmax())] == best


def test_a_plan_with_few_outcomes_learns_from_the_others():
    """Two plans turn out .3 worse than forecast many times; a third, seen three times, is believed to be worse too."""
    tallies = {name: one_more(row((), 0.7), -0.3).times(count) for name, count in zip(NAMES, (300, 300, 3), strict=True)}
    found = correct(fit("v", tallies), predicted(success=(0.7, 0.7, 0.7)))
    assert 0.4 <= found.success[2] < 0.55
    assert found.spread()[2] > found.spread()[0]


@pytest.mark.parametrize("prediction", [predicted([0.0], version="another"), predicted([0.0])], ids=["of another version", "no posterior"])
def test_forecasts_of_another_version_are_left_alone(prediction):
    posterior = experience(lambda plan, _: 0.9) if prediction.version == "another" else None
    found = correct(posterior, prediction)
    assert found.success.tolist() == [0.5] * 3
    assert found.cost.tolist() == [10.0] * 3


def test_forecasts_are_corrected_by_the_posterior_of_their_own_version():
    better, worse = experience(lambda plan, _: 0.9), replace(experience(lambda plan, _: 0.1), predictor="w")
    both = better.after(worse)
    assert np.all(correct(both, predicted([0.0])).success > 0.8)
    assert np.all(correct(both, predicted([0.0], version="w")).success < 0.2)


def test_a_plan_without_outcomes_is_believed_to_be_forecast_as_the_others_are():
    """All others were right .2 more often than forecast; of a new one that is likely too, but far from sure."""
    posterior = experience(lambda plan, _: 0.7)
    prediction = replace(predicted([0.0]), forecasts=(forecast("new", 0.5), *predicted().forecasts[1:]))
    found = correct(posterior, prediction)
    assert found.success[1:] == pytest.approx([0.7] * 2, abs=0.08)
    assert 0.55 < found.success[0] < 0.7
    assert found.spread()[0] > 0.2 > 4 * found.spread()[1]


@pytest.mark.parametrize("name", ["thompson", "linucb"])
def test_a_plan_that_is_forecast_badly_among_good_forecasts_is_found_out(name):
    """Two plans are right as often as forecast, 600 times; a third one was right three times and forecast at .5."""
    tallies = {plan: one_more(row((), 0.6), 0.0).times(300) for plan in ("a", "b")} | {"c": one_more(row((), 0.5), 0.5).times(3)}
    policy = policies.build(name).after(fit("v", tallies))
    assert policy.weigh(predicted(success=(0.6, 0.6, 0.5)), Evidence(), PLANS, Knobs(value=1_000.0)).chances["c"] > 0.5


def test_served_numbers_are_those_of_the_model():
    """Mean, spread and draws of the corrections as the matrices say, in an order of the plans that is not the posterior's."""
    rng, success, names = np.random.default_rng(0), (0.3, 0.9, 0.6, 0.5), ("c", "a", "new", "b")
    posterior = experience(lambda plan, x: {"a": 0.4, "b": 0.5, "c": 0.6}[plan] + 0.1 * np.tanh(x[0]), width=4)
    context = rng.normal(size=4)
    forecasts = tuple(forecast(plan, one) for plan, one in zip(names, success, strict=True))
    found = correct(posterior, Prediction(in_hand=0.0, forecasts=forecasts, version="v", context=context.astype(np.float32)))
    drawn = found.draws(0.5)
    for place, (name, one) in enumerate(zip(names, success, strict=True)):
        at, x = posterior.plans.index("" if name == "new" else name), np.array(row(tuple(context), one))
        assert found.success[place] == pytest.approx(np.clip(one + posterior.mean[at] @ x, 0, 1), abs=1e-5)
        assert found.spread()[place] == pytest.approx(np.sqrt(x @ posterior.covariance[at] @ x), rel=1e-3)
        width = 0.5 + 0.5 * 5 / (5 + posterior.count[at])  # all of it for a plan of which little is known
        theta = posterior.mean[at] + width * (posterior.samples[at] - posterior.mean[at])
        assert drawn[place] == pytest.approx(np.clip(one + theta @ x, 0, 1), abs=1e-5)


def test_rows_do_not_run_away_where_a_forecast_is_sure():
    assert log_odds(np.array([0.0, 1.0])) == pytest.approx([-1.0, 1.0], abs=0.01)


@pytest.mark.parametrize("name", ["linucb", "thompson", "epsilon"])
def test_experience_moves_the_choice(name):
    """Forecast alike and priced alike, plan c is in truth the best: all but the explored share goes to it."""
    posterior = experience(lambda plan, _: {"a": 0.2, "b": 0.5, "c": 0.8}[plan])
    knobs, prediction = Knobs(value=1_000.0, exploration=0.0), predicted([0.0])
    before, after = policies.build(name), policies.build(name).after(posterior)
    assert after.weigh(prediction, Evidence(), PLANS, knobs).chances["c"] > 0.95
    assert before.weigh(prediction, Evidence(), PLANS, knobs).chances.get("c", 0.0) < 0.6
    assert before.version != after.version


def test_thompson_takes_each_as_often_as_it_is_best():
    """With nothing learned three plans forecast alike are each the best a third of the time, to what 128 draws can tell."""
    chances = policies.build("thompson").weigh(predicted(), Evidence(), PLANS, Knobs(value=1_000.0)).chances
    assert [chances[name] for name in NAMES] == pytest.approx([1 / 3] * 3, abs=3 * np.sqrt(2 / 9 / 128))


def test_optimism_takes_the_plan_that_is_less_known():
    wide = replace(predicted(), forecasts=(forecast("a", 0.5), forecast("b", 0.5)._replace(low=0.0, high=1.0), forecast("c", 0.5)))
    assert policies.build("linucb").weigh(wide, Evidence(), PLANS, Knobs(value=1_000.0)).preferred == "b"
    assert policies.build("linucb", {"alpha": 0.0}).weigh(wide, Evidence(), PLANS, Knobs(value=1_000.0)).preferred == "a"
