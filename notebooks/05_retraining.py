# %% [markdown]
# # Retraining from logs
#
# **Question.** What does a log of N decisions teach, and does the predictor that was fitted to it beat the old one on questions that neither has
# seen?
#
# The predictor is what routing stands on: of each plan it forecasts P(right) for a question. It learns from the decision log and from nothing else:
# what was asked, what was bought with which chance, and what the answer was said to be worth. A decision shows the outcome of one plan only.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression

from predictors.encoders import encoders
from predictors.features import Featurizer, describe_all
from predictors.learned import Learned
from predictors.training.retrain import retrain
from predictors.training.scoring import score
from router.benchmark.run import BUNDLED
from router.settings import Settings
from router.tables import import_table
from router.types import Evidence

SIZES, RESAMPLES = (60, 200, 600), 200
PLAN_OF = {"nano": "nano-direct", "small": "small-solve", "large": "large-solve"}
rng = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory(prefix="rheostat-notebook-")
data = Path(folder.name)
featurizer = Featurizer(encoders.build("static"))

# %% [markdown]
# **The log.** The package carries a table of what its three models answered to 1,000 questions. For 600 of them one plan each is drawn evenly, as a
# service would that explores everything, and `import_table` (the command `rheostat import`) makes of it the log of these decisions. The other 400
# questions are held out, and for these all three outcomes are known.

# %%
asked: dict[str, dict[str, dict[str, object]]] = {}
for row in pq.read_table(BUNDLED).to_pylist():
    if row["sample_index"] == 0:
        asked.setdefault(row["query"], {})[PLAN_OF[row["arm"]]] = {**row, "arm": PLAN_OF[row["arm"]], "propensity": 1 / len(PLAN_OF)}
questions = [list(asked)[place] for place in rng.permutation(len(asked))]
learned_from, held_out = questions[: max(SIZES)], questions[max(SIZES) :]
decisions = [asked[text][rng.choice(list(PLAN_OF.values()))] for text in learned_from]


def log_of(count: int) -> Path:
    """The first decisions as a log."""
    table = data / f"decisions-{count}.parquet"
    pq.write_table(pa.Table.from_pylist(decisions[:count]), table)
    return import_table(table, data / "log", featurizer).file


# %% [markdown]
# **Retraining**, for logs of growing length. This is what `rheostat retrain` does: several families of models are tried on held-out folds of the
# log, the best is calibrated, and where there is too little to learn from the base rate of each plan remains.

# %%
plans = [plan.plan(name) for name, plan in Settings().plans.items() if name in PLAN_OF.values()]
features = describe_all(featurizer, held_out)
right = np.array([[asked[text][plan.id]["quality"] for plan in plans] for text in held_out], float)


def forecast(predictor: Learned, order: np.ndarray) -> np.ndarray:
    """P(right) of each plan for each held-out question, (questions, plans); the i-th question is described as the order[i]-th."""
    return np.array([[one.success for one in predictor.predict(features[place], Evidence(), plans).forecasts] for place in order])


predictors, own = {}, np.arange(len(held_out))
for size in SIZES:
    report = retrain(log_of(size), tuple(plan.id for plan in plans), data / f"predictor-{size}")
    predictors[size] = Learned(path=str(data / f"predictor-{size}"))
    print(f"{size} decisions: predictor {report.version}")

# %% [markdown]
# **Controls.** A number means little alone. Each of these learns from the same 600 decisions, or is the new predictor itself:
#
# - *base rate*: each plan's share of right answers;
# - *category*: each plan's share among questions of the same family, which is more than the service is told;
# - *length*: logistic regression on the length of the question;
# - *shuffled*: the new predictor, given the description of another question.


# %%
def family(text: str) -> str:
    """The kind of question, which the table knows and the service does not."""
    return str(next(iter(asked[text].values()))["category"]).rpartition("/")[0]


def shares(by_family: bool) -> np.ndarray:
    """Shares of right answers among the decisions, shrunk by five of the plan's mean: (questions, plans)."""
    out = np.zeros(right.shape)
    for column, plan in enumerate(plans):
        seen = [(family(str(row["query"])), row["quality"]) for row in decisions if row["arm"] == plan.id]
        mean = np.mean([quality for _, quality in seen])
        for place, text in enumerate(held_out):
            alike = [quality for name, quality in seen if name == family(text)] if by_family else []
            out[place, column] = (sum(alike) + 5 * mean) / (len(alike) + 5)
    return out


def by_length() -> np.ndarray:
    """P(right) by the logarithm of the length: (questions, plans)."""
    lengths = np.log([[len(text)] for text in held_out])
    out = []
    for plan in plans:
        rows = [row for row in decisions if row["arm"] == plan.id]
        model = LogisticRegression().fit(np.log([[len(str(row["query"]))] for row in rows]), [row["quality"] == 1 for row in rows])
        out.append(model.predict_proba(lengths)[:, 1])
    return np.stack(out, axis=1)


judged = {f"{size} decisions": forecast(predictor, own) for size, predictor in predictors.items()}
judged |= {
    "base rate": shares(False),
    "category": shares(True),
    "length": by_length(),
    "shuffled": forecast(predictors[SIZES[-1]], rng.permutation(own)),
}

# %% [markdown]
# **Judged on held-out questions.** The *Brier score* is the mean squared distance between a forecast and what came of it: 0 is perfect, and lower
# is better. *AUC* is the chance that of a right and a wrong answer the right one was forecast higher. Whole questions are resampled for the
# intervals.

# %%
group = np.repeat(np.arange(len(held_out)), len(plans))
found = {name: score(p.ravel(), right.ravel(), group=group, resamples=RESAMPLES) for name, p in judged.items()}
for name, figures in found.items():
    print(f"{name:<14}" + "  ".join(f"{one} {figures[one].value:.3f} [{figures[one].low:.3f}, {figures[one].high:.3f}]" for one in ("brier", "auc")))


def ahead(new: str, old: str) -> np.ndarray:
    """By how much the new one's Brier score is lower, with its 95 % interval, question by question."""
    gain = ((judged[old] - right) ** 2 - (judged[new] - right) ** 2).mean(axis=1)
    drawn = gain[rng.integers(len(gain), size=(2_000, len(gain)))].mean(axis=1)
    return np.array([gain.mean(), *np.quantile(drawn, (0.025, 0.975))])


# %%
figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="tight")
for place, (name, figures) in enumerate(found.items()):
    one = figures["brier"]
    colour = "tab:blue" if name.endswith("decisions") else "0.5"
    axes.errorbar(place, one.value, [[one.value - one.low], [one.high - one.value]], marker="o", capsize=4, color=colour)
axes.set_xticks(range(len(found)), [name.replace(" decisions", "\ndecisions") for name in found])
axes.set(xlabel="predictor of N decisions (blue), and controls of the longest log (grey)", ylabel="Brier score on held-out questions, 95 % intervals")
plt.show()

# %%
new, old = f"{SIZES[-1]} decisions", f"{SIZES[0]} decisions"
gains = {name: ahead(new, name) for name in found if name != new}
assert all(low > 0 for _, low, _ in gains.values())
folder.cleanup()
best = min((name for name in found if not name.endswith("decisions")), key=lambda name: found[name]["brier"].value)
print(
    f"Conclusion: {SIZES[0]} decisions teach base rates at best and {SIZES[-1]} teach more: the new predictor's Brier score is {gains[old][0]:.3f}"
    f" [{gains[old][1]:.3f}, {gains[old][2]:.3f}] lower than the old one's, and {gains[best][0]:.3f} [{gains[best][1]:.3f}, {gains[best][2]:.3f}]"
    f" lower than that of the best control, {best}. Given the descriptions of other questions it loses everything: what it knows is in the question."
)
