"""How samples of one plan are: found again where they were drawn from what is known, and of a real log."""

import numpy as np
import pytest
from scipy.special import expit

from predictors.curves import Growth
from predictors.evidence import Shown
from predictors.learned import SAMPLING
from predictors.training.log import Logged, Purchase, Rating
from predictors.training.noise import Noise
from predictors.training.sampling import concentration, sampling_arrays
from predictors.training.sheets import Log

SURE = Noise(np.full(4, 1 - 1e-9), np.full(4, 1 - 1e-9), 0.5)
AT, AUC, ALTERNATIVES, FIRM = 8, 0.8, 3, 4.0


@pytest.mark.parametrize("firm", [0.5, 4.0, 60.0])
def test_a_concentration_is_found_again(firm):
    rng = np.random.default_rng(2)
    forecast, total = rng.normal(size=4_000), np.full(4_000, 8.0)
    mean = expit(0.5 + 1.5 * forecast)
    right = rng.binomial(8, rng.beta(mean * firm, (1 - mean) * firm)).astype(float)
    assert concentration(right, total, forecast) == pytest.approx(firm, rel=0.2)


def test_queries_of_one_chance_are_as_firm_as_can_be():
    assert concentration(np.tile([2.0, 2.0], 1_000), np.full(2_000, 8.0), np.zeros(2_000)) == pytest.approx(500.0)


@pytest.mark.parametrize("right", [0.0, 3.0])
def test_samples_that_never_vary_are_still_finite(right):
    assert 0 < concentration(np.full(50, right), np.full(50, 3.0), np.zeros(50)) <= 500


def a_log(count, seed):
    """Purchases of eight samples and whether their majority is right, of queries whose difficulty is half seen; and the forecasts."""
    rng = np.random.default_rng(seed)
    forecast = rng.normal(size=count)
    mean = expit(forecast)
    decisions, chances = [], rng.beta(mean * FIRM, (1 - mean) * FIRM)
    for index, chance in enumerate(chances):
        hits = rng.random(AT) < chance
        answers = [str(0 if hit else 1 + rng.integers(ALTERNATIVES)) for hit in hits]
        scores = expit(rng.normal(np.where(hits, np.sqrt(2) * 0.8416, 0.0)))
        top = max(sorted(set(answers)), key=answers.count)
        shown = Shown(plan="vote", answer=top, answers=tuple(answers), scores=tuple(scores), logprobs=(0.0,) * AT)
        ratings = (Rating(0, float(top == "0"), "unit_test", 1.0), Rating(1, 1.0, "unit_test", 1.0))
        other = Shown(plan="oracle", answer="0", answers=("0",), scores=(1.0,), logprobs=(0.0,))
        purchases = tuple(Purchase(stage, one, 1.0, "done", 1, 1, 1.0) for stage, one in enumerate((shown, other)))
        decisions.append(Logged(str(index), 1.0, np.array([1.0, index], np.float32), 1.0, purchases, "0", ratings))
    return Log.of(decisions, SURE), forecast, chances


def test_what_a_log_was_made_of_is_found_again():
    log, forecast, _ = a_log(2_000, 3)
    found = sampling_arrays(log, ("vote", "oracle"), np.stack((forecast, forecast), axis=1))
    assert found["samples"].tolist() == [AT, 0.0]
    assert found["concentration"][0] == pytest.approx(FIRM, rel=0.25)
    assert found["alternatives"][0] == pytest.approx(ALTERNATIVES, rel=0.1)
    assert found["auc"][0] == pytest.approx(AUC, abs=0.02)


def test_numbers_of_samples_that_were_never_bought_are_forecast():
    """Growth from eight to two and to thirty-two samples, held against simulation."""
    log, forecast, _ = a_log(2_000, 4)
    told = {name: array[0] for name, array in sampling_arrays(log, ("vote",), forecast[:, None]).items()}
    growth = Growth.of("majority", int(told.pop("samples")), **told)
    rng, mean = np.random.default_rng(5), 0.45
    chance = rng.beta(np.full(20_000, mean * FIRM), (1 - mean) * FIRM)

    def simulated(n):
        votes = (
            rng.multinomial(n, np.stack((chance, *[(1 - chance) / ALTERNATIVES] * ALTERNATIVES), axis=1)) + rng.random((20_000, 1 + ALTERNATIVES)) / 2
        )
        return float((votes.argmax(axis=1) == 0).mean())

    for n in (1, 2, 32):
        assert growth.at(simulated(AT), n) == pytest.approx(simulated(n), abs=0.03)


def test_too_few_purchases_say_nothing():
    log, forecast, _ = a_log(10, 6)
    assert {name: array.tolist() for name, array in sampling_arrays(log, ("vote",), forecast[:, None]).items()} == {name: [0.0] for name in SAMPLING}
