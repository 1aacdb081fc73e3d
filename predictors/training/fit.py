"""Fit the logistic predictor from the log, and say how well it does on rows it was not fitted on."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from predictors.artifact import save
from predictors.evidence import names, of_record, summarise
from predictors.logistic import KIND
from predictors.training.cases import FOLDS, Case, Sheet, belief_sheet, cases, rescue_sheet, start_sheet
from router.errors import InvalidQuery
from router.types import Record

QUANTILES = 9
_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
_FEWEST = 30  # rows, with at least five of each kind, under which a head is only its base rate

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Head:
    """Fitted weights (d,), the variance of each (d,), and out-of-fold log-odds for the rows it was fitted on (n,)."""

    weights: Array
    variance: Array
    held_out: Array


def fit_head(sheet: Sheet, width: int) -> Head:
    """Ridge logistic regression; strength chosen, and log-odds calibrated (Platt 1999), on held-out folds."""
    if len(sheet.y) < _FEWEST or min(sheet.y.sum(), (1 - sheet.y).sum()) < 5:
        return _base_rate(sheet, width)
    scale = sheet.x.std(0)
    scale[scale < 1e-6] = 1.0
    x = sheet.x / scale
    tried = [(strength, _cross_fit(x, sheet, strength)) for strength in _STRENGTHS]
    strength, logits = min(tried, key=lambda pair: log_loss(sheet.y, _sigmoid(pair[1])))
    slope, shift = _platt(logits, sheet.y)
    model = LogisticRegression(C=strength, max_iter=2_000).fit(x, sheet.y)
    weights = slope * model.coef_[0] / scale
    weights[0] += slope * model.intercept_[0] + shift  # column 0 of the features is the constant 1
    p = _sigmoid(x @ model.coef_[0] + model.intercept_[0])
    hessian = (x * (p * (1 - p))[:, None]).T @ x + np.eye(width) / strength
    return Head(weights, slope**2 * np.diag(np.linalg.inv(hessian)) / scale**2, slope * logits + shift)


def _base_rate(sheet: Sheet, width: int) -> Head:
    rate = (sheet.y.sum() + 1) / (len(sheet.y) + 2)
    weights, variance = np.zeros(width), np.zeros(width)
    weights[0], variance[0] = math.log(rate / (1 - rate)), 1 / max(1e-9, (len(sheet.y) + 2) * rate * (1 - rate))
    return Head(weights, variance, np.full(len(sheet.y), weights[0]))


def _cross_fit(x: Array, sheet: Sheet, strength: float) -> Array:
    logits = np.zeros(len(sheet.y))
    for fold in range(FOLDS):
        rest = sheet.fold != fold
        if 0 < sheet.y[rest].sum() < rest.sum():
            model = LogisticRegression(C=strength, max_iter=2_000).fit(x[rest], sheet.y[rest])
            logits[~rest] = model.decision_function(x[~rest]) if (~rest).any() else 0.0
    return logits


def _platt(logits: Array, y: Array) -> tuple[float, float]:
    model = LogisticRegression(C=100.0).fit(logits[:, None], y)
    return max(0.05, float(model.coef_[0, 0])), float(model.intercept_[0])


def update_quantiles(found: Sequence[Case], plans: Sequence[str], belief: Array, starts: dict[str, Head]) -> Array:
    """`Onward.ratios`: by how many nats of log-odds one purchase of each plan moved belief in its answer, wrong and right apart."""
    ratios = np.zeros((len(plans), 2, QUANTILES))
    points = (np.arange(QUANTILES) + 0.5) / QUANTILES
    for place, plan in enumerate(plans):
        moves: tuple[list[float], list[float]] = ([], [])
        for case in found:
            first = case.rows[0]
            if first.action != "buy" or first.plan != plan or first.outcome_answer not in case.right:
                continue
            prior = float(case.features @ starts[plan].weights)
            state: Array = np.concatenate((case.features, summarise([of_record(first)], first.outcome_answer, plans)))
            after = float(state @ belief) if first.outcome_answer else -10.0
            moves[case.right[first.outcome_answer]].append(after - prior)
        for right in (0, 1):
            if len(moves[right]) >= 5:
                ratios[place, right] = np.quantile(moves[right], points)
    return ratios


def wrong_evidence(found: Sequence[Case], plans: Sequence[str]) -> Array:
    """What the evidence looks like, on average, after each plan was bought first and was wrong: (plans, columns)."""
    shown: dict[str, list[NDArray[Any]]] = {plan: [] for plan in plans}
    for case in found:
        first = case.rows[0]
        if first.action == "buy" and first.plan in shown and case.right.get(first.outcome_answer) is False:
            shown[first.plan].append(summarise([of_record(first)], first.outcome_answer, plans))
    width = len(names(plans))
    return np.stack([np.mean(shown[plan], axis=0) if shown[plan] else np.zeros(width) for plan in plans])


def cost_heads(found: Sequence[Case], plans: Sequence[str], width: int) -> tuple[Array, Array, Array]:
    """Log of expected cost (plans, features), and tokens and seconds per micro-dollar (plans,)."""
    weights, tokens, seconds = np.zeros((len(plans), width)), np.zeros(len(plans)), np.zeros(len(plans))
    for place, plan in enumerate(plans):
        rows = [(case.features, row) for case in found for row in case.rows if row.action == "buy" and row.plan == plan and row.cost > 0]
        if not rows:
            continue
        x: Array = np.stack([features for features, _ in rows])
        cost = np.array([row.cost for _, row in rows], float)
        fitted: Array = np.linalg.solve(x.T @ x + np.eye(width), x.T @ np.log(cost))
        fitted[0] += math.log(cost.mean() / np.exp(x @ fitted).mean())  # column 0 is the constant 1: the mean is met exactly
        spent = [row.prompt_tokens + row.kept_tokens + row.discarded_tokens + row.cancelled_tokens + row.scored_tokens for _, row in rows]
        weights[place], tokens[place] = fitted, sum(spent) / cost.sum()
        seconds[place] = sum(row.seconds for _, row in rows) / cost.sum()
    return weights, tokens, seconds


def fit(records: Iterable[Record], plans: tuple[str, ...], directory: Path) -> dict[str, object]:
    """Fit every head, write the artifact, return what `facts` in its manifest says. InvalidQuery when the log has nothing to learn from."""
    found = cases(records)
    if not found:
        raise InvalidQuery("the log holds no rewarded decision: send traffic, report outcomes, then retrain")
    newest = max(found, key=lambda case: case.rows[0].at).rows[0].feature_version
    found = [case for case in found if case.rows[0].feature_version == newest]
    with threadpool_limits(limits=1):  # these problems are so small that threads only wait for one another: eight times slower on two busy cores
        arrays, facts = _heads(found, plans)
    facts["version"] = save(directory, kind=KIND, plans=plans, feature_version=newest, arrays=arrays, facts=facts)
    return facts


def _heads(found: Sequence[Case], plans: tuple[str, ...]) -> tuple[dict[str, Array], dict[str, object]]:
    """The artifact's arrays, and the held-out figures of the heads."""
    width = len(found[0].features)
    full = width + len(names(plans))
    belief_rows = belief_sheet(found, plans)
    belief = fit_head(belief_rows, full)
    sheets = {plan: start_sheet(found, plan) for plan in plans}
    starts = {plan: fit_head(sheets[plan], width) for plan in plans}
    rescues = {plan: fit_head(rescue_sheet(found, plan, plans, belief.weights), full) for plan in plans}
    cost, tokens, seconds = cost_heads(found, plans, width)
    rescue = np.stack([rescues[plan].weights for plan in plans])
    arrays = {
        "belief": belief.weights,
        "start": np.stack([starts[plan].weights for plan in plans]),
        "start_variance": np.stack([starts[plan].variance for plan in plans]),
        "rescue": rescue,
        "rescue_variance": np.stack([rescues[plan].variance for plan in plans]),
        "rescue_after": wrong_evidence(found, plans) @ rescue[:, width:].T,
        "ratios": update_quantiles(found, plans, belief.weights, starts),
        "cost": cost,
        "tokens_per_cost": tokens,
        "seconds_per_cost": seconds,
    }
    facts: dict[str, object] = {"decisions": len(found), "belief": quality(belief_rows.y, belief.held_out)}
    facts["start"] = {plan: quality(sheets[plan].y, starts[plan].held_out) for plan in plans}
    return arrays, facts


def quality(y: Array, logits: Array) -> dict[str, float | int]:
    """Held-out figures of a head: rows, base rate, AUC, Brier score and expected calibration error (10 equal-mass bins)."""
    if len(y) == 0:
        return {"rows": 0}
    p = _sigmoid(logits)
    bins = np.array_split(np.argsort(p), min(10, len(p)))
    error = sum(len(part) * abs(y[part].mean() - p[part].mean()) for part in bins) / len(p)
    auc = float(roc_auc_score(y, p)) if 0 < y.sum() < len(y) else float("nan")
    figures = {"base_rate": float(y.mean()), "auc": auc, "brier": float(brier_score_loss(y, p)), "ece": float(error)}
    return {"rows": len(y), **{name: round(value, 4) for name, value in figures.items() if not math.isnan(value)}}


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
