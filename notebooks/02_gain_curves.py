# %% [markdown]
# # Gain curves and difficulty
#
# **Question.** How does the chance of a right answer grow with the number of samples, for easy and for hard questions, and is that what is
# predicted?
#
# A *sample* is one answer that a model draws at random. To draw N of them and to give the most frequent one is a *majority vote*. A *gain curve* is
# the share of questions that come out right, as a function of N. Two curves bound what samples can do:
#
# - *majority of N*: how often the most frequent answer is right;
# - *one of N* (pass@N): how often a right one is among them at all, which only a faultless judge could make use of.

# %%
import os
from collections import Counter

os.environ.setdefault("TQDM_DISABLE", "1")  # progress is for terminals

import matplotlib.pyplot as plt
import numpy as np

from predictors.encoders import encoders
from predictors.features import Featurizer, describe_all
from predictors.learned import Learned
from router.benchmark.reasoners import attempts
from router.settings import Settings
from router.types import Evidence
from workers.reasoner.workload import problems

QUESTIONS, SAMPLES, RESAMPLES = 20, 12, 1_000
LEVELS = {"easy (levels 1 to 3)": range(1, 4), "hard (levels 7 and 8)": range(7, 9)}
plans = [plan.plan(name) for name, plan in Settings().plans.items()]
vote = next(plan for plan in plans if plan.id == "small-vote")
rng = np.random.default_rng(0)

# %% [markdown]
# **What is true.** The middle one of the bundled models, `small`, answers each question 12 times. The questions are of the split that neither model
# nor predictor has learned from.

# %%
papers = {}
for name, levels in LEVELS.items():
    found = {problem.question: problem for problem, _ in zip(problems("test", 2, levels=levels), range(2 * QUESTIONS), strict=False)}
    papers[name] = list(found.values())[:QUESTIONS]
paper = [problem for part in papers.values() for problem in part]
drawn = {problem.question: [] for problem in paper}
for row in attempts("small", SAMPLES, vote.price, paper):
    drawn[row["query"]].append((row["answer"], bool(row["quality"])))

# %% [markdown]
# With 12 samples at hand, curves for fewer are means over random subsets of them. A vote that is tied is decided by chance; an answer that cannot
# be read is no vote.


# %%
def majority(sample: list[tuple[str | None, bool]]) -> float:
    """P(the most frequent answer is right), ties broken at random."""
    votes = Counter(answer for answer in sample if answer[0])
    best = [right for (_, right), count in votes.items() if count == max(votes.values())]
    return sum(best) / len(best) if best else 0.0


def curves(answers: list[tuple[str | None, bool]], subsets: int = 40) -> np.ndarray:
    """Majority and one of N, (2, SAMPLES)."""
    out = np.zeros((2, SAMPLES))
    for n in range(1, SAMPLES + 1):
        picked = [[answers[place] for place in rng.permutation(SAMPLES)[:n]] for _ in range(subsets)]
        out[:, n - 1] = np.mean([[majority(one), any(right for _, right in one)] for one in picked], axis=0)
    return out


truth = {name: np.stack([curves(drawn[problem.question]) for problem in part]) for name, part in papers.items()}  # (questions, 2, SAMPLES)

# %% [markdown]
# **What is predicted.** From the text of a question alone the predictor forecasts how likely a vote of 16 is right; and it has learned from the log
# how far samples of one question agree, which makes a whole curve of it. `PlanQuery` with `curves` tells callers the same. It also gives the point
# of *saturation*: the number of samples beyond which no more are worth their price.

# %%
predictor, predicted, enough = Learned(), {}, {}
for name, part in papers.items():
    features = describe_all(Featurizer(encoders.build("static")), [problem.question for problem in part])
    told = [predictor.curves(predictor.predict(one, Evidence(), plans), plans, value=5_000.0) for one in features]
    own = [next(curve for curve in one if curve.plan == vote.id) for one in told]
    predicted[name] = np.array([curve.success[:SAMPLES] for curve in own])
    enough[name] = float(np.median([curve.saturation for curve in own]))

# %% [markdown]
# In the figure bands are 95 % bootstrap intervals over questions: each set is drawn again a thousand times, questions with repetition.


# %%
def interval(rows: np.ndarray) -> np.ndarray:
    """The ends for the mean of rows (questions, SAMPLES): (2, SAMPLES)."""
    means = rows[rng.integers(len(rows), size=(RESAMPLES, len(rows)))].mean(axis=1)
    return np.quantile(means, (0.025, 0.975), axis=0)


n = np.arange(1, SAMPLES + 1)
figure, panels = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="tight")
for axes, name in zip(panels, LEVELS, strict=True):
    for side, label, colour in ((1, "one of N is right", "tab:green"), (0, "the majority of N is right", "tab:blue")):
        axes.plot(n, truth[name][:, side].mean(axis=0), color=colour, label=label)
        axes.fill_between(n, *interval(truth[name][:, side]), color=colour, alpha=0.2)
    axes.plot(n, predicted[name].mean(axis=0), "k--", label="predicted for the majority")
    axes.set(title=name, xlabel="samples, N", ylim=(0, 1.03))
panels[0].set_ylabel("share of questions that come out right")
panels[0].legend(loc="lower right", fontsize=8)
plt.show()

# %% [markdown]
# What to look for: the first sample says nearly everything about an easy question. For a hard one right answers go on turning up among the samples,
# but a vote does not find them, because the wrong ones agree as well. What is worth buying there is a judge, or a better model, and not more votes.
# Which of the two kinds a question is can be told from its text.

# %%
easy, hard = (truth[name].mean(axis=0) for name in LEVELS)
gains = {name: [float(truth[name][:, side, -1].mean() - truth[name][:, side, 0].mean()) for side in (0, 1)] for name in LEVELS}
off = {name: float(predicted[name].mean() - truth[name][:, 0].mean()) for name in LEVELS}
for name in LEVELS:
    vote_gain, any_gain = gains[name]
    print(f"{name}: {SAMPLES} samples instead of one gain a vote {vote_gain:+.2f}, a faultless judge {any_gain:+.2f};")
    print(f"   predicted less true: {off[name]:+.2f}; saturation of the vote, in the median: {enough[name]:.0f} samples")
assert easy[0, 0] > hard[0, 0] + 0.2
assert gains["hard (levels 7 and 8)"][1] > gains["hard (levels 7 and 8)"][0]
assert gains["hard (levels 7 and 8)"][1] > gains["easy (levels 1 to 3)"][1]
assert predicted["easy (levels 1 to 3)"].mean() > predicted["hard (levels 7 and 8)"].mean() + 0.2
print(
    f"Conclusion: on easy questions the first sample is right {easy[0, 0]:.0%} of the time, and a vote of {SAMPLES} {easy[0, -1]:.0%}; on hard ones"
    f" it is right {hard[0, 0]:.0%} of the time, a right answer is among {SAMPLES} samples {hard[1, -1]:.0%} of the time, and a vote finds it"
    f" {hard[0, -1]:.0%} of the time. The prediction tells the two kinds apart before anything is bought."
)
