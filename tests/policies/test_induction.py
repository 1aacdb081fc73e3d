import numpy as np
import pytest

from policies.induction import STOP, follow, induct, lattice

CHEAP, DEAR = 0, 1


def test_an_arms_samples_are_bought_in_order():
    found = lattice((("a", 0), ("a", 1), ("b", 0)), most=2)
    assert found.states == ((), (0,), (2,), (0, 1), (0, 2))
    assert found.onward[0] == ((0, 1), (2, 2))
    assert found.onward[1] == ((1, 3), (2, 4))
    assert found.onward[2] == ((0, 4),)
    assert found.onward[3] == found.onward[4] == ()


@pytest.fixture
def world():
    """A cheap arm that is right half of the time, and it shows; a dear one that is always right and costs 10 times as much."""
    rng = np.random.default_rng(0)
    cheap = rng.integers(2, size=4_000).astype(float)
    found = lattice((("cheap", 0), ("dear", 0)), most=2)
    right = np.stack([np.zeros_like(cheap), cheap, np.ones_like(cheap), np.ones_like(cheap)])
    cost = np.tile([0.1, 1.0], (len(cheap), 1))
    features = [np.stack((np.ones_like(cheap), one), axis=1) for one in right]
    return found, right, features, cost


@pytest.mark.parametrize(
    ("price", "quality", "cost"),
    [
        (0.3, 1.0, 0.6),  # cheap, then dear where it was wrong: 1 - .3 * .6 = .82 against .7 at once
        (0.95, 1.0, 0.6),
        (1.1, 0.5, 0.1),  # another right answer costs more than it is worth
    ],
)
def test_known_answers(world, price, quality, cost):
    found, right, features, costs = world
    learn = np.arange(len(costs)) % 2 == 0
    actions = induct(found, right, right, features, cost=costs, prices=np.array([price]), learn=learn)
    done, paid, _ = follow(found, actions, right, costs)
    assert np.all(actions[0] == CHEAP)
    assert done[~learn].mean() == pytest.approx(quality, abs=0.03)
    assert paid[~learn].mean() == pytest.approx(cost, abs=0.03)


def test_without_evidence_it_buys_at_once_what_is_worth_it(world):
    found, right, features, costs = world
    blind = [np.ones((len(costs), 1)) for _ in features]
    belief = np.repeat(right.mean(axis=1)[:, None], len(costs), axis=1)
    actions = induct(found, belief, right, blind, cost=costs, prices=np.array([0.2, 3.0]), learn=np.ones(len(costs), bool))
    assert np.all(actions[0, :, 0] == DEAR)
    assert np.all(actions[0, :, 1] == CHEAP)  # something is always bought
    assert np.all(actions[1, :, 1] == STOP)


def test_what_is_paid_is_what_was_bought(world):
    found, right, features, costs = world
    rng = np.random.default_rng(1)
    costs = costs * rng.uniform(0.5, 1.5, costs.shape)
    actions = induct(found, right, right, features, cost=costs, prices=np.array([0.3]), learn=np.ones(len(costs), bool))
    _, paid, at = follow(found, actions, right, costs)
    for row in range(50):
        assert paid[row, 0] == pytest.approx(costs[row, list(found.states[at[row, 0]])].sum())
