# %% [markdown]
# # Off-policy evaluation
#
# **Question.** Would policy B have been better than policy A, by A's own log?
#
# A *policy* decides which plan to buy. A's log tells what A's purchases came to, and nothing of those it did not make. Still it can say what B
# would have earned, provided that A left something to chance and wrote down with which chance, the *propensity*. A row that B would have chosen
# twice as often as A did counts twice: that factor is the *importance ratio*. Where B would do what A never does the log says nothing, and no
# arithmetic helps.

# %%
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np

from policies import policies
from policies.evaluation import Interval, Trials, difference, dr, estimate, ips, overlap, snips
from predictors.encoders import encoders
from predictors.features import Featurizer, describe_all
from predictors.learned import Learned
from router.benchmark.board import load
from router.benchmark.run import BUNDLED
from router.errors import NoSupport
from router.settings import Settings
from router.types import Evidence, Knobs

VALUE = 1_000.0  # micro-dollars that a right answer is worth

# %% [markdown]
# **The world.** The package carries a table in which three plans answered the same 1,000 questions. So for once the truth is known: what every
# policy earns can be counted. A purchase is worth the value of a right answer, if it is one, less what it cost.

# %%
board = load(BUNDLED)
ITEMS = {"nano-direct": ("nano", 0), "small-solve": ("small", 0), "large-solve": ("large", 0)}
columns = [board.items.index(item) for item in ITEMS.values()]
worth = VALUE * board.quality[:, columns] - board.cost[:, columns]  # (questions, plans), micro-dollars

settings, predictor = Settings(), Learned()
plans = [settings.plans[name].plan(name) for name in ITEMS]
features = describe_all(Featurizer(encoders.build("static")), board.text)
predictions = [predictor.predict(one, Evidence(), plans) for one in features]
model = np.array([[VALUE * one.success - one.cost for one in each.forecasts] for each in predictions])  # what is forecast, not what is true


def chances(name: str, options: dict[str, object], exploration: float) -> np.ndarray:
    """With which chance a policy buys each plan first, (questions, plans)."""
    policy, knobs = policies.build(name, options), Knobs(value=VALUE, exploration=exploration)
    weighed = [policy.weigh(each, Evidence(), plans, knobs).chances for each in predictions]
    return np.array([[one.get(plan.id, 0.0) for plan in plans] for one in weighed])


# %% [markdown]
# **The policies.** A always buys `small-solve`, but for a share of its decisions, the *exploration*, which it draws evenly among all plans. B is
# Rheostat's allocator, which buys what is worth most by forecast, question by question; it may buy once only, so it need not look ahead.
#
# **The estimators.** *IPS* takes the mean of the rewards times their ratios. *SNIPS* divides by the sum of the ratios, which makes up for having
# drawn too many or too few of some. The *doubly robust* estimator (DR) begins with what a model says of every question, and has the log correct
# that: it is right where either the model or the propensities are.

# %%
B, TRUTH_OF_A = chances("allocator", {"look_ahead": False}, 0.0), float(worth[:, 1].mean())
truth = float((B * worth).sum(axis=1).mean())
print(f"in truth A earns {TRUTH_OF_A:.0f} micro-dollars a question before it explores, and B {truth:.0f}")
print("B buys " + ", ".join(f"{plan.id} for {share:.0%} of the questions" for plan, share in zip(plans, B.mean(axis=0), strict=True)))


def acting(exploration: float) -> np.ndarray:
    """A's chances, (questions, plans)."""
    return chances("fixed", {"plan": "small-solve"}, exploration)


def logged(by: np.ndarray, seed: int) -> Trials:
    """A log of whoever acts by these chances, with B as the policy in question."""
    at = np.random.default_rng(seed).random((len(by), 1))
    action = (at > by.cumsum(axis=1)).sum(axis=1).clip(max=len(plans) - 1)
    rows = np.arange(len(action))
    return Trials(action=action, propensity=by[rows, action], reward=worth[rows, action], target=B, model=model, logging=by)


# %% [markdown]
# How much of the log speaks of B is told by its *effective sample size*: a log with very unequal ratios is worth no more than so many equal ones.
# We take four logs of A, from some exploration to nothing else.


# %%
@dataclass(frozen=True)
class Found:
    """What a log of one share of exploration said."""

    exploration: float
    effective: float
    by: dict[str, tuple[float, float, float]]  # estimator to value and interval


SHARES, found = (0.2, 0.4, 0.7, 1.0), []
for share in SHARES:
    log = logged(acting(share), seed=round(100 * share))
    told = {name: estimate(log, one) for name, one in (("IPS", ips), ("SNIPS", snips), ("DR", dr))}
    found.append(Found(share, overlap(log).effective, {name: (one.value, one.low, one.high) for name, one in told.items()}))
    line = ", ".join(f"{name} {value:.0f} [{low:.0f}, {high:.0f}]" for name, (value, low, high) in found[-1].by.items())
    print(f"exploration {share:.0%}: worth {found[-1].effective:.0f} of its {len(worth)} decisions; {line}")

# %% [markdown]
# And without any exploration? The log is refused, with the reason. A number would be worse than none.

# %%
refusal = ""
try:
    estimate(logged(acting(0.0), seed=1), dr)
except NoSupport as error:
    refusal = error.message
print(refusal)

# %%
figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="tight")
places = np.arange(len(SHARES))
for shift, name in zip((-0.2, 0.0, 0.2), found[0].by, strict=True):
    value, low, high = np.array([one.by[name] for one in found]).T
    axes.errorbar(places + shift, value, (value - low, high - value), marker="o", linestyle="", capsize=3, label=f"B by {name}, 95 % interval")
axes.axhline(truth, color="k", linewidth=1, label="B in truth")
axes.axhline(TRUTH_OF_A, color="0.6", linewidth=1, linestyle="--", label="A in truth, without exploration")
axes.set_xticks(places, [f"{one.exploration:.0%}\n({one.effective:.0f})" for one in found])
axes.set(xlabel="share of A's log left to chance (effective sample size for B)", ylabel="micro-dollars earned per question")
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# **Can the intervals be believed?** One log proves little. So A's dice are thrown 150 times over the same questions at 20 % exploration, and we
# count how often the interval of DR covers the truth, and how often the log says that B is better than A when it is. The two are compared pairwise,
# on one log, so that what moves both does not widen the interval.

# %%
TIMES, told, covered, better, by_a = 150, 0, 0, 0, acting(0.2)
for time in range(TIMES):
    log = logged(by_a, seed=1_000 + time)
    try:
        one = estimate(log, dr, Interval(kind="normal"))
    except NoSupport:  # now and then chance has drawn too little of what B would do
        continue
    ahead = difference(log, replace(log, target=by_a), dr, Interval(kind="normal"))
    told, covered, better = told + 1, covered + (one.low <= truth <= one.high), better + (ahead.low > 0)
print(f"of {told} intervals {covered / told:.1%} covered the truth; B was found better in {better / told:.1%}; {TIMES - told} logs were refused")

# %%
width = {one.exploration: one.by["DR"][2] - one.by["DR"][1] for one in found}
assert refusal
assert truth > TRUTH_OF_A
assert found[0].effective < found[1].effective < found[-1].effective
assert width[0.2] > width[1.0]
assert told > 0.95 * TIMES
assert covered / told > 0.88
print(
    f"Conclusion: B earns {truth:.0f} micro-dollars a question and A {TRUTH_OF_A:.0f}; a log of A with 20 % left to chance said so in"
    f" {better / told:.0%} of {told} throws of the dice, and its 95 % interval covered the truth in {covered / told:.0%}. Such a log is worth"
    f" {found[0].effective:.0f} decisions of B, one that leaves all to chance {found[-1].effective:.0f}, and one that leaves nothing to chance none."
)
