"""The model card: what a predictor was made from, how good it is beside its controls, and what it changes. `card.json`, `card.md`, plots."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from predictors.artifact import Artifact, load
from predictors.learned import KIND, head_of
from predictors.training.log import Survey
from predictors.training.newton import sigmoid
from predictors.training.noise import SOURCES, Noise
from predictors.training.offpolicy import pseudo_outcomes
from predictors.training.scoring import reliability, score
from predictors.training.selection import PLAIN, FittedHead, fit_head
from predictors.training.sheets import FOLDS, Log, Sheet, Start
from router.errors import BadArtifact

_LENGTH = 1  # the column of the features that tells how long the prompt is: `characters`, see predictors.features
_RESAMPLES = 200
_CONTROL_ROWS = 5_000  # controls are fitted to no more
_FEWEST = 30  # rows under which two predictors are not compared
_WORTHS = np.geomspace(0.1, 1e5, 61)  # micro-dollars a right answer is worth: one point of the quality-cost curve each

Number = TypeVar("Number", bound=np.floating[Any])
Array = NDArray[np.float64]
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """What was fitted, to what; `arrays` are the artifact's."""

    plans: tuple[str, ...]
    log: Log
    start: Start
    start_head: FittedHead
    belief: Sheet
    belief_head: FittedHead
    arrays: Mapping[str, NDArray[Any]]
    lexical: bool  # whether the features are ours, so that the length of the prompt is known to be among them


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The card's contents. `facts` depend on the log alone and go into the manifest; `change` also on what served until now."""

    facts: Facts
    change: Facts
    curve: Facts
    reliability: Mapping[str, tuple[list[float], list[float]]]


def describe(survey: Survey, noise: Noise, heads: Heads, directory: Path, seed: int) -> Told:
    """All that the card says. To be asked before the artifact in `directory` is replaced."""
    sheets = {"belief": (heads.belief, 0, heads.belief_head)} | {
        f"start/{plan}": (heads.start.sheet, place, heads.start_head) for place, plan in enumerate(heads.plans)
    }
    facts: Facts = {
        "decisions": int(sum(bool(told) for told in heads.log.told)),
        "data": _data(survey, noise, heads),
        "belief": _quality(*sheets["belief"], heads.lexical, seed),
        "start": {plan: _quality(*sheets[f"start/{plan}"], heads.lexical, seed) for plan in heads.plans},
        "corrected": _corrected(heads),
    }
    bins = {}
    for name, one in sheets.items():
        y, held_out, _ = _seen(*one)
        found = reliability(sigmoid(held_out), y)
        bins[name] = [stated for stated, _, _ in found], [right for _, right, _ in found]
    return Told(facts=facts, change=_change(heads, directory, seed), curve=_curve(heads, seed), reliability=bins)


def write(directory: Path, version: str, told: Told) -> None:
    """Put the card beside the artifact; loading one does not look at it."""
    whole = {"version": version, **told.facts, "change": told.change, "quality_cost": told.curve}
    (directory / "card.json").write_text(json.dumps(whole, indent=2) + "\n")
    (directory / "card.md").write_text(_text(version, told))
    _plot_reliability(directory / "card-reliability.png", told.reliability)
    _plot_curve(directory / "card-quality-cost.png", told.curve)


def figures(y: Array, held_out: Array, group: NDArray[np.integer] | None = None, seed: int = 0) -> Facts:
    """Rows, base rate, AUC, Brier score and calibration error of held-out log-odds (n,) for P(right) (n,); with groups, 95 % intervals over them.

    What cannot be told, such as the AUC of outcomes that are all alike, is left out.
    """
    if len(y) == 0:
        return {"rows": 0}
    scored = score(sigmoid(held_out), y, group=group, resamples=1 if group is None else _RESAMPLES, seed=seed)
    found: Facts = {"rows": len(y), "base_rate": round(float(y.mean()), 4)}
    for name in ("auc", "brier", "ece"):
        if (one := scored[name]) is not None:
            found[name] = round(one.value, 4)
            found |= {} if group is None else {f"{name}_interval": [round(one.low, 4), round(one.high, 4)]}
    return found


def _seen(sheet: Sheet, place: int, head: FittedHead) -> tuple[Array, Array, NDArray[np.int64]]:
    seen = sheet.seen(place)
    return sheet.y[seen, place].astype(float), head.held_out[seen, place], sheet.group[seen]


def _quality(sheet: Sheet, place: int, head: FittedHead, lexical: bool, seed: int) -> Facts:
    """Figures of one output of a head, and of its controls on the same rows."""
    found = figures(*_seen(sheet, place, head), seed=seed)
    if not found["rows"]:
        return found
    told = {name: values[place] for name, values in head.facts.items() if isinstance(values, list)}
    one = replace(sheet, y=sheet.y[:, place : place + 1], weight=sheet.weight[:, place : place + 1])
    seen = one.seen(0)
    few = replace(one, x=one.x[seen], y=one.y[seen], weight=one.weight[seen], group=one.group[seen]).most(_CONTROL_ROWS)
    controls = {"base rate only": figures(few.y[:, 0].astype(float), _base_rates(few))}
    less = {"shuffled": _shuffled(few.x, seed)} | ({"prompt length only": few.x[:, [0, _LENGTH]]} if lexical else {})
    for name, x in less.items():
        controls[name] = figures(few.y[:, 0].astype(float), fit_head(replace(few, x=x), seed=seed, among=(PLAIN,)).held_out[:, 0])
    return {**found, **told, "controls": controls}


def _base_rates(sheet: Sheet) -> Array:
    """The log-odds (n,) of the other folds' mean."""
    fold, y = sheet.group % FOLDS, sheet.y[:, 0]
    means = np.array([(y[fold != out].sum() + 1) / ((fold != out).sum() + 2) for out in range(FOLDS)])
    return np.asarray(np.log(means / (1 - means))[fold], float)


def _shuffled(x: NDArray[Number], seed: int) -> NDArray[Number]:
    """Each row has the features of another."""
    return x[np.random.default_rng(seed).permutation(len(x))]


def _data(survey: Survey, noise: Noise, heads: Heads) -> Facts:
    known = heads.start.bought >= 0
    weight = heads.log.weight[known] / heads.start.chance[known]
    return {
        "rows": survey.rows,
        "decisions": survey.decisions,
        "rewarded": survey.rewarded,
        "outdated": survey.outdated,
        "unusable": survey.sampled - len(heads.log.decisions),
        "since": survey.since,
        "until": survey.until,
        "feature_version": survey.feature_version,
        "explored": round(survey.explored / max(1, survey.decisions), 4),
        "sampled": round(survey.share, 4),
        "effective_decisions": round(float(weight.sum() ** 2 / (weight**2).sum()), 1) if known.any() else 0.0,
        "sources": {
            name: {"sensitivity": round(float(yes), 4), "specificity": round(float(no), 4)}
            for name, yes, no in zip(SOURCES, noise.sensitivity, noise.specificity, strict=True)
        },
        "answers_that_several_sources_rated": noise.compared,
    }


def _corrected(heads: Heads) -> Facts:
    """P(right) of each plan over all queries: as seen where it was bought, and corrected for where that was (doubly robust, 95 % interval)."""
    worth = pseudo_outcomes(heads.start_head.held_out, heads.start.sheet.y, heads.start.bought, heads.start.chance)
    share = heads.log.weight / heads.log.weight.sum()
    found = {}
    for place, plan in enumerate(heads.plans):
        y = heads.start.sheet.y[heads.start.bought == place, place]
        mean = float(share @ worth[:, place])
        error = 1.96 * math.sqrt(float(share**2 @ (worth[:, place] - mean) ** 2))
        seen = round(float(y.mean()), 4) if len(y) else None
        found[plan] = {"as_seen": seen, "corrected": round(mean, 4), "interval": [round(mean - error, 4), round(mean + error, 4)]}
    return found


def _curve(heads: Heads, seed: int) -> Facts:
    """Quality and cost per query of choosing one plan by its held-out forecast, for many worths of a right answer; and of the controls."""
    worth = pseudo_outcomes(heads.start_head.held_out, heads.start.sheet.y, heads.start.bought, heads.start.chance)
    known = np.unique(heads.start.bought[heads.start.bought >= 0])
    if not len(known):
        return {}
    features, share = heads.log.features, heads.log.weight / heads.log.weight.sum()
    cost = np.exp(np.clip(features @ heads.arrays["cost"][known].T, -20, 20))
    p, worth = sigmoid(heads.start_head.held_out)[:, known], worth[:, known]

    def points(forecast: Array) -> list[list[float]]:
        rows, found = np.arange(len(p)), []
        for value in _WORTHS:
            choice = (value * forecast - cost).argmax(axis=1)
            found.append([round(float(share @ cost[rows, choice]), 4), round(float(share @ worth[rows, choice]), 4)])
        return [list(pair) for pair in dict.fromkeys(map(tuple, found))]

    constant = {heads.plans[plan]: [round(float(share @ cost[:, at]), 4), round(float(share @ worth[:, at]), 4)] for at, plan in enumerate(known)}
    base = np.broadcast_to(share @ p, p.shape).astype(float)
    return {"constant": constant, "forecast": points(p), "base rate only": points(base), "shuffled": points(_shuffled(p, seed))}


def _change(heads: Heads, directory: Path, seed: int) -> Facts:
    """Old and new on the same rows, held out from the new one; from the old one too where they came after it was fitted."""
    old: Artifact | None = None
    with suppress(BadArtifact):
        old = load(directory, kind=KIND)
    if old is None or len(old.arrays["novelty_mean"]) != heads.log.features.shape[1]:
        return {}
    old_start, old_belief = head_of(old, "start"), head_of(old, "belief")
    data = old.facts.get("data")
    until = data["until"] if isinstance(data, dict) else math.inf
    later = np.array([one.at > until for one in heads.log.decisions])
    fresh = int(later.sum()) >= _FEWEST
    rows = np.flatnonzero(later) if fresh else np.arange(len(later))
    found: Facts = {"old_version": old.version, "rows_that_the_old_one_had_not_seen": fresh, "heads": {}}
    for place, plan in enumerate(heads.plans):
        if plan not in old.plans:
            continue
        before = old_start.logits(heads.log.features[rows])[:, old.plans.index(plan)]
        after, seen = heads.start_head.held_out[rows, place], heads.start.sheet.seen(place)[rows]
        y, group = heads.start.sheet.y[rows, place][seen].astype(float), heads.log.group[rows][seen]
        shift = float((sigmoid(after) - sigmoid(before)).mean())
        pair = {"old": figures(y, before[seen], group, seed), "new": figures(y, after[seen], group, seed)}
        found["heads"][f"start/{plan}"] = {**pair, "mean_shift": round(shift, 4)}
    if old.plans == heads.plans:
        y, held_out, group = _seen(heads.belief, 0, heads.belief_head)
        before = old_belief.logits(heads.belief.x[heads.belief.seen(0)])[:, 0]
        shift = float((sigmoid(held_out) - sigmoid(before)).mean())
        pair = {"old": figures(y, before, group, seed), "new": figures(y, held_out, group, seed)}
        found["heads"]["belief"] = {**pair, "mean_shift": round(shift, 4)}
    return found


def _text(version: str, told: Told) -> str:
    data = told.facts["data"]
    dates = [datetime.fromtimestamp(data[end], UTC).strftime("%Y-%m-%d") for end in ("since", "until")]
    lines = [
        f"# Predictor {version}",
        "",
        f"From {data['rows']:,} rows of the log, {dates[0]} to {dates[1]} (UTC): {data['decisions']:,} decisions with features"
        f" {data['feature_version']}, {data['rewarded']:,} of them rewarded; {data['outdated']:,} more had other features or none and were left out.",
        f"Explored: {data['explored']:.1%}. Effective sample size after correcting for what was bought: {data['effective_decisions']:,}.",
        f"Learned from {data['sampled']:.1%} of the rewarded decisions, drawn by a digest of their ids; {data['unusable']:,} of those drawn had"
        " features that are not finite or not as wide as the others', and were left out.",
        "",
        *_table(("source", "sensitivity", "specificity"), [(name, row["sensitivity"], row["specificity"]) for name, row in data["sources"].items()]),
        "",
        f"These are the usual rates, moved by {data['answers_that_several_sources_rated']:,} answers that several sources rated.",
        "",
        "## On rows held out",
        "",
        *_table(("head", "rows", "base rate", "AUC", "Brier", "calibration error", "note"), _head_rows(told.facts)),
        "",
        "Intervals are 95 %, over queries. The labels are P(right) given the rewards and how far their sources are to be believed.",
        "",
        "## P(right) of each plan bought first, over all queries",
        "",
        *_table(
            ("plan", "as seen where it was bought", "corrected", "95 % interval"),
            [(plan, row["as_seen"], row["corrected"], _ends(row["interval"])) for plan, row in told.facts["corrected"].items()],
        ),
        "",
        "## Against what served until now",
        "",
        *_change_lines(told.change),
    ]
    return "\n".join(lines) + "\n"


def _head_rows(facts: Facts) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, figure in {"belief": facts["belief"], **{f"{plan}, first": one for plan, one in facts["start"].items()}}.items():
        note = "too little to learn from: its base rate" if figure.get("base_rate_only", True) else ""
        rows.append((name, figure["rows"], *(_with_interval(figure, column) for column in ("base_rate", "auc", "brier", "ece")), note))
        for control, one in figure.get("controls", {}).items():
            rows.append((f"- {control}", one["rows"], *(one.get(column, "") for column in ("base_rate", "auc", "brier", "ece")), ""))
    return rows


def _change_lines(change: Facts) -> list[str]:
    if not change.get("heads"):
        return ["There was none that could be compared."]
    fair = (
        "on rows that neither had seen"
        if change["rows_that_the_old_one_had_not_seen"]
        else "on rows that the old one may have seen, which favours it"
    )
    rows = [
        (name, *(_with_interval(one[side], column) for column in ("auc", "brier") for side in ("old", "new")), one["mean_shift"])
        for name, one in change["heads"].items()
    ]
    head = ("head", "AUC, old", "new", "Brier, old", "new", "mean shift")
    return [f"Version {change['old_version']}, {fair}.", "", *_table(head, rows)]


def _with_interval(figure: Facts, column: str) -> str:
    if column not in figure:
        return ""
    return f"{figure[column]} {_ends(figure[f'{column}_interval'])}" if f"{column}_interval" in figure else str(figure[column])


def _ends(interval: Sequence[float]) -> str:
    return f"[{interval[0]}, {interval[1]}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


def _plot_reliability(path: Path, bins: Mapping[str, tuple[list[float], list[float]]]) -> None:
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(5, 5), layout="tight")
        axes = figure.add_subplot(xlabel="forecast P(right)", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, (forecast, right) in bins.items():
            axes.plot(forecast, right, marker=".", linewidth=1, label=name)
        axes.legend()
        figure.savefig(path, dpi=120, metadata={"Software": None})


def _plot_curve(path: Path, curve: Facts) -> None:
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(6, 4), layout="tight")
        axes = figure.add_subplot(xlabel="micro-dollars per query", ylabel="share right (doubly robust)", xscale="log")
        for name in ("forecast", "base rate only", "shuffled"):
            if curve.get(name):
                axes.plot(*zip(*sorted(curve[name]), strict=True), marker=".", linewidth=1, label=name)
        for plan, (cost, right) in curve.get("constant", {}).items():
            axes.plot([cost], [right], marker="x", linestyle="", color="0.4")
            axes.annotate(plan, (cost, right), fontsize=7)
        axes.legend() if curve else None
        figure.savefig(path, dpi=120, metadata={"Software": None})
