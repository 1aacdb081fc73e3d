"""Off-policy evaluation: by hand where the log is small, in exact expectation over all that can happen, and by counting how often intervals hold."""

import math
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest

from policies.evaluation import (
    Interval,
    Support,
    Trajectories,
    Trials,
    difference,
    dr,
    estimate,
    ips,
    overlap,
    pdis,
    sequence,
    sequential_dr,
    snips,
    switch_dr,
    wdr,
    wpdis,
)
from router.errors import InvalidQuery, NoSupport

NORMAL, LAX = Interval(kind="normal"), Support(effective=0, unlogged=1)
SINGLE, SEQUENTIAL = (ips, snips, dr, switch_dr), (pdis, wpdis, sequential_dr, wdr)
HAND = Trials(
    action=np.array([0, 1, 1, 0]),
    propensity=np.array([0.5, 0.5, 0.25, 0.75]),
    reward=np.array([1.0, 0, 0.5, 0]),
    target=np.array([[0.5, 0.5], [0, 1], [0.5, 0.5], [0.75, 0.25]]),
    model=np.array([[0.5, 0.5], [1, 0.5], [0, 0.5], [1, 0]]),
    bounds=(0.0, 1.0),
    least=0.25,
)  # ratios 1, 2, 2, 1; the model says .5, .5, .25, .75 of the policy, and is off by .5, -.5, 0, -1 on what was done


def judged(log, estimator, interval=NORMAL):
    return estimate(log, estimator, interval, LAX)


def value(log, estimator):
    return judged(log, estimator).value


def rows(log, pick):
    """The log on some of its rows, with repetition."""
    names = ("action", "propensity", "reward", "target", "mask", "model", "logging", "weight", "group")
    return replace(log, **{name: getattr(log, name)[pick] for name in names if getattr(log, name, None) is not None})


class World:
    """Queries of a few kinds, some arms, and a policy that acts with a share of chance; rewards are 0 or 1."""

    def __init__(self, seed, *, kinds=6, arms=3, share=0.5):
        rng = np.random.default_rng(seed)
        self.odds = rng.uniform(0.2, 0.9, (kinds, arms))
        self.acting = np.full((kinds, arms), share / arms)
        self.acting[np.arange(kinds), rng.integers(arms, size=kinds)] += 1 - share
        self.target, self.other = rng.dirichlet(np.ones(arms), size=(2, kinds))
        self.model = np.clip(self.odds + rng.normal(0, 0.1, self.odds.shape), 0, 1)
        self.value = float((self.target * self.odds).sum(1).mean())
        self.lead = self.value - float((self.other * self.odds).sum(1).mean())

    def log(self, count, rng):
        kind = rng.integers(len(self.odds), size=count)
        action = (rng.random((count, 1)) > self.acting[kind].cumsum(1)).sum(1).clip(max=self.odds.shape[1] - 1)
        return Trials(
            action=action,
            propensity=self.acting[kind, action],
            reward=(rng.random(count) < self.odds[kind, action]).astype(float),
            target=self.target[kind],
            model=self.model[kind],
            logging=self.acting[kind],
            bounds=(0.0, 1.0),
            least=float(self.acting.min()),
        ), kind


def random_log(seed, count=60):
    log, _ = World(seed).log(count, np.random.default_rng(seed))
    return log


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (ips, 2 / 4),
        (snips, 2 / 6),
        (dr, (1 - 0.5 + 0.25 - 0.25) / 4),
        (partial(switch_dr, tau=1.0), (1 + 0.5 + 0.25 - 0.25) / 4),
        (partial(switch_dr, tau=0.5), 2 / 4),
    ],
)
def test_values_by_hand(estimator, expected):
    assert value(HAND, estimator) == pytest.approx(expected)


def test_standard_errors_by_hand():
    """Of ips the deviations are 1/2 four times; of snips ratio times reward less 1/3 over the mean ratio 3/2."""
    assert judged(HAND, ips).error == pytest.approx(math.sqrt(4 * 0.25 / 3 / 4))
    assert judged(HAND, snips).error == pytest.approx(math.sqrt((4 / 9 + 4 / 9 + 1 / 9 + 1 / 9) / 1.5**2 / 3 / 4))
    half = 1.959964 * judged(HAND, ips).error
    assert (judged(HAND, ips).low, judged(HAND, ips).high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_the_empirical_bernstein_bound_by_hand():
    """A row of ips lies in [0, 4], one of dr in [1 - 4 ...]: the variance of ips' rows is 1/3, dr's range is 1 + 2 * 4."""
    doubt = math.log(4 / 0.05)
    found = judged(HAND, ips, Interval(kind="bernstein"))
    assert found.high - found.value == pytest.approx(math.sqrt(2 / 3 * doubt / 4) + 7 * 4 * doubt / 9)
    found, terms = judged(HAND, dr, Interval(kind="bernstein")), np.array([1, -0.5, 0.25, -0.25])
    assert found.value - found.low == pytest.approx(math.sqrt(2 * terms.var(ddof=1) * doubt / 4) + 7 * 9 * doubt / 9)


@pytest.mark.parametrize("estimator", [ips, dr])
def test_no_row_leaves_the_span(estimator):
    """Every corner: action, reward and model at their ends, a propensity at its least, a policy that is sure."""
    corners = np.array([*product([0, 1], [-1.0, 2.0], [-1.0, 2.0], [-1.0, 2.0])])
    log = Trials(
        action=corners[:, 0].astype(int),
        propensity=np.full(16, 0.1),
        reward=corners[:, 1],
        target=np.tile([1.0, 0.0], (16, 1)),
        model=corners[:, 2:],
        bounds=(-1.0, 2.0),
        least=0.1,
    )
    terms = estimator(log)
    assert (terms.numerator >= terms.span[0]).all()
    assert (terms.numerator <= terms.span[1]).all()
    assert np.ptp(terms.numerator) > 0.5 * np.ptp(terms.span)


def enumerated(estimator, believed, model):
    """The exact expectation over all logs of two decisions: kinds of query, actions and rewards, each with its probability."""
    chance_of = np.array([0.4, 0.6])
    one = [
        (chance_of[kind] * ACTING[kind, action] * (ODDS[kind, action] if reward else 1 - ODDS[kind, action]), kind, action, float(reward))
        for kind, action, reward in product(range(2), range(2), range(2))
    ]
    whole = 0.0
    for (p, *first), (q, *second) in product(one, one):
        kind, action, reward = (np.array(column) for column in zip(first, second, strict=True))
        log = Trials(action=action, propensity=believed[kind, action], reward=reward, target=TARGET[kind], model=model[kind])
        whole += p * q * value(log, estimator)
    return whole


ACTING, ODDS = np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([[0.3, 0.9], [0.6, 0.1]])
TARGET, ROUGH = np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([[0.9, 0.4], [0.2, 0.5]])
WRONG = np.array([[0.5, 0.4], [0.3, 0.6]])  # propensities that are not those of who acted
TRUTH = 0.4 * (0.5 * 0.3 + 0.5 * 0.9) + 0.6 * (0.1 * 0.6 + 0.9 * 0.1)


@pytest.mark.parametrize("estimator", [ips, dr, partial(switch_dr, tau=math.inf)])
def test_unbiased_with_right_propensities_and_any_model(estimator):
    assert enumerated(estimator, ACTING, ROUGH) == pytest.approx(TRUTH, abs=1e-12)


@pytest.mark.parametrize("estimator", [dr, partial(switch_dr, tau=0.0), partial(switch_dr, tau=1.0)])
def test_unbiased_with_the_right_model_and_wrong_propensities(estimator):
    assert enumerated(estimator, WRONG, ODDS) == pytest.approx(TRUTH, abs=1e-12)


def test_ips_is_biased_by_wrong_propensities_and_the_model_alone_by_a_wrong_model():
    assert abs(enumerated(ips, WRONG, ROUGH) - TRUTH) > 0.05
    assert abs(enumerated(partial(switch_dr, tau=0.0), ACTING, ROUGH) - TRUTH) > 0.05


def test_switching_never_and_always():
    log = random_log(1)
    assert value(log, partial(switch_dr, tau=0.0)) == pytest.approx(float((log.target * log.model).sum(1).mean()))
    never = judged(log, partial(switch_dr, tau=math.inf))
    assert (never.value, never.low, never.high) == (judged(log, dr).value, judged(log, dr).low, judged(log, dr).high)
    assert never.warnings == judged(log, dr).warnings


@pytest.mark.parametrize("kept", [True, False], ids=["chances kept", "propensities only"])
@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_has_the_least_bound_of_the_squared_error(seed, kept):
    log = random_log(seed)
    ratios, all_ratios = log.ratios, log.target / log.logging

    def bound(tau):
        left = [log.target[i] @ log.model[i] + (ratios[i] <= tau) * ratios[i] * (log.reward[i] - log.model[i, log.action[i]]) for i in range(60)]
        rare = [log.target[i] @ (all_ratios[i] > tau + 1e-12) if kept else ratios[i] * (ratios[i] > tau) for i in range(60)]
        return np.var(left) / 60 + np.mean(rare) ** 2

    found = judged(log if kept else replace(log, logging=None), switch_dr).figures
    assert bound(found["tau"]) <= min(bound(other) for other in (0, *ratios, math.inf)) * 1.001
    assert found["bias"] == found["modelled"]


def test_a_huge_ratio_is_left_to_the_model():
    """One row in 401 has ratio 200 and is a failure: it adds .06 to the variance; left out, it adds a bias of .1 at most, .01 of squared error."""
    log = Trials(
        action=np.append(np.zeros(400, int), 1),
        propensity=np.append(np.full(400, 0.9995), 0.0005),
        reward=np.append(np.tile([0.0, 1.0], 200), 0.0),
        target=np.tile([0.9, 0.1], (401, 1)),
        logging=np.tile([0.9995, 0.0005], (401, 1)),
        model=np.full((401, 2), 0.5),
    )
    found = judged(log, switch_dr)
    assert found.figures == {"tau": pytest.approx(0.9 / 0.9995), "modelled": pytest.approx(0.1), "bias": pytest.approx(0.1)}
    assert found.value == pytest.approx(0.5)
    assert any(told.startswith("the model alone speaks for 10.0% of the choices: up to 0.1 of bias") for told in found.warnings)
    assert judged(log, dr).value == pytest.approx(0.5 - 0.5 * 200 / 401)


@pytest.mark.parametrize("estimator", SINGLE)
def test_a_log_of_the_policy_itself_gives_the_plain_mean(estimator):
    log = random_log(2)
    own = replace(log, target=log.logging, model=np.full_like(log.target, 0.3))
    assert value(own, estimator) == pytest.approx(log.reward.mean())
    assert overlap(own).effective == pytest.approx(60)


@pytest.mark.parametrize("estimator", SINGLE)
def test_order_does_not_matter(estimator):
    log = random_log(3)
    mixed = rows(log, np.random.default_rng(0).permutation(60))
    for name in ("value", "low", "high", "effective"):
        assert getattr(judged(mixed, estimator), name) == pytest.approx(getattr(judged(log, estimator), name))


@pytest.mark.parametrize("kind", ["student", "normal", "percentile", "bca"])
@pytest.mark.parametrize("estimator", SINGLE)
def test_a_weight_is_so_many_copies_that_are_one_witness(estimator, kind):
    log = random_log(4)
    copies = np.random.default_rng(0).integers(1, 5, 60)
    weighted = judged(replace(log, weight=copies.astype(float)), estimator, Interval(kind=kind))
    repeated = rows(replace(log, group=np.arange(60)), np.repeat(np.arange(60), copies))
    same = judged(repeated, partial(switch_dr, tau=weighted.figures["tau"]) if estimator is switch_dr else estimator, Interval(kind=kind))
    for name in ("value", "low", "high", "effective"):
        assert getattr(weighted, name) == pytest.approx(getattr(same, name))


def test_copies_that_are_not_grouped_feign_certainty():
    """Four copies each: the interval of grouped rows is that of the single ones, without groups it is half as wide."""
    log = random_log(5)
    fourfold = rows(replace(log, group=np.arange(60)), np.tile(np.arange(60), 4))
    single, grouped, feigned = (judged(one, dr) for one in (log, fourfold, replace(fourfold, group=None)))
    assert (grouped.low, grouped.high) == (pytest.approx(single.low), pytest.approx(single.high))
    assert feigned.high - feigned.low == pytest.approx((single.high - single.low) / 2, rel=0.01)


def test_bca_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    log = random_log(6, 80)
    terms = log.ratios * log.reward
    found = judged(log, ips, Interval(kind="bca", resamples=20_000))
    expected = stats.bootstrap((terms,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)).confidence_interval
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=0.01), pytest.approx(expected.high, abs=0.01))
    plain = judged(log, ips, Interval(kind="percentile", resamples=20_000))
    assert found.low > plain.low + 0.01  # weights are skewed to the right
    assert found.high > plain.high + 0.01


def test_the_studentised_bootstrap_in_so_many_words():
    log, rng = random_log(6, 80), np.random.default_rng(1)
    drawn = []
    for _ in range(20_000):
        pick = rng.integers(80, size=80)
        ratios, reward = log.ratios[pick], log.reward[pick]
        mean = ratios @ reward / ratios.sum()
        drawn.append((mean, (ratios * (reward - mean) / ratios.mean()).std(ddof=1) / math.sqrt(80)))
    found = judged(log, snips, Interval(resamples=20_000))
    low, high = np.quantile([(mean - found.value) / error for mean, error in drawn], (0.025, 0.975))
    assert (found.low, found.high) == (
        pytest.approx(found.value - high * found.error, abs=0.01),
        pytest.approx(found.value - low * found.error, abs=0.01),
    )


def test_one_unit_says_nothing_about_others():
    found = judged(replace(HAND, group=np.zeros(4, int)), ips, Interval())
    assert (found.value, found.low, found.high) == (0.5, -math.inf, math.inf)


def test_a_paired_difference_knows_what_two_intervals_do_not():
    world = World(7)
    log, kind = world.log(400, np.random.default_rng(7))
    near = replace(log, target=0.95 * log.target + 0.05 * world.other[kind])
    lead, alone = difference(log, near, dr, NORMAL, LAX), judged(log, dr)
    assert lead.value == pytest.approx(alone.value - value(near, dr))
    assert lead.high - lead.low < (alone.high - alone.low) / 4
    itself = difference(log, log, snips, Interval(), LAX)
    assert (itself.value, itself.low, itself.high) == (0, 0, 0)


def test_a_difference_is_of_one_log():
    with pytest.raises(InvalidQuery, match="reward") as raised:
        difference(HAND, replace(HAND, reward=1 - HAND.reward), ips, NORMAL, LAX)
    assert raised.value.metadata == {"field": "reward"}
    with pytest.raises(InvalidQuery, match="group"):
        difference(HAND, replace(HAND, group=np.arange(4)), ips, NORMAL, LAX)


def test_overlap_by_hand():
    """Ratios 1, 2, 2, 1; of their 6 the two rows of propensities below .5 ... have 2."""
    found = overlap(HAND, floor=0.3)
    assert (found.units, found.largest, found.average, found.unlogged, found.missing) == (4, 2, 1.5, 0, ())
    assert found.effective == pytest.approx(36 / 10)
    assert found.dominant == pytest.approx(1 / 3)
    assert found.error == pytest.approx(math.sqrt(4 * 0.25) / 4)
    assert found.below == pytest.approx(2 / 6)


def test_overlap_where_all_chances_were_kept():
    kept = np.array([[0.5, 0.5, 0], [0.005, 0.5, 0.495]])
    log = Trials(
        action=np.array([0, 1]),
        propensity=np.array([0.5, 0.5]),
        reward=np.zeros(2),
        target=np.array([[0.2, 0.2, 0.6], [0.3, 0.3, 0.4]]),
        logging=kept,
    )
    assert (overlap(log).unlogged, overlap(log).missing, overlap(log).below) == (pytest.approx(0.3), (2,), pytest.approx(0.15))
    blind = overlap(replace(log, logging=None))
    assert (blind.unlogged, blind.missing, blind.below) == (pytest.approx(0.5), (2,), 0)


def test_an_action_that_was_never_logged_is_refused():
    log = random_log(8, 200)
    wider = replace(log, target=np.column_stack((0.8 * log.target, np.full(200, 0.2))), model=None, logging=None)
    with pytest.raises(NoSupport, match=r"20\.0% .* actions 3") as raised:
        estimate(wider, ips)
    assert raised.value.metadata["unlogged"] == "0.2000"
    assert estimate(wider, ips, support=Support(unlogged=0.25)).value < 1


def test_an_action_never_possible_where_it_would_be_taken_is_refused():
    """Both actions are in the log, but never where the policy would take them: ratios average far less than 1."""
    kind = np.arange(400) % 2
    sometimes = Trials(
        action=np.where(np.arange(400) % 4 < 2, kind, 0),
        propensity=np.where(kind, 0.5, 1.0),
        reward=np.ones(400),
        target=np.tile([0.0, 1.0], (400, 1)),
    )
    with pytest.raises(NoSupport, match=r"average 0\.500 and not 1: 50\.0%"):
        estimate(sometimes, snips)


def test_too_few_decisions_are_refused():
    with pytest.raises(NoSupport, match=r"worth 3\.6 decisions .* 30 are needed"):
        estimate(HAND, ips)
    with pytest.raises(NoSupport, match=r"4 are needed"):
        estimate(HAND, ips, support=Support(effective=4))
    assert estimate(HAND, ips, NORMAL, Support(effective=3.5)).effective == pytest.approx(3.6)


@pytest.mark.parametrize("estimator", [snips, wpdis])
def test_nothing_in_common_is_refused_whatever_is_asked(estimator):
    log = replace(HAND, target=np.eye(2)[1 - HAND.action])
    with pytest.raises(NoSupport, match="no logged decision"):
        value(log if estimator is snips else one_step(log), estimator)


def test_propensities_that_cannot_be_right_are_doubted():
    log = random_log(9, 400)
    assert estimate(log, ips).warnings == ()
    (told,) = estimate(replace(log, propensity=log.propensity / 2, logging=None, least=None), ips).warnings
    assert "not those of the policy that acted" in told.replace("may not be those", "not those")


def test_one_row_with_most_of_the_weight_is_told():
    log = random_log(10, 400)
    (told,) = judged(replace(log, weight=np.append(np.ones(399), 200.0)), dr).warnings
    assert told.startswith("one unit has")


BAD = [
    ("action", np.zeros(0, int)),
    ("action", np.zeros((2, 2), int)),
    ("action", np.array([0.0, 1, 1, 0])),
    ("action", np.array([0, 1, 2, 0])),
    ("action", np.array([0, 1, -1, 0])),
    ("propensity", np.array([0.5, 0.5, 0, 0.75])),
    ("propensity", np.array([0.5, 0.5, 1.1, 0.75])),
    ("propensity", np.array([0.5, 0.5, math.nan, 0.75])),
    ("propensity", np.ones(3)),
    ("reward", np.array([1, math.nan, 0, 0])),
    ("reward", np.array([1, math.inf, 0, 0])),
    ("reward", np.array([1, 1.5, 0, 0])),
    ("reward", np.ones(5)),
    ("target", np.full((4, 2), 0.4)),
    ("target", np.tile([1.5, -0.5], (4, 1))),
    ("target", np.full((4, 2), math.nan)),
    ("target", np.full((3, 2), 0.5)),
    ("model", np.full((4, 3), 0.5)),
    ("model", np.full((4, 2), math.nan)),
    ("model", np.full((4, 2), 1.5)),
    ("logging", np.full((4, 3), 1 / 3)),
    ("logging", np.full((4, 2), 0.5)),
    ("logging", np.full((4, 2), 0.6)),
    ("weight", np.array([1.0, 0, 1, 1])),
    ("weight", np.array([1.0, math.nan, 1, 1])),
    ("weight", np.ones(3)),
    ("group", np.ones(4)),
    ("group", np.ones(3, int)),
    ("bounds", (1.0, 0.0)),
    ("least", 0.3),
    ("least", 0.0),
]


@pytest.mark.parametrize(("field", "wrong"), BAD)
def test_what_is_not_in_order_is_named(field, wrong):
    with pytest.raises(InvalidQuery, match=f"^{field} ") as raised:
        replace(HAND, **{field: wrong})
    assert raised.value.metadata == {"field": field}


@pytest.mark.parametrize("mask", [np.ones((4, 1)), np.ones((4, 2), bool), np.zeros((4, 1), bool)])
def test_a_mask_is_one_flag_for_each_step_and_begins_with_one(mask):
    with pytest.raises(InvalidQuery, match="mask must"):
        replace(one_step(HAND), mask=mask)


def test_what_an_estimator_or_interval_lacks_is_named():
    bare = replace(HAND, model=None)
    for estimator, log in ((dr, bare), (switch_dr, bare), (sequential_dr, one_step(bare)), (wdr, one_step(bare))):
        with pytest.raises(InvalidQuery, match="model is needed"):
            value(log, estimator)
    for tau in (-1.0, math.nan):
        with pytest.raises(InvalidQuery, match="tau must"):
            switch_dr(HAND, tau)
    for log, estimator in (
        (HAND, snips),
        (replace(HAND, weight=np.ones(4)), ips),
        (replace(HAND, bounds=None), ips),
        (replace(HAND, least=None), dr),
    ):
        with pytest.raises(InvalidQuery, match="bernstein needs"):
            judged(log, estimator, Interval(kind="bernstein"))
    with pytest.raises(InvalidQuery, match="kind must"):
        Interval(kind="wald")
    with pytest.raises(InvalidQuery, match="level must"):
        Interval(level=95)


def one_step(log):
    """Trials as trajectories of one step."""
    fields = {name: getattr(log, name)[:, None] for name in ("action", "propensity", "reward", "target")}
    return Trajectories(**fields, mask=np.ones((len(log.action), 1), bool), model=None if log.model is None else log.model[:, None])


@pytest.mark.parametrize(("estimator", "single"), [(pdis, ips), (wpdis, snips), (sequential_dr, dr)])
def test_one_step_is_a_trial(estimator, single):
    log = random_log(11)
    found, expected = judged(one_step(log), estimator), judged(log, single)
    for name in ("value", "low", "high", "error", "effective"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))
    assert overlap(one_step(log)) == overlap(replace(log, logging=None))


def test_wdr_at_one_step_by_hand():
    """The model's 2/4, and corrections 1/2, -1, 0 and -1 over ratios that sum to 6."""
    assert value(one_step(HAND), wdr) == pytest.approx(2 / 4 - 1.5 / 6)


class Chain:
    """Two steps at most: a state of two, an action of two, a reward of 0 or 1; then the end with chance .3, or the other step."""

    first = np.array([0.4, 0.6])
    acting = np.array([[[0.3, 0.7], [0.6, 0.4]], [[0.8, 0.2], [0.5, 0.5]]])  # step, state, action
    target = np.array([[[0.5, 0.5], [0.1, 0.9]], [[0.4, 0.6], [0.9, 0.1]]])
    odds = np.array([[[0.3, 0.9], [0.6, 0.1]], [[0.7, 0.2], [0.5, 0.8]]])
    onward = np.array([[[0.5, 0.2, 0.3], [0.1, 0.6, 0.3]], [[0.3, 0.4, 0.3], [0.6, 0.1, 0.3]]])  # state, action: state 0, state 1, end

    @property
    def worth(self):
        """The right model: the sum of rewards from each step on, under the target."""
        later = self.odds[1]
        return np.stack((self.odds[0] + self.onward[:, :, :2] @ (self.target[1] * later).sum(1), later))

    @property
    def value(self):
        return float(self.first @ (self.target[0] * self.worth[0]).sum(1))

    def every(self, believed=None, model=None):
        """Every trajectory there is, with its probability as its weight; what stands after an end is nonsense."""
        believed, found = self.acting if believed is None else believed, []
        flip = lambda step, state, action, reward: self.odds[step, state, action] if reward else 1 - self.odds[step, state, action]  # noqa: E731
        for s, a, r, onto in product(range(2), range(2), range(2), range(3)):
            chance = self.first[s] * self.acting[0, s, a] * flip(0, s, a, r) * self.onward[s, a, onto]
            if onto == 2:
                found.append((chance, (s, -1), (a, -7), (r, math.nan), (True, False)))
                continue
            for b, q in product(range(2), range(2)):
                found.append((chance * self.acting[1, onto, b] * flip(1, onto, b, q), (s, onto), (a, b), (r, q), (True, True)))
        weight, state, action, reward, mask = (np.array(column) for column in zip(*found, strict=True))
        step, done = np.arange(2), np.where(mask, action, 0)
        chances, propensity = self.target[step, state], believed[step, state, done]
        return Trajectories(
            action=action,
            propensity=np.where(mask, propensity, math.nan),
            reward=reward.astype(float),
            target=np.where(mask[..., None], chances, math.nan),
            mask=mask,
            model=np.where(mask[..., None], (self.worth if model is None else model)[step, state], math.nan),
            weight=weight,
        )


OFF = np.array([[[0.9, 0.4], [0.2, 0.5]], [[0.1, 1.4], [0.7, 0.3]]])
STRANGE = np.array([[[0.5, 0.6], [0.4, 0.7]], [[0.6, 0.3], [0.2, 0.5]]])


@pytest.mark.parametrize("estimator", SEQUENTIAL)
def test_right_propensities_give_the_value_in_expectation(estimator):
    """Exactly: the estimate over every trajectory weighted by its probability, which is the expectation of a mean and the limit of a ratio."""
    chain = Chain()
    every = chain.every(model=OFF)
    assert every.weight.sum() == pytest.approx(1)
    assert value(every, estimator) == pytest.approx(chain.value, abs=1e-12)


@pytest.mark.parametrize("estimator", [sequential_dr, wdr])
def test_the_right_model_gives_the_value_with_wrong_propensities(estimator):
    chain = Chain()
    assert value(chain.every(believed=STRANGE), estimator) == pytest.approx(chain.value, abs=1e-12)
    assert abs(value(chain.every(believed=STRANGE), pdis) - chain.value) > 0.05


def test_sequences_by_hand():
    """Ratios 2 then 1/2 and rewards 1, 1; the second trajectory has ratio 1/2, reward 1, and ends."""
    log = Trajectories(
        action=np.array([[0, 1], [1, 0]]),
        propensity=np.array([[0.25, 0.8], [1.0, 0.1]]),
        reward=np.array([[1.0, 1.0], [1.0, 9.0]]),
        target=np.array([[[0.5, 0.5], [0.6, 0.4]], [[0.5, 0.5], [0.0, 0.0]]]),
        mask=np.array([[True, True], [True, False]]),
        model=np.array([[[1.0, 0.0], [0.5, 1.0]], [[0.0, 2.0], [9.0, 9.0]]]),
    )
    assert log.running.tolist() == [[2, 1], [0.5, 0.5]]
    assert value(log, pdis) == pytest.approx((2 + 1 + 0.5) / 2)
    assert value(log, wpdis) == pytest.approx(2.5 / 2.5 + 1 / 1.5)
    first, second = 0.5 + 2 * 0 + 2 * 0.7 + 1 * 0, 1 + 0.5 * (1 - 2)
    assert value(log, sequential_dr) == pytest.approx((first + second) / 2)
    assert value(log, wdr) == pytest.approx((0.5 + 1) / 2 + (0.5 * -1) / 2.5 + (2 * 0.7) / 2.5 + 0 / 1.5)


def test_the_policy_itself_over_steps_gives_the_mean_of_sums():
    every = Chain().every(believed=Chain.target)
    assert value(every, pdis) == pytest.approx(value(every, wpdis))
    assert value(every, pdis) == pytest.approx(float(every.weight @ np.where(every.mask, every.reward, 0).sum(1)))


EASY = World(1, kinds=8, share=0.6)


@pytest.fixture(scope="module")
def logs():
    rng = np.random.default_rng(12)
    return [EASY.log(200, rng) for _ in range(1_000)]


@pytest.mark.parametrize("estimator", SINGLE)
@pytest.mark.parametrize("kind", ["student", "normal", "percentile", "bca", "bernstein"])
def test_intervals_hold_as_often_as_they_say(logs, estimator, kind):
    """As far as 1,000 logs can tell, whose share has a standard error of .7 %; a bound for every size must not fall short at all."""
    if kind == "bernstein" and estimator not in {ips, dr}:
        pytest.skip("a ratio of means has no such bound")
    found = [judged(log, estimator, Interval(kind=kind, resamples=400, seed=seed)) for seed, (log, _) in enumerate(logs)]
    held = np.mean([one.low <= EASY.value <= one.high for one in found])
    assert held > 0.95 if kind == "bernstein" else 0.93 <= held <= 0.97


@pytest.mark.parametrize("estimator", SINGLE)
def test_intervals_of_differences_hold_as_often_as_they_say(logs, estimator):
    found = [
        difference(log, replace(log, target=EASY.other[kind]), estimator, Interval(resamples=400, seed=seed), LAX)
        for seed, (log, kind) in enumerate(logs)
    ]
    assert 0.93 <= np.mean([one.low <= EASY.lead <= one.high for one in found]) <= 0.97


@pytest.mark.parametrize("estimator", SEQUENTIAL)
def test_intervals_over_steps_hold_as_often_as_they_say(estimator):
    chain, rng = Chain(), np.random.default_rng(13)
    every = chain.every(model=OFF)
    single = replace(every, weight=None)
    found = [
        judged(rows(single, rng.choice(len(every.weight), 200, p=every.weight)), estimator, Interval(resamples=400, seed=seed))
        for seed in range(1_000)
    ]
    assert 0.93 <= np.mean([one.low <= chain.value <= one.high for one in found]) <= 0.975


def test_grouped_rows_hold_too():
    """Ten rows a conversation, all of one query and one outcome: without groups the interval is far too narrow."""
    rng, held = np.random.default_rng(14), []
    for _ in range(400):
        log = rows(EASY.log(100, rng)[0], np.repeat(np.arange(100), 10))
        found = [judged(replace(log, group=group), snips, Interval(resamples=300)) for group in (np.repeat(np.arange(100), 10), None)]
        held.append([one.low <= EASY.value <= one.high for one in found])
    grouped, single = np.mean(held, axis=0)
    assert grouped > 0.92
    assert single < 0.6


@pytest.mark.parametrize("compared", [False, True], ids=["value", "difference"])
def test_a_sequence_holds_at_all_times_at_once(compared):
    """Of 1,000 logs looked at after each of 1,000 decisions, at most 5 % are ever wrong; the normal interval is in more than a quarter."""
    rng, missed, peeked = np.random.default_rng(15), [], []
    truth = EASY.lead if compared else EASY.value
    for _ in range(1_000):
        log, kind = EASY.log(1_000, rng)
        found = sequence(log, replace(log, target=EASY.other[kind]) if compared else None)
        missed.append(bool(((found.low > truth) | (found.high < truth)).any()))
        terms, count = log.ratios * log.reward, np.arange(1, 1_001)
        mean = np.cumsum(terms) / count
        error = np.sqrt(np.maximum(np.cumsum(terms**2) / count - mean**2, 0) / count)
        peeked.append(bool((np.abs(mean - EASY.value) > 1.96 * error)[30:].any()))
    assert np.mean(missed) <= 0.05
    assert np.mean(peeked) > 0.25


def test_a_sequence_holds_for_rare_large_ratios_and_a_policy_that_learns():
    """The acting policy leans to the arm that has done better so far, down to a chance of .02; the target always takes the first."""
    rng, missed = np.random.default_rng(16), []
    for _ in range(500):
        action, propensity, reward, sums = np.zeros(400, int), np.zeros(400), np.zeros(400), np.ones(2)
        for place in range(400):
            chance = 0.02 if sums[0] < sums[1] else 0.5
            action[place] = rng.random() >= chance
            propensity[place] = (chance, 1 - chance)[action[place]]
            reward[place] = rng.random() < (0.4, 0.7)[action[place]]
            sums[action[place]] += reward[place] - 0.5
        log = Trials(action=action, propensity=propensity, reward=reward, target=np.tile([1.0, 0.0], (400, 1)), bounds=(0.0, 1.0))
        found = sequence(log)
        missed.append(bool(((found.low > 0.4) | (found.high < 0.4)).any()))
    assert np.mean(missed) <= 0.05


def test_a_sequence_finds_the_better_policy_and_closes_in():
    world = World(17, share=1.0)
    world.target, world.other = np.eye(3)[world.odds.argmax(1)], np.eye(3)[world.odds.argmin(1)]
    log, kind = world.log(4_000, np.random.default_rng(17))
    other = replace(log, target=world.other[kind])
    lead, alone = sequence(log, other), sequence(log)
    assert np.argmax(lead.low > 0) < 1_000
    assert lead.low[-1] > 0 > sequence(other, log).high[-1]
    for found in (lead, alone):
        assert (np.diff(found.low) >= 0).all()
        assert (np.diff(found.high) <= 0).all()
    exact = estimate(log, ips, NORMAL)
    assert alone.high[-1] - alone.low[-1] < 2.5 * (exact.high - exact.low)


def test_a_sequence_follows_the_scale_of_rewards():
    log = random_log(18, 400)
    plain, scaled = sequence(log), sequence(replace(log, reward=5 * log.reward - 2, model=None, bounds=(-2.0, 3.0)))
    assert scaled.low == pytest.approx(5 * plain.low - 2)
    assert scaled.high == pytest.approx(5 * plain.high - 2)


@pytest.mark.parametrize(("field", "wrong"), [("bounds", None), ("weight", np.ones(4)), ("group", np.arange(4))])
def test_a_sequence_needs_bounds_and_single_decisions(field, wrong):
    with pytest.raises(InvalidQuery, match=f"^{field} must"):
        sequence(replace(HAND, **{field: wrong}))
    with pytest.raises(InvalidQuery, match="level must"):
        sequence(HAND, level=1.0)


@pytest.mark.parametrize("estimator", [sequential_dr, wdr])
def test_what_is_known_of_an_action_needs_no_ratio(estimator):
    """All that can happen, weighted by its chance: stop with what is worth .3, or go on, which is right in .6. It is never stopped in the log."""
    stop = np.array([[0.3, np.nan]])
    log = Trajectories(
        action=np.array([[1, 0], [1, 0]]),
        propensity=np.ones((2, 2)),
        reward=np.array([[0.0, 1.0], [0.0, 0.0]]),
        target=np.tile(np.array([[0.75, 0.25], [1.0, 0.0]]), (2, 1, 1)),
        logging=np.tile(np.array([[0.0, 1.0], [1.0, 0.0]]), (2, 1, 1)),
        mask=np.ones((2, 2), bool),
        model=np.full((2, 2, 2), 0.9),
        known=np.stack((np.stack((stop[0], np.array([np.nan, np.nan]))),) * 2),
        weight=np.array([0.6, 0.4]),
    )
    assert value(log, estimator) == pytest.approx(0.75 * 0.3 + 0.25 * 0.6)
    assert np.allclose(log.ratios, 1.0)
    assert overlap(replace(log, known=None)).average == pytest.approx(0.25)


def test_estimates_are_those_of_the_open_bandit_pipeline():
    """Its release 0.4.1 (Saito et al. 2021, arXiv 2008.07146) gave these numbers on this log; its requirements do not go with ours."""
    rng = np.random.default_rng(0)
    logging, target, truth = rng.dirichlet(np.full(4, 2.0), 500), rng.dirichlet(np.ones(4), 500), rng.random((500, 4))
    model = np.clip(truth + rng.normal(size=(500, 4)) * 0.2, 0, 1)
    action = np.array([rng.choice(4, p=chances) for chances in logging])
    reward = (rng.random(500) < truth[np.arange(500), action]).astype(float)
    log = Trials(action=action, propensity=logging[np.arange(500), action], reward=reward, target=target, model=model, logging=logging)
    assert value(log, ips) == pytest.approx(0.5127209137337889, rel=1e-12)
    assert value(log, snips) == pytest.approx(0.542521440000902, rel=1e-12)
    assert value(log, dr) == pytest.approx(0.5412569471250442, rel=1e-12)
    assert value(log, partial(switch_dr, tau=1.0)) == pytest.approx(0.4945242417850361, rel=1e-12)
    assert value(log, partial(switch_dr, tau=3.0)) == pytest.approx(0.5426890573819707, rel=1e-12)
