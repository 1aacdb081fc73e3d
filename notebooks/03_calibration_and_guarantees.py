# %% [markdown]
# # Calibration and guarantees
#
# **Question.** Is 80 % right 80 % of the time, and if at most 5 % of my answers may be wrong, is that kept, and at what price?
#
# A forecast is *calibrated* when of all answers that are forecast to be right with probability p a share p is. Calibration is a property of many
# forecasts and promises nothing for those that one may wish to act on. A *guarantee* does: from questions with known outcomes a threshold is found,
# only answers above it are given, the others are withheld, and with a stated probability at most a share alpha of those given is wrong. Rheostat's
# knob `risk` is alpha.

# %%
import matplotlib.pyplot as plt
import numpy as np

from policies.controls import wilson
from predictors.encoders import encoders
from predictors.features import Featurizer, describe_all
from predictors.learned import Learned
from predictors.training.calibrating import choose
from predictors.training.guarantees import accept_threshold, risk_control
from predictors.training.newton import sigmoid
from predictors.training.scoring import reliability, score
from router.benchmark.board import load
from router.benchmark.prompts import odds
from router.benchmark.run import BUNDLED
from router.exam import draw
from router.practice import SEED as PRACTICE
from router.settings import Settings
from router.types import Evidence

rng = np.random.default_rng(0)

# %% [markdown]
# The package carries a table of what its bundled models answered to 1,000 questions. The bundled predictor was fitted to practice on other draws
# from the same kind of questions; those that happen to be in both are left out, so that every forecast below is of a question that it has not seen.

# %%
practised = {problem.question for problem in draw("calibration", PRACTICE, 2_500)}
board = load(BUNDLED)
board = board.at(np.array([text not in practised for text in board.text]))
ITEMS = {"nano-direct": ("nano", 0), "small-solve": ("small", 0), "large-solve": ("large", 0)}
settings, predictor = Settings(), Learned()
plans = [settings.plans[name].plan(name) for name in ITEMS]
features = describe_all(Featurizer(encoders.build("static")), board.text)
forecast = np.array([[one.success for one in predictor.predict(each, Evidence(), plans).forecasts] for each in features])
right = np.stack([board.quality[:, board.items.index(item)] for item in ITEMS.values()], axis=1)
print(f"{len(right)} questions, three plans each")

# %% [markdown]
# ## Is 80 % right 80 % of the time?
#
# Forecasts are put into ten bins of equally many, from the lowest to the highest, and each bin's mean forecast is compared with the share that was
# right. The mean distance, weighted by the bins' sizes, is the *expected calibration error* (ECE). What is resampled for its interval are whole
# questions, since the three forecasts of one question are not independent.
#
# There is a catch, and a usual one. The predictor learned from plans that take each model's likeliest answer; the answers in the table were drawn
# at a temperature of 0.8, which makes more mistakes. What was true of the one need not be true of the other. So we look at the forecasts as they
# come, and *recalibrated*: a rising map of each plan's forecasts is fitted to the outcomes of one half of the questions and applied to those of the
# other half. Retraining does the same on the log.


# %%
def recalibrated(p: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Forecasts (n,) of one plan, each half mapped by what the outcomes (n,) of the other half say."""
    out = np.empty_like(p)
    for half in (0, 1):
        here = board.group % 2 == half
        calibration, _ = choose(odds(p[~here]), outcome[~here], group=board.group[~here])
        out[here] = sigmoid(calibration.apply(odds(p[here])))
    return out


shipped = forecast
forecast = np.stack([recalibrated(*columns) for columns in zip(shipped.T, right.T, strict=True)], axis=1)
question, errors = np.repeat(np.arange(len(right)), len(plans)), {}
for name, p in (("as shipped", shipped), ("recalibrated", forecast)):
    error = errors[name] = score(p.ravel(), right.ravel(), group=question, resamples=300)["ece"]
    about = (p >= 0.7) & (p < 0.9)
    stated, seen = float(p[about].mean()), float(right[about].mean())
    print(f"{name}: calibration error {error.value:.3f} [{error.low:.3f}, {error.high:.3f}];")
    print(f"   of {about.sum()} forecasts between 70 and 90 %, {stated:.1%} on average, {seen:.1%} came right")
bins = reliability(forecast.ravel(), right.ravel())

# %% [markdown]
# ## Is the promise kept?
#
# Now the questions are taken for the whole world, so that what is true of it can be counted. A calibration set of 400 is drawn from it at random,
# as from traffic; a threshold for answers of `large-solve` is found; and then the share of wrong ones among *all* answers of this world above the
# threshold is the truth. This is done 150 times for each alpha, with the two rules that Rheostat has:
#
# - *Learn then Test*, which is behind the knob `risk`: with probability 90 %, at most a share alpha of the answers **given** is wrong;
# - *conformal risk control*: on average over calibration sets, at most a share alpha of all **questions** gets a wrong answer.

# %%
ALPHAS, CALIBRATION, TIMES, DELTA = (0.03, 0.05, 0.075, 0.1), 400, 150, 0.1
scores, wrong = shipped[:, -1], 1 - right[:, -1]  # no map that rises changes a threshold


def outcome(threshold: float | None) -> tuple[float, float, float]:
    """Of the whole world: share given, share wrong of those given, share wrong of all."""
    given = np.zeros(len(scores), bool) if threshold is None else scores >= threshold
    return float(given.mean()), float(wrong[given].mean()) if given.any() else 0.0, float((wrong * given).mean())


tested, controlled = (np.zeros((len(ALPHAS), TIMES, 3)) for _ in range(2))
for time in range(TIMES):
    rows = rng.integers(len(scores), size=CALIBRATION)
    for place, alpha in enumerate(ALPHAS):
        tested[place, time] = outcome(accept_threshold(scores[rows], wrong[rows], alpha, DELTA))
        controlled[place, time] = outcome(risk_control(scores[rows], wrong[rows], alpha))
broken = (tested[:, :, 1] > np.array(ALPHAS)[:, None]).mean(axis=1)
withheld, on_average = 1 - tested[:, :, 0].mean(axis=1), controlled[:, :, 2].mean(axis=1)
for alpha, share, kept_back, mean in zip(ALPHAS, broken, withheld, on_average, strict=True):
    told = f"broken in {share:.1%} of the calibrations, {kept_back:.0%} withheld; conformal risk control: {mean:.2%} wrong on average"
    print(f"alpha {alpha:.1%}: {told}")

# %%
figure, (left, middle) = plt.subplots(1, 2, figsize=(10, 4.2), layout="tight")
ends = [wilson(share * part * forecast.size, round(part * forecast.size)) for _, share, part in bins]
left.plot([0, 1], [0, 1], color="0.7")
left.plot(*zip(*[one[:2] for one in reliability(shipped.ravel(), right.ravel())], strict=True), "x", color="0.5", label="as shipped")
mean_p, shares, _ = np.array(bins).T
left.errorbar(mean_p, shares, np.abs(np.array(ends).T - shares), marker="o", linestyle="", capsize=2, label="recalibrated")
left.legend(loc="upper left", fontsize=8)
left.set(xlabel="forecast P(right)", ylabel="share that was right, 95 % intervals", title="Calibration")
spread = np.quantile(tested[:, :, 1], (0.05, 0.5, 0.95), axis=1)
middle.plot((0, 0.12), (0, 0.12), color="0.7", label="the promise")
middle.errorbar(
    ALPHAS, spread[1], (spread[1] - spread[0], spread[2] - spread[1]), marker="o", linestyle="", capsize=3, label="wrong among those given"
)
for alpha, kept_back, top in zip(ALPHAS, withheld, spread[2], strict=True):
    middle.annotate(f"{kept_back:.0%} withheld", (alpha, top), xytext=(-6, 6), textcoords="offset points", ha="center", fontsize=8)
middle.set(
    xlabel="alpha: share that may be wrong", ylabel="share that is wrong, 5th to 95th percentile", title="Guarantee: 150 calibrations", ylim=(0, 0.13)
)
middle.legend(loc="upper left", fontsize=8)
plt.show()

# %% [markdown]
# Two things keep one honest here. The guarantee holds for questions like those of the calibration set; when traffic changes, it has to be found
# anew, as every retraining does. And it is not free: what it costs are answers withheld, or paid for a second time with a dearer plan.

# %%
noise = 3 * np.sqrt(DELTA * (1 - DELTA) / TIMES)
assert errors["recalibrated"].value < errors["as shipped"].value
assert errors["recalibrated"].value < 0.04
assert abs(stated - seen) < 0.05
assert (broken <= DELTA + noise).all()
assert (on_average <= np.array(ALPHAS) + 0.003).all()
assert withheld[0] > withheld[-1]
print(
    f"Conclusion: once calibrated on outcomes of the same plans, forecasts between 70 and 90 % came right {seen:.0%} of the time where {stated:.0%}"
    f" was stated; before, the calibration error was {errors['as shipped'].value:.3f}, now it is {errors['recalibrated'].value:.3f}. A promise of at"
    f" most 5 % wrong was broken in {broken[1]:.1%} of the calibrations, where {DELTA:.0%} are allowed, and its price is {withheld[1]:.0%} of the"
    f" answers withheld; at 10 % it is {withheld[3]:.0%}."
)
