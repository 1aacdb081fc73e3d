"""The pacer of one tenant: what it makes of requests, what is in reach, and what routers share."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.pacer import ObjectivePacer, bound
from router.errors import Unreachable
from router.types import Forecast, Objective, Onward, Prediction

CAPPED = Objective(cap=1_000, window=10.0)
FLOORED = Objective(floor=0.8)


def predicted(*success, rescue=None):
    forecasts = tuple(Forecast(plan=str(number), success=one, low=0, high=1, tokens=1, cost=1, seconds=1) for number, one in enumerate(success))
    onward = None if rescue is None else Onward(ratios=np.zeros((len(success), 2, 4)), rescue=np.array(rescue))
    return Prediction(in_hand=0.0, forecasts=forecasts, version="v", onward=onward)


def test_windows_begin_as_the_ledger_counts_them():
    pacer = ObjectivePacer(CAPPED, now=1_234.5)
    pacer.update(cost=400, quality=1.0, at=1_239.9)
    assert pacer.standing(1_239.9).spent == 0.4
    assert pacer.standing(1_240.0).spent == 0


def test_what_is_reserved_and_lower_is_the_value_of_what_comes_next():
    pacer = ObjectivePacer(CAPPED, now=0.0)
    pacer.update(cost=50, quality=1.0, at=0.1)
    before = pacer.value(0.1)
    pacer.reserve(200, 0.1)
    assert pacer.value(0.1) < before
    pacer.update(cost=0, quality=None, at=0.1, held=200)
    assert pacer.value(0.1) == pytest.approx(before)


def test_beliefs_count_as_outcomes_have_shown_them_to_be():
    trusting, warned = ObjectivePacer(FLOORED, now=0.0), ObjectivePacer(FLOORED, now=0.0)
    for _ in range(80):
        warned.rate(reward=0.4, belief=0.9, at=0.0)
    for pacer in (trusting, warned):
        pacer.update(cost=5, quality=0.9, at=1.0)
    assert trusting.standing(1.0).deficit == pytest.approx(-0.1)
    assert warned.standing(1.0).deficit == pytest.approx(0.8 - 0.5)
    assert warned.value(1.0) > trusting.value(1.0)
    warned.update(cost=5, quality=0.0, at=1.0)  # an abstention is no belief
    assert warned.standing(1.0).deficit == pytest.approx(0.3 + 0.8)


def test_a_floor_out_of_reach_is_refused_once_that_is_sure_and_served_again_when_it_is_not():
    pacer = ObjectivePacer(FLOORED, now=0.0)
    for _ in range(99):
        pacer.foresee(predicted(0.3, 0.7), stages=1)
    for _ in range(50):
        with pytest.raises(Unreachable, match=r"at most 0\.700") as caught:
            pacer.foresee(predicted(0.3, 0.7), stages=1)
    assert float(caught.value.metadata["reachable"]) == pytest.approx(0.7)
    served = 0
    for _ in range(300):  # better plans are offered; those refused meanwhile count
        try:
            pacer.foresee(predicted(0.3, 0.95), stages=1)
            served += 1
        except Unreachable:
            continue
    assert served > 200


def test_no_forecast_and_no_floor_refuse_nothing():
    capped, floored = ObjectivePacer(CAPPED, now=0.0), ObjectivePacer(FLOORED, now=0.0)
    for _ in range(200):
        capped.foresee(predicted(0.1), stages=1)
        floored.foresee(predicted(), stages=4)


def test_a_predictor_known_to_be_too_modest_does_not_put_a_floor_out_of_reach():
    pacer = ObjectivePacer(FLOORED, now=0.0)
    for _ in range(400):
        pacer.rate(reward=1.0, belief=0.8, at=0.0)
    for _ in range(300):
        pacer.foresee(predicted(0.7), stages=1)
    for _ in range(100):
        pacer.rate(reward=0.0, belief=0.9, at=0.0)
    with pytest.raises(Unreachable):
        pacer.foresee(predicted(0.7), stages=1)


def test_the_bound_of_what_buying_again_reaches():
    assert bound(predicted(0.5, 0.6), stages=1) == pytest.approx(0.6)
    assert bound(predicted(0.5, 0.6), stages=4) == pytest.approx(1 - 0.5 * 0.4)  # nothing is known: as if they knew nothing of one another
    rescue = [[0.9, 0.1, 0.3], [0.2, 0.9, 0.5], [0.0, 0.0, 0.9]]
    assert bound(predicted(0.5, 0.4, 0.6, rescue=rescue), stages=2) == pytest.approx(max(1 - 0.5 * 0.7, 1 - 0.6 * 0.5, 0.6))
    assert bound(predicted(0.5, 0.4, 0.6, rescue=rescue), stages=3) == pytest.approx(max(1 - 0.5 * 0.9 * 0.7, 1 - 0.6 * 0.8 * 0.5, 0.6))


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_no_sequence_of_purchases_reaches_more_than_the_bound(seed, stages):
    """Worlds of three plans, drawn at random, in which all that can be known of right and wrong is: P(any bought plan is right)."""
    rng = np.random.default_rng(seed)
    right = rng.random((400, 1)) + rng.normal(0, 0.3, (400, 3)) > rng.random(3)  # hard questions are hard for all plans
    success = right.mean(axis=0)
    rescue = np.array([[right[~right[:, p], q].mean() if (~right[:, p]).any() else 0.0 for q in range(3)] for p in range(3)])
    reached = right[:, :stages].any(axis=1).mean()
    assert reached <= bound(predicted(*success, rescue=rescue), stages) + 0.02


EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["end", "rate", "share", "unheard", "unsent", "killed"]), st.integers(1, 50)), max_size=60
)


@given(EVENTS, st.sampled_from([CAPPED, FLOORED]))
def test_every_event_counts_exactly_once_however_routers_share(events, objective):
    """Three routers. An answer of Redis may be lost after it has written or before, and a router may be killed and begin again."""
    shared, clock = b"", 0.0
    routers = [ObjectivePacer(objective, 0.0) for _ in range(3)]
    known = [[0, 0.0, 0.0], [0, 0.0, 0.0], [0, 0.0, 0.0]]  # of each router since it last surely wrote: requests, spending, error
    total = np.zeros(3)
    for router, event, amount in events:
        clock += 0.01
        if event == "end":
            routers[router].reserve(3.0, clock)
            routers[router].update(cost=amount, quality=0.5, at=clock, held=3.0)
            known[router][0] += 1
            known[router][1] += amount
        elif event == "rate":
            routers[router].rate(reward=amount / 50, belief=0.25, at=clock)
            known[router][2] += amount / 50 - 0.25
        elif event == "unsent":
            routers[router].merge(shared)
        elif event == "killed":
            routers[router], known[router] = ObjectivePacer(objective, clock), [0, 0.0, 0.0]
            routers[router].reserve(7.0, clock)
        else:
            shared = routers[router].merge(shared)
            total, known[router] = total + known[router], [0, 0.0, 0.0]
            if event == "share":
                assert routers[router].merge(shared) == shared
    for router in range(3):
        shared = routers[router].merge(shared)
        total = total + known[router]
        assert routers[router].merge(shared) == shared
    state = json.loads(shared)["pace"] if shared else {"count": 0, "spent": 0, "error": 0}
    assert (state["count"], state["spent"], state["error"]) == pytest.approx(tuple(total))
    assert all(router.merge(shared) == shared for router in routers)
    assert len({replace(router._pace, held=0.0) for router in routers}) == 1


@pytest.mark.parametrize(
    "damaged", [b"", b'{"pace": {"start": 0', b"null", b"[]", b'{"pace": {"start": NaN, "at": 0}, "words": {}}', b'{"words": {}}']
)
def test_what_is_damaged_is_replaced_by_what_this_router_knows(damaged):
    pacer = ObjectivePacer(CAPPED, now=0.0)
    shared = pacer.merge(b"")
    pacer.update(cost=100, quality=1.0, at=1.0)
    shared = pacer.merge(shared)
    pacer.update(cost=50, quality=1.0, at=2.0)
    mended = json.loads(pacer.merge(damaged))
    assert (mended["pace"]["spent"], mended["pace"]["count"]) == (150, 2)


def test_a_restart_goes_on_from_what_is_shared_and_the_dead_hold_nothing():
    first = ObjectivePacer(CAPPED, now=0.0)
    first.update(cost=100, quality=1.0, at=1.0)
    first.reserve(500, 2.0)
    shared = first.merge(b"")
    second = ObjectivePacer(CAPPED, now=3.0)
    assert second.merge(shared) == shared
    assert second.standing(3.0).spent == 0.1
    assert json.loads(shared)["pace"]["held"] == 0
