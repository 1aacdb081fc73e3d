"""Ladders: fixed sets of arms bought one after the other, each answer looked at before the next is bought, and each paid for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from policies.induction import Lattice, follow, induct, lattice
from predictors.training.guarantees import accept_threshold
from router.benchmark.board import Board, Item
from router.benchmark.evidence import Candidates, believed, candidates, summaries
from router.benchmark.prompts import FEW, Forecaster, Split, odds

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Rows = NDArray[np.bool_]

PRICES = np.concatenate((np.geomspace(0.004, 0.1, 10), np.geomspace(0.13, 2.5, 10)))  # quality that the mean cost of the dearest arm is worth
ALPHAS = (0.05, 0.1)  # shares of the answers given that may be wrong
_PROMISED = int(np.abs(PRICES - 0.05).argmin())  # the price at which that is looked at
_MOST_ROWS = 60_000  # answers a belief is fitted to
_INNER = 2
Point = tuple[Array, Array]  # quality and cost of each question (n,)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Which items of which table, at most how many of them are bought, and what is aimed at.

    `checked`: an answer's quality is seen as soon as it is bought. `naive` is the rule to beat, the `aim` a quality (first) at a cost (second).
    """

    table: str
    items: tuple[Item, ...]
    naive: str
    aim: tuple[float, float]
    most: int = 5
    checked: bool = False


def _each(*arms: str, samples: int = 1) -> tuple[Item, ...]:
    return tuple((arm, sample) for arm in arms for sample in range(samples))


_REASONING = (*_each("mistral-small-3.1-24b-instruct", "llama-4-maverick", samples=3), ("o3-mini", 0))
LADDERS = {
    "GSM8K": Ladder(
        "zeroeval_gsm",
        _each("Meta-Llama-3.1-8B-Instruct", "gemma-2-9b-it", "gpt-4o-mini-2024-07-18", "Meta-Llama-3.1-70B-Instruct", "claude-3-5-sonnet-20241022"),
        "gemma-2-9b and 4o-mini agree, else Sonnet",
        (0.967, 0.15),
    ),
    "reasoning gym, checked": Ladder("reasoning_gym_easy", _REASONING, "Maverick until right, at most 3, else o3-mini", (0.868, 0.35), 7, True),
    "reasoning gym": Ladder("reasoning_gym_easy", _REASONING, "three answers of Maverick agree, else o3-mini", (0.831, 0.70), 7),
    "MMLU-Pro": Ladder(
        "mmlu_pro",
        _each("Meta-Llama-3.1-8B-Instruct", "Phi-3-mini-4k-instruct", "mathstral-7B", "gemini-1.5-pro-002"),
        "all three small ones, then Gemini for the 40 % that agree least",
        (0.640, 0.0),
    ),
    "GSM8K, OpenAI 2021": Ladder("gsm8k_cobbe", _each("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"), "", (0.52, 1.0)),
}


def naive(name: str, board: Board) -> Point | None:
    """What the rule to beat makes of each question; cost in units of the dearest arm's mean."""
    right, cost, answer = board.quality, board.share, board.answer
    if name == "GSM8K":
        agree = (answer[:, 1] == answer[:, 2]) & (answer[:, 1] >= 0)
        return np.where(agree, right[:, 1], right[:, 4]), cost[:, 1] + cost[:, 2] + ~agree * cost[:, 4]
    if name == "reasoning gym, checked":
        done = np.maximum.accumulate(right[:, 3:6] >= 0.99, axis=1)
        spent = cost[:, 3] + ~done[:, 0] * cost[:, 4] + ~done[:, 1] * cost[:, 5] + ~done[:, 2] * cost[:, 6]
        return np.where(done[:, 2], 1.0, right[:, 6]), spent
    if name == "reasoning gym":
        agree = (answer[:, 3] == answer[:, 4]) & (answer[:, 4] == answer[:, 5]) & (answer[:, 3] >= 0)
        return np.where(agree, right[:, 3], right[:, 6]), cost[:, 3:6].sum(axis=1) + ~agree * cost[:, 6]
    return None


Kept = tuple[Rows, Rows]  # which answers were given, and which were wrong: (n,)


@dataclass(frozen=True, slots=True)
class Climb:
    """What deciding after each purchase comes to: quality and cost (n, prices), cost in units of the dearest arm's mean; NaN where not judged.

    `belief` and `right` (states, n) are of the best answer in each state of `found`. `promises` say, for some shares of the answers given that may be
    wrong, which were given at one of the prices.
    """

    quality: Array
    cost: Array
    found: Lattice
    belief: Array
    right: Array
    promises: Mapping[float, Kept]


def climb(board: Board, forecaster: Forecaster, splits: Sequence[Split], *, most: int, checked: bool = False) -> Climb:
    """Learn beliefs and decisions from each split's first questions and act on its others; `forecaster` says what the prompt says."""
    found, cost = lattice(board.items, most), board.share
    shape, rows = (len(found.states), len(board.text)), np.arange(len(board.text))
    quality, spent = (np.full((shape[1], len(PRICES)), np.nan) for _ in range(2))
    beliefs, rights = np.full(shape, np.nan), np.full(shape, np.nan)
    promises = {alpha: (np.zeros(shape[1], bool), np.zeros(shape[1], bool)) for alpha in (() if checked else ALPHAS)}
    for learn, judge in splits:
        starts = _starts(board, forecaster, learn, judge)
        answers = candidates(board, found, starts)
        p = answers.right if checked else _beliefs(board, answers, learn)
        best, second, right = believed(shape[1], shape[0], answers, p)
        features = summaries(best, second, starts, detailed=learn.sum() >= FEW)
        actions = induct(found, best, right, features, cost=cost, prices=PRICES, learn=learn)
        done, paid, ends = follow(found, actions, right, cost)
        quality[judge], spent[judge] = done[judge], paid[judge]
        beliefs[:, judge], rights[:, judge] = best[:, judge], right[:, judge]
        for alpha, (given, wrong) in promises.items():
            given[judge], wrong[judge] = (one[judge] for one in _given(best[ends[:, _PROMISED], rows], right[ends[:, _PROMISED], rows], learn, alpha))
    return Climb(quality, spent, found, beliefs, rights, promises)


def _given(belief: Array, right: Array, learn: Rows, alpha: float) -> Kept:
    """Answers believed enough for at most a share `alpha` to be wrong, by what the questions learned from say, whose beliefs are out of fold."""
    wrong = right < 0.5
    least = accept_threshold(belief[learn], wrong[learn].astype(float), alpha)
    given = np.zeros(len(belief), bool) if least is None else belief >= least
    return given, given & wrong


def _starts(board: Board, forecaster: Forecaster, learn: Rows, judge: Rows) -> Array:
    """Log-odds (n, items) by the prompt: of questions learned from by models of the other folds, of those judged by one of all; 0 for the rest."""
    p, fold = np.full(board.quality.shape, 0.5), board.group % _INNER
    p[judge] = forecaster(learn, judge)
    for part in range(_INNER):
        p[learn & (fold == part)] = forecaster(learn & (fold != part), learn & (fold == part))
    return odds(p, 0.01)


def _beliefs(board: Board, found: Candidates, learn: Rows) -> Array:
    """P(right) of every answer: of questions learned from by models of the other folds, of the others by one of all."""
    fit = _linear if learn.sum() < FEW else _boosted
    p = np.zeros(len(found.right))
    fold = board.group % _INNER
    for part in range(_INNER + 1):
        to = learn & (fold != part) if part < _INNER else learn
        of = learn & (fold == part) if part < _INNER else ~learn
        rows, there = np.flatnonzero(to[found.question]), of[found.question]
        rows = rows[:: 1 + len(rows) // _MOST_ROWS]
        p[there] = fit(found.columns[rows], found.right[rows] >= 0.5)(found.columns[there])
    return p


def _linear(x: Array, y: Rows) -> Callable[[Array], Array]:
    model = LogisticRegression(C=0.1, max_iter=300).fit(x, y)
    return lambda there: np.asarray(model.predict_proba(there)[:, 1])


def _boosted(x: Array, y: Rows) -> Callable[[Array], Array]:
    model = HistGradientBoostingClassifier(
        max_iter=80, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=5.0, random_state=0
    )
    model.fit(x, y)
    return lambda there: np.asarray(model.predict_proba(there)[:, 1])


def votes(board: Board, forecaster: Forecaster, splits: Sequence[Split]) -> tuple[Array, Array, Array]:
    """Of the first three items' majority: P(right), whether it was, and P(the last item is right), each (n,): for escalating a fixed share."""
    found = Lattice((tuple(range(3)),), ((),))
    count = len(board.text)
    vote, right, last = (np.full(count, np.nan) for _ in range(3))
    for learn, judge in splits:
        answers = candidates(board, found, _starts(board, forecaster, learn, judge))
        row_of = np.full(count, -1)
        for row in np.argsort(answers.votes, kind="stable"):  # the answer that most gave is written last
            row_of[answers.question[row]] = row
        columns = np.where((row_of >= 0)[:, None], answers.columns[row_of], 0.0)
        was = np.where(row_of >= 0, answers.right[row_of], 0.0)
        right[judge] = was[judge]
        vote[judge] = _blend(columns[learn], was[learn] >= 0.5)(columns[judge])
        last[judge] = _blend(columns[learn], board.quality[learn, -1] >= 0.5)(columns[judge])
    return vote, right, last


def _blend(x: Array, y: Rows) -> Callable[[Array], Array]:
    """Boosting, randomised trees and logistic regression, averaged."""
    trees = ExtraTreesClassifier(200, min_samples_leaf=4, max_features=0.4, random_state=0).fit(x, y)
    both = _boosted(x, y), _linear(x, y)
    return lambda there: np.asarray((trees.predict_proba(there)[:, 1] + both[0](there) + both[1](there)) / 3)
