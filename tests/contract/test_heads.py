"""What every model family must keep to. A new one is found by itself; its hyper-parameters must have defaults."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from predictors.artifact import load, save
from predictors.calibration import KNOTS
from predictors.heads import Calibrated, heads
from predictors.training.newton import sigmoid
from predictors.training.selection import Candidate, fit_head, logits
from predictors.training.sheets import Sheet

OUTPUTS = 3


def a_sheet(count, seed=0):
    """One outcome of three is seen in each row, and the last of them never."""
    rng = np.random.default_rng(seed)
    x = np.column_stack((np.ones(count), rng.normal(size=(count, 5)))).astype(np.float32)
    y = (rng.random((count, OUTPUTS)) < sigmoid(1.5 * x[:, 1:2] + np.array([0.5, -0.5, 0.0]))).astype(np.float32)
    y[np.arange(OUTPUTS) != rng.integers(OUTPUTS, size=(count, 1))] = np.nan
    y[:, 2] = np.nan
    return Sheet(x, y, np.ones_like(y), rng.integers(1_000_000, size=count))


@pytest.fixture(scope="module", params=tuple(heads.describe()))
def fitted(request):
    with threadpool_limits(limits=1):
        return fit_head(a_sheet(600), seed=0, among=(Candidate(request.param),))


def test_it_has_one_log_odds_for_each_row_and_output(fitted):
    head = Calibrated.of(fitted.family, fitted.arrays)
    for count in (0, 1, 7):
        for found in (head.head.logits(a_sheet(7).x[:count]), head.logits(a_sheet(7).x[:count])):
            assert (found.shape, found.dtype) == ((count, OUTPUTS), float)
    assert fitted.arrays["calibration_x"].shape == fitted.arrays["calibration_y"].shape == (OUTPUTS, KNOTS)
    assert (fitted.arrays["spread"].shape, fitted.held_out.shape) == ((OUTPUTS,), (600, OUTPUTS))


def test_it_is_finite_far_out(fitted):
    far = np.random.default_rng(1).choice([-1e6, 1e6], size=(50, 6)).astype(np.float32)
    assert np.isfinite(Calibrated.of(fitted.family, fitted.arrays).head.logits(far)).all()


def test_it_is_pure_and_a_row_does_not_depend_on_its_company(fitted):
    x = a_sheet(20, 5).x
    before, together = x.copy(), logits(fitted, x)
    assert np.array_equal(together, logits(fitted, x))
    assert np.array_equal(before, x)
    assert np.concatenate([logits(fitted, x[place : place + 1]) for place in range(20)]) == pytest.approx(together, abs=1e-5)


def test_it_learned_and_what_was_never_seen_is_one_in_two(fitted):
    fresh = a_sheet(500, 9).x
    for place, shift in enumerate((0.5, -0.5)):
        assert np.corrcoef(logits(fitted, fresh)[:, place], 1.5 * fresh[:, 1] + shift)[0, 1] > 0.65
    assert logits(fitted, fresh)[:, 2] == pytest.approx(np.zeros(500))
    assert fitted.facts["base_rate_only"] == [False, False, True]


def test_it_is_saved_and_loaded_whole(fitted, tmp_path):
    arrays = {f"start.{name}": array for name, array in fitted.arrays.items()}
    save(tmp_path, kind="test", plans=("a",), feature_version="v", arrays=arrays, facts={})
    loaded = Calibrated.of(fitted.family, load(tmp_path, kind="test").arrays, "start.")
    x = a_sheet(20, 5).x
    assert loaded.logits(x) == pytest.approx(logits(fitted, x), abs=1e-12)
