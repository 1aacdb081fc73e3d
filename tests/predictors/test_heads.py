"""Model families against the libraries that fitted them, and against planted truth."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from predictors.calibration import Calibration, Calibrations
from predictors.heads.boosting import Boosting
from predictors.heads.item_response import ItemResponse
from predictors.heads.mlp import Mlp
from predictors.heads.neighbours import Neighbours
from predictors.training.families import boosting, item_response, logistic, mlp, neighbours
from predictors.training.newton import sigmoid


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(limits=1):
        yield


def some_rows(count=400, seed=0):
    rng = np.random.default_rng(seed)
    x = np.column_stack((np.ones(count), rng.normal(size=(count, 4))))
    return x, (rng.random((count, 2)) < sigmoid(x[:, 1:2] * np.array([1.0, 2.0]))).astype(float), rng


def test_trees_are_those_of_scikit_learn():
    x, y, _ = some_rows()
    edges = np.quantile(x, np.linspace(0, 1, 33)[1:-1], axis=0)
    codes = boosting.binned(x, edges)
    models = {place: HistGradientBoostingClassifier(max_depth=4, max_iter=20, early_stopping=False).fit(codes, y[:, place]) for place in range(2)}
    served = Boosting(**boosting.flattened(models, np.zeros(2), edges))
    fresh, _, _ = some_rows(seed=1)
    for place, model in models.items():
        for rows in (x, fresh, x * 1e6):
            assert served.logits(rows)[:, place] == pytest.approx(model.decision_function(boosting.binned(rows, edges)), abs=1e-6)


def test_a_label_between_0_and_1_is_that_much_of_either():
    x, _, _ = some_rows()
    arrays = boosting.fit(x, np.full((400, 1), 0.3), np.ones((400, 1)), np.arange(400) % 5, 0, trees=10)
    assert sigmoid(Boosting(**arrays).logits(x)) == pytest.approx(np.full((400, 1), 0.3), abs=1e-6)


def test_the_network_is_torchs():
    x, y, _ = some_rows()
    arrays = mlp.fit(x, y, np.ones_like(y), np.arange(400) % 5, 0, epochs=20)
    hidden, out = torch.nn.Linear(5, 32, bias=False).double(), torch.nn.Linear(32, 2).double()
    for parameter, name in ((hidden.weight, "trunk"), (out.weight, "weights"), (out.bias, "bias")):
        parameter.data = torch.tensor(arrays[name])
    theirs = out(torch.relu(hidden(torch.tensor(x)))).detach().numpy()
    assert Mlp(**arrays).logits(x) == pytest.approx(theirs, abs=1e-6)


def planted(count, plans, seed):
    """Queries of an ease that eight columns tell, and plans of known discrimination and ability."""
    rng = np.random.default_rng(seed)
    x = np.column_stack((np.ones(count), rng.normal(size=(count, 40))))
    direction = np.append(0.0, np.where(np.arange(40) < 8, 0.5, 0.0))
    discrimination, ability = rng.uniform(0.8, 1.6, plans), rng.normal(size=plans)
    chance = sigmoid((x @ direction)[:, None] * discrimination + ability)
    return x, chance, (rng.random(chance.shape) < chance).astype(float)


def test_a_planted_scale_is_found():
    x, chance, y = planted(2_000, 4, 0)
    served = ItemResponse(**item_response.fit(x, y, np.ones_like(y), np.arange(2_000) % 5, 0))
    assert np.abs(sigmoid(served.logits(x)) - chance).mean() < 0.03
    assert (served.discrimination >= 0).all()


def test_a_new_plan_is_placed_from_thirty_outcomes():
    """Better than its base rate, and than a logistic regression of its own, on fresh queries: the mean over ten draws."""
    losses = {"placed": 0.0, "rate": 0.0, "alone": 0.0}
    for seed in range(10):
        x, chance, y = planted(1_530, 5, seed)
        others = item_response.fit(x[:500], y[:500, :4], np.ones((500, 4)), np.arange(500) % 5, 0)
        few, rest = slice(500, 530), slice(530, None)
        discrimination, ability = item_response.place(others, x[few] @ others["direction"], y[few, 4])
        alone = logistic.fit(x[few], y[few, 4:], np.ones((30, 1)), np.arange(30) % 5, 0)["weights"][0]
        rate = (y[few, 4].sum() + 1) / 32
        guesses = {"placed": sigmoid(discrimination * (x[rest] @ others["direction"]) + ability), "rate": rate, "alone": sigmoid(x[rest] @ alone)}
        for name, guess in guesses.items():
            losses[name] -= float((chance[rest, 4] * np.log(guess) + (1 - chance[rest, 4]) * np.log(1 - guess)).mean()) / 10
    assert losses["placed"] < min(losses["rate"], losses["alone"]) - 0.02
    assert discrimination >= 0


def test_a_plan_that_is_best_on_hard_queries_still_has_no_negative_discrimination():
    arrays = {"discrimination": np.ones(3), "ability": np.zeros(3)}
    ease = np.linspace(-3, 3, 200)
    assert item_response.place(arrays, ease, (ease < 0).astype(float)) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=0.05))


def test_neighbours_tell_what_no_line_can_and_all_cells_give_the_sum_over_all_rows():
    """Two columns at right angles: right in the first and third quadrant."""
    rng = np.random.default_rng(0)
    x = np.column_stack((np.ones(1_000), rng.normal(size=(1_000, 2))))
    y = (x[:, 1] * x[:, 2] > 0).astype(float)[:, None]
    arrays = neighbours.fit(x, y, np.ones_like(y), np.arange(1_000) % 5, 0)
    fresh = np.column_stack((np.ones(500), rng.normal(size=(500, 2))))
    served = Neighbours(**arrays)
    assert ((served.logits(fresh)[:, 0] > 0) == (fresh[:, 1] * fresh[:, 2] > 0)).mean() > 0.9
    whole = Neighbours(**arrays | {"probes": np.array(len(arrays["centres"]))})
    query = (fresh[:1, 1:] - arrays["mean"]) * arrays["scale"]
    near = np.exp(10 * (arrays["rows"] @ (query / np.linalg.norm(query))[0] - 1))
    right, wrong, base = near @ arrays["right"], near @ arrays["wrong"], arrays["base"]
    told = np.log((right + 2 * base) / (wrong + 2 * (1 - base))) - np.log(base / (1 - base))
    assert whole.logits(fresh[:1]) == pytest.approx(fresh[:1] @ arrays["weights"].T + arrays["slope"] * told, abs=1e-4)


def test_neighbours_of_ones_own_fold_are_not_asked_when_fitting():
    """Columns name the row and say nothing else: asked of itself, a row would know its answer, and the slope would be steep."""
    rng = np.random.default_rng(0)
    x, y = np.column_stack((np.ones(200), np.eye(200))), rng.integers(2, size=(200, 1)).astype(float)
    arrays = neighbours.fit(x, y, np.ones_like(y), np.arange(200) % 5, 0)
    assert abs(arrays["slope"][0]) < 0.2


def test_maps_laid_end_to_end_are_each_its_own():
    rng = np.random.default_rng(0)
    x, y = (np.sort(rng.normal(size=(3, 65)) * 5, axis=1) for _ in range(2))
    logits = rng.normal(size=(50, 3)) * 10
    each = np.stack([Calibration(x[place], y[place]).apply(logits[:, place]) for place in range(3)], axis=1)
    assert Calibrations(x, y).apply(logits) == pytest.approx(each, abs=1e-9)
