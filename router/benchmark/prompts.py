"""Routers that see the prompt only: each forecasts the quality of every arm on questions it was not fitted on. Rheostat's own, and the controls."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPRegressor

from predictors.encoders import encoders
from predictors.features import Featurizer, describe_all
from predictors.training.calibrating import choose
from predictors.training.newton import sigmoid
from router.benchmark.board import Board
from router.benchmark.peers import complexity, installed, pareto_bandit

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]
Split = tuple[Rows, Rows]  # which questions are learned from, which are judged
FEW = 2_000  # questions under which the simplest model and the fewest columns do best
_DOUBT = 5.0  # questions that the overall mean counts as in each category
_NEAREST = 30
_INNER = 4
_CALIBRATING = 3

Forecaster = Callable[[Rows, Rows], Array]  # learned from, judged: forecasts (judged, arms)


@dataclass(frozen=True, slots=True)
class Prompts:
    """A board's questions as every router of this file sees them."""

    board: Board
    x: Array  # (n, d), standardised
    words: csr_matrix

    @classmethod
    def of(cls, board: Board) -> "Prompts":
        """Described by the default encoder; words and pairs of words by TF-IDF."""
        x = described(board.text)
        words = TfidfVectorizer(sublinear_tf=True, min_df=3, ngram_range=(1, 2), max_features=60_000, dtype=np.float32).fit_transform(board.text)
        return cls(board, (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6), words)

    def forecasters(self) -> Mapping[str, Forecaster]:
        """By name."""
        return {
            "Rheostat, prompt only": self.rheostat,
            "category only": self.category,
            "prompt length": self.length,
            "TF-IDF + logistic": self.tfidf,
            "neighbours (RouterBench)": self.neighbours,
            "MLP (RouterBench)": self.perceptron,
            **{name: {"paretobandit": self.pareto_bandit, "litellm": self.complexity}[name] for name in installed()},
        }

    def rheostat(self, learn: Rows, judge: Rows) -> Array:
        """`blend`, calibrated on its own forecasts of questions that were held out of those learned from."""
        place = np.flatnonzero(learn)
        inner = self.board.group[place] // 7_919 % _CALIBRATING
        held_out = np.zeros((len(place), len(self.board.items)))
        for part in range(_CALIBRATING):
            rest, here = np.zeros_like(learn), np.zeros_like(learn)
            rest[place[inner != part]], here[place[inner == part]] = True, True
            held_out[inner == part] = self.blend(rest, here)
        found = odds(self.blend(learn, judge))
        for arm, quality in enumerate(self.board.quality[learn].T):
            calibration, _ = choose(odds(held_out[:, arm]), quality, group=self.board.group[place])
            found[:, arm] = calibration.apply(found[:, arm])
        return sigmoid(found)

    def blend(self, learn: Rows, judge: Rows) -> Array:
        """The mean, in log-odds, of a stack over probe and words and of what kind of question this seems to be."""
        stacked, kind = self._stack(learn, judge), self._kind(learn, judge)
        return stacked if kind is None else sigmoid((odds(stacked) + odds(kind)) / 2)

    def _stack(self, learn: Rows, judge: Rows) -> Array:
        """Ridge logistic regression over cheap features, probe and the out-of-fold log-odds of words (stacking: Wolpert 1992)."""
        quality = self.board.quality[learn]
        inner = self.board.group[learn] // 97 % _INNER  # not the folds that whoever calls makes of them
        held_out = np.zeros_like(quality)
        for part in range(_INNER):
            held_out[inner == part] = _logits(self.words[learn][inner != part], quality[inner != part], self.words[learn][inner == part], 1.0)
        there = _logits(self.words[learn], quality, self.words[judge], 1.0)
        return sigmoid(_logits(np.hstack((self.x[learn], held_out)), quality, np.hstack((self.x[judge], there)), 0.005))

    def _kind(self, learn: Rows, judge: Rows) -> Array | None:
        """The mean quality of the categories that the words point to; a question's own category is known of those learned from only."""
        names, place = np.unique(self.board.category[learn], return_inverse=True)
        if len(names) < 2:
            return None
        known = _means(self.board.quality[learn], place)
        return np.asarray(LogisticRegression(C=10.0, max_iter=100, tol=1e-2).fit(self.words[learn], place).predict_proba(self.words[judge]) @ known)

    def category(self, learn: Rows, judge: Rows) -> Array:
        """The mean of each category, shrunk to that of all."""
        quality = self.board.quality[learn]
        names, place = np.unique(self.board.category[learn], return_inverse=True)
        known = dict(zip(names, _means(quality, place), strict=True))
        return np.stack([known.get(one, quality.mean(axis=0)) for one in self.board.category[judge]])

    def length(self, learn: Rows, judge: Rows) -> Array:
        """Logistic regression on the logarithm of the prompt's length, and its square."""
        return self._by(np.log([len(text) + 1 for text in self.board.text]), learn, judge)

    def complexity(self, learn: Rows, judge: Rows) -> Array:
        """Logistic regression on litellm's complexity score, and its square: more than its own four tiers would make of it."""
        return self._by(complexity(self.board.text), learn, judge)

    def pareto_bandit(self, learn: Rows, judge: Rows) -> Array:
        """The reward model of paretobandit, over the same vectors."""
        return pareto_bandit(self.x[learn], self.board.quality[learn], self.x[judge])

    def _by(self, number: Array, learn: Rows, judge: Rows) -> Array:
        number = (number - number.mean()) / (number.std() + 1e-9)
        x = np.stack((number, number**2), axis=1)
        return sigmoid(_logits(x[learn], self.board.quality[learn], x[judge], 1.0))

    def tfidf(self, learn: Rows, judge: Rows) -> Array:
        """Logistic regression per arm on words and pairs of words."""
        return sigmoid(_logits(self.words[learn], self.board.quality[learn], self.words[judge], 1.0))

    def neighbours(self, learn: Rows, judge: Rows) -> Array:
        """The mean of the nearest questions by the probe (RouterBench's kNN)."""
        search = NearestNeighbors(n_neighbors=min(_NEAREST, int(learn.sum())), metric="cosine").fit(self.x[learn])
        near = search.kneighbors(self.x[judge], return_distance=False)
        quality = self.board.quality[learn]
        return np.asarray((quality[near].sum(axis=1) + _DOUBT * quality.mean(axis=0)) / (near.shape[1] + _DOUBT))

    def perceptron(self, learn: Rows, judge: Rows) -> Array:
        """A hidden layer of 100 over the same vectors, fitted to squared error (RouterBench's MLP); stopped early, for it overfits."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = MLPRegressor(hidden_layer_sizes=(100,), early_stopping=True, random_state=0).fit(self.x[learn], self.board.quality[learn])
        return np.asarray(model.predict(self.x[judge])).reshape(int(judge.sum()), -1)


def forecast(forecaster: Forecaster, splits: Sequence[Split], shape: tuple[int, int]) -> Array:
    """Forecasts (n, arms) of every question that is judged in some split; NaN elsewhere."""
    out = np.full(shape, np.nan)
    for learn, judge in splits:
        out[judge] = forecaster(learn, judge)
    return out


def described(texts: Sequence[str]) -> Array:
    """Features of each text, (n, d)."""
    found = describe_all(Featurizer(encoders.build("static")), texts)
    return np.stack([one.vector for one in found]).astype(float)


def odds(p: Array, least: float = 0.005) -> Array:
    """Log-odds of P, which is taken as at least `least` from 0 and 1."""
    p = np.clip(p, least, 1 - least)
    return np.asarray(np.log(p / (1 - p)))


def _means(quality: Array, place: NDArray[np.int64]) -> Array:
    """The mean quality (places, arms) of the rows of each place, shrunk to that of all."""
    mean = quality.mean(axis=0)
    return np.stack([(quality[place == one].sum(axis=0) + _DOUBT * mean) / ((place == one).sum() + _DOUBT) for one in range(place.max() + 1)])


def _logits(x: Array | csr_matrix, quality: Array, there: Array | csr_matrix, strength: float) -> Array:
    """Log-odds (rows of `there`, arms); graded quality counts as so much of a right and so much of a wrong answer."""
    return np.stack([_column(x, column, there, strength) for column in quality.T], axis=1)


def _column(x: Array | csr_matrix, quality: Array, there: Array | csr_matrix, strength: float) -> Array:
    label = quality >= 0.5
    if label.all() or not label.any():
        rate = (quality.sum() + 1) / (len(quality) + 2)
        return np.full(there.shape[0], np.log(rate / (1 - rate)))
    return np.asarray(LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(x, label).decision_function(there))
