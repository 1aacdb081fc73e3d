"""Tables of real outcomes as bandit problems: questions come one by one, and only what the bought plan answered is told."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict

from predictors.prior import CONTEXT, Prior
from router.benchmark.board import Board, boards, load
from router.benchmark.prompts import described
from router.benchmark.run import BUNDLED, MENUS, Menu
from router.types import Budget, Evidence, Features, Forecast, Plan, Prediction

Array = NDArray[np.float64]
Places = NDArray[np.int64]

TABLES = {
    "bundled reasoners": Menu("reasoners", (("nano", 0), ("small", 0), ("large", 0))),
    "gsm8k_cobbe": MENUS["gsm8k_cobbe"],
    "routellm": Menu("routellm", MENUS["routellm, MMLU"].items),
    "mmlu_pro": MENUS["mmlu_pro"],
    "reasoning_gym_easy": MENUS["reasoning_gym_easy"],
}
_DEAREST = 10_000.0  # micro-dollars that the dearest plan costs on average, whatever it does in the table
_FITTED = 300  # questions that the warm start has learned from, and nobody is asked
_FOLDS = 5
_FAR = 3.0  # standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """n questions and k plans, and m more questions whose outcomes may be known beforehand.

    `context` (n, c) is what all competitors see, `category` (n,) numbers; `quality` (n, k) in [0, 1]; `cost` (n, k), its mean `price` (k,), which
    everybody is told, and `worth`, of a right answer, in micro-dollars. `known` (m, c) are the contexts of the others, `known_quality` (m, k) their
    outcomes; `fitted` (n, k) is the P(right) that a predictor learned from them forecasts. `choices` are those, each (n,), of whoever has seen every
    outcome.
    """

    name: str
    plans: tuple[str, ...]
    context: NDArray[np.float32]
    category: Places
    quality: Array
    cost: Array
    price: Array
    worth: float
    known: NDArray[np.float32]
    known_quality: Array
    fitted: Array
    choices: Mapping[str, Places]
    reference: str  # what kind of policy the full-information reference is

    @property
    def reward(self) -> Array:
        """In units of a right answer, (n, k)."""
        return self.quality - self.cost / self.worth

    @property
    def catalogue(self) -> tuple[Plan, ...]:
        """The plans as the router knows them; the prior takes half of a ceiling for the cost."""
        prices = np.round(2 * self.price).astype(int).tolist()
        return tuple(
            Plan(id=name, pool="table", strategy="direct", budget=Budget(cost=price)) for name, price in zip(self.plans, prices, strict=True)
        )

    def prior(self) -> Prediction:
        """What is forecast of every question where nothing was learned, by the real prior."""
        return Prior().predict(Features(vector=np.zeros(CONTEXT, np.float32), names=(), version=""), Evidence(), self.catalogue)

    def warm(self, ask: int) -> Prediction:
        """What is forecast of one question where the other questions' outcomes are known."""
        row, prices = self.fitted[ask].tolist(), self.price.tolist()
        forecasts = tuple(
            Forecast(plan=plan, success=p, low=max(0.0, p - 0.1), high=min(1.0, p + 0.1), tokens=0.0, cost=price, seconds=1.0)
            for plan, p, price in zip(self.plans, row, prices, strict=True)
        )
        return Prediction(in_hand=0.0, forecasts=forecasts, version="warm", context=self.context[ask])


def problems(data: Path | None, worth: float, rounds: int, only: Collection[str] = ()) -> list[Problem]:
    """Those of TABLES that the folder has; a right answer is worth so many times what the dearest plan costs on average."""
    tables = {**(boards(data) if data else {}), BUNDLED.stem: load(BUNDLED)}
    menus = {name: TABLES[name] for name in only or TABLES if TABLES[name].table in tables}
    return [problem(name, tables[menu.table].pick(menu.items), worth, rounds) for name, menu in menus.items()]


def problem(name: str, board: Board, worth: float, rounds: int) -> Problem:
    """One table's, for so many rounds, with the references worked out."""
    context, cost = contexts(board), board.cost / board.cost.mean(axis=0).max() * _DEAREST
    groups = np.random.default_rng(0).permutation(np.unique(board.group))
    held = np.isin(board.group, groups[: min(_FITTED, len(groups) // 3)])
    reward = (board.quality - cost / (worth * _DEAREST))[~held]
    learned = informed(context[~held], reward, board.group[~held], again=rounds > len(reward))
    mean = {kind: float(reward[np.arange(len(reward)), chosen].mean()) for kind, chosen in learned.items()}
    best = max(mean, key=mean.__getitem__)
    return Problem(
        name=name,
        plans=tuple(f"{arm} {sample}" if sample else arm for arm, sample in board.items),
        context=context[~held],
        category=np.unique(board.category, return_inverse=True)[1][~held],
        quality=board.quality[~held],
        cost=cost[~held],
        price=cost[~held].mean(axis=0),
        worth=worth * _DEAREST,
        known=context[held],
        known_quality=board.quality[held],
        fitted=np.stack([_logistic(context[held], column, context[~held]) for column in board.quality[held].T], axis=1),
        choices={"best constant": learned["constant"], "full information": learned[best], "hindsight oracle": reward.argmax(axis=1)},
        reference=best,
    )


def contexts(board: Board) -> NDArray[np.float32]:
    """The directions in which the questions differ most, whitened and cut, as the service's predictor tells them apart; no outcome is looked at."""
    x = described(board.text)
    axes = PCA(CONTEXT, whiten=True, random_state=0).fit_transform((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6))
    return np.clip(axes, -_FAR, _FAR).astype(np.float32)


def informed(context: NDArray[np.float32], reward: Array, group: Places, *, again: bool) -> dict[str, Places]:
    """What is bought (n,) by the plan that is best on all, and by models of every plan's reward that saw all plans' outcomes.

    A model has not seen the question that it judges, unless questions come `again`: they can be learned by heart then, as far as a linear model can.
    """
    found = {"constant": np.full(len(reward), reward.mean(axis=0).argmax())}
    if again:
        return found | {"ridge, of these questions": Ridge(10.0).fit(context, reward).predict(context).argmax(axis=1)}
    for kind, model in {"ridge": Ridge(10.0), "boosting": HistGradientBoostingRegressor(max_iter=60, learning_rate=0.08, max_leaf_nodes=15)}.items():
        columns = [cross_val_predict(model, context, column, groups=group, cv=GroupKFold(_FOLDS)) for column in reward.T]
        found[kind] = np.stack(columns, axis=1).argmax(axis=1)
    return found


def _logistic(x: NDArray[np.float32], quality: Array, there: NDArray[np.float32]) -> Array:
    label = quality >= 0.5
    if label.all() or not label.any():
        return np.full(len(there), (label.sum() + 1) / (len(label) + 2))
    return np.asarray(LogisticRegression(C=0.05, max_iter=200).fit(x, label).predict_proba(there)[:, 1])
