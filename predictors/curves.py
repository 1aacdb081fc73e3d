"""How often more samples of one plan will be right, from one sample upwards, for what is believed of a query.

Each sample is right with the query's own chance p, of which a mixture of Beta distributions is believed. How many of n samples are right then follows
a beta-binomial law, and every way of choosing among them is a table `P(the chosen one is right | r right and s wrong)`, so that no curve needs an
integral over p.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MOST = 64  # samples
_MANY = 10_000  # wrong answers; among more of them two alike are no rarer for the votes of 64

Array = NDArray[np.float64]
Counts = NDArray[np.int_]

Rule = Literal["majority", "best"]
RULES: Mapping[str, Rule] = {"self_consistency": "majority", "best_of_n": "best"}  # how strategies that draw `n` samples choose among them

_LEVELS = np.concatenate(([1e-4, 1e-3], np.linspace(0.01, 0.99, 50), [1 - 1e-3, 1 - 1e-4]))  # P(one sample is right)
_NORMAL = NormalDist()
_UP_TO = np.arange(MOST + 1)
_LOG_FACTORIAL = np.array([math.lgamma(n + 1) for n in range(MOST + 1)])
_DRAWN = np.add.outer(_UP_TO, _UP_TO)  # of r right and s wrong
_WITHIN = _DRAWN <= MOST
_WAYS = np.where(_WITHIN, np.exp(_LOG_FACTORIAL[_DRAWN.clip(max=MOST)] - np.add.outer(_LOG_FACTORIAL, _LOG_FACTORIAL)), 0.0)  # r + s choose r


@dataclass(frozen=True, slots=True)
class Belief:
    """Beta distributions of p, all as firm as `firmness` samples: Beta(a, firmness - a), `a` and `weight` (components,).

    Given what was seen there is a component for each answer, in which that one is right, and a last one in which none of them is; so `weight[i]` is
    P(answer i is right). The curves are of `n` further samples taken by themselves, each n from 1 to MOST.
    """

    a: Array
    firmness: float
    weight: Array

    @property
    def mean(self) -> float:
        """P(one more sample is right)."""
        return float(self.weight @ self.a) / self.firmness

    def pass_at(self, n: Counts) -> Array:
        """P(at least one of n is right): E[1 - (1 - p)^n]."""
        return self._chosen(n, _any())

    def majority_at(self, n: Counts, alternatives: int) -> Array:
        """P(the most frequent answer of n is right), ties broken at random, wrong ones spread evenly over `alternatives` (PETS, arXiv 2602.16745)."""
        return self._chosen(n, _majority(min(alternatives, _MANY)))

    def best_of_at(self, n: Counts, auc: float) -> Array:
        """P(the best scored of n is right), where a right sample outscores a wrong one with probability `auc`: scores normal, of one variance."""
        return self._chosen(n, _best(round(auc, 3)))

    def _chosen(self, n: Counts, table: Array) -> Array:
        """Mean of a table over how many of n are right: rising factorials, C(r + s, r) (a)_r (b)_s / (a + b)_n."""
        scale = self.firmness + MOST / 2  # of every factor, above and below the line: 64 of them would leave the range of numbers
        right = _rising(self.a, scale) * self.weight[:, None]
        wrong = _rising(self.firmness - self.a, scale)
        total = np.bincount(_DRAWN.ravel(), (right.T @ wrong * table).ravel())[: MOST + 1]
        out: Array = (total / _rising(np.array([self.firmness]), scale)[0])[n]
        return out


def believe(mean: float, concentration: float, counts: Sequence[int] = (), alternatives: int = 1, ratios: Sequence[float] = ()) -> Belief:
    """What to believe of p: first a Beta of this mean, as firm as `concentration` samples make it, then what all samples so far have shown.

    `counts` says how often each different answer was read, `ratios` how much likelier each one's scores are for a right answer than for a wrong one.
    A wrong sample gives each of `alternatives` answers equally often, and any answer may be the right one before anything is seen.
    """
    mean = min(max(mean, 1e-6), 1 - 1e-6)
    drawn, spread = sum(counts), max(alternatives, len(counts) - 1, 1)
    agreeing = np.array([*counts, 0], float)
    a, b = mean * concentration + agreeing, (1 - mean) * concentration + drawn - agreeing
    chances = [math.log(ratio) for ratio in ratios or [1.0] * len(counts)]
    unseen = spread + 1 - len(counts)
    log_weight = agreeing * math.log(spread) + [math.lgamma(x) + math.lgamma(y) for x, y in zip(a, b, strict=True)]
    log_weight += [*chances, math.log(unseen) if unseen else -math.inf]
    weight = np.exp(log_weight - log_weight.max())
    return Belief(a, concentration + drawn, weight / weight.sum())


@dataclass(frozen=True, slots=True)
class Growth:
    """How P(right) of one plan grows with its samples, learned at `samples` of them.

    Row i of `table` (LEVELS, MOST) is the curve of queries of which i-th lowest is believed; every column rises, so that what is forecast at
    `samples` says which curve it is.
    """

    samples: int
    table: Array

    @classmethod
    def of(cls, rule: Rule, samples: int, *, concentration: float, alternatives: float, auc: float) -> "Growth":
        """`rule` chooses among samples; the rest is what `predictors.training.sampling` found of the plan."""
        n, among = np.arange(1, MOST + 1), max(1, round(alternatives))
        beliefs = [believe(mean, concentration) for mean in _LEVELS]
        rows = [one.majority_at(n, among) if rule == "majority" else one.best_of_at(n, auc) for one in beliefs]
        return cls(min(samples, MOST), np.maximum.accumulate(np.stack(rows), axis=0))

    def curve(self, success: float) -> Array:
        """P(right) of 1 to MOST samples, (MOST,), where it is `success` at our own number."""
        place = float(np.interp(success, self.table[:, self.samples - 1], np.arange(len(_LEVELS))))
        below = min(int(place), len(_LEVELS) - 2)
        out: Array = self.table[below] + (place - below) * (self.table[below + 1] - self.table[below])
        return out

    def at(self, success: float, samples: int) -> float:
        """P(right) of another number of samples, of more than MOST that of MOST."""
        return float(self.curve(success)[min(max(samples, 1), MOST) - 1])


def saturation(curve: Array, price: float, value: float) -> int:
    """How many samples are worth buying: the N of the most `value * curve[N - 1] - price * N`. Beyond it no further samples are worth their price.

    Where p is known and `curve` is pass@N this is the saturation point of TTSPM (Wang et al. 2025, arXiv 2505.20522), ln(e / p) / ln(1 - p)
    rounded up, with e = price / value. Looking one sample ahead would not do for a majority, where a second sample gains nothing.
    """
    return int((value * curve - price * np.arange(1, len(curve) + 1)).argmax()) + 1


def reach(mean: float, deviation: float, target: float, miss: float) -> int | None:
    """The fewest samples whose best score misses `target` with a probability of at most `miss`; None where no number will do.

    OptScale (arXiv 2506.22376): scores are normal, cut to [0, 1], with distribution F, so N = ln(miss) / ln F(target) rounded up.
    """
    low, high, at = (_NORMAL.cdf((x - mean) / deviation) for x in (0.0, 1.0, target))
    below = (at - low) / (high - low)
    if below <= miss:
        return 1
    return math.ceil(math.log(miss) / math.log(below)) if below < 1 else None


def _rising(start: Array, scale: float) -> Array:
    """Rising factorials start (start + 1) ... (start + n - 1) / scale^n, n from 0 to MOST: (components, MOST + 1)."""
    out = np.ones((len(start), MOST + 1))
    np.cumprod((start[:, None] + _UP_TO[:-1]) / scale, axis=1, out=out[:, 1:])
    return out


@lru_cache(maxsize=1)
def _any() -> Array:
    """Any that is right will do."""
    return _WAYS * (_UP_TO > 0)[:, None]


@lru_cache(maxsize=64)
def _majority(alternatives: int) -> Array:
    """P(the right answer is the most frequent) for r right and s wrong samples, ties broken at random, times the C(r + s, r) orders they may come in.

    Of s wrong votes, evenly over m alternatives, let t alternatives have r and the others fewer: that has the probability s! [x^s] of
    C(m, t) u^t v^(m - t), with u = (x / m)^r / r! and v all earlier terms of exp(x / m); then the right answer wins with 1 / (t + 1).
    """
    table = np.tril(np.ones((MOST + 1, MOST + 1)), -1)  # more right ones than wrong ones always win
    term = np.exp(-_UP_TO * math.log(alternatives) - _LOG_FACTORIAL)
    for right in range(1, MOST // 2 + 1):
        below = np.where(right > _UP_TO, term, 0.0)
        for tied in range(min(alternatives, MOST // right - 1) + 1):
            share = math.comb(alternatives, tied) * term[right] ** tied / (tied + 1)
            wrong = np.arange(max(right, tied * right), MOST - right + 1)
            table[right, wrong] += share * _power(below, alternatives - tied)[wrong - tied * right] * np.exp(_LOG_FACTORIAL[wrong])
    return table * _WAYS


def _power(polynomial: Array, exponent: int) -> Array:
    """A power of a polynomial, terms up to x^MOST."""
    out = np.zeros(MOST + 1)
    out[0] = 1.0
    while exponent:
        if exponent & 1:
            out = np.convolve(out, polynomial)[: MOST + 1]
        polynomial, exponent = np.convolve(polynomial, polynomial)[: MOST + 1], exponent >> 1
    return out


@lru_cache(maxsize=64)
def _best(auc: float) -> Array:
    """P(the best score is a right sample's) for r right and s wrong samples, times the C(r + s, r) orders they may come in.

    Scores are N(d, 1) if right and N(0, 1) if wrong, d = sqrt(2) z(auc). The integral of r phi(x - d) Phi(x - d)^(r - 1) Phi(x)^s is by the trapezium
    rule, which is exact to rounding for so smooth a function.
    """
    distance = math.sqrt(2) * _NORMAL.inv_cdf(min(max(auc, 1e-12), 1 - 1e-12))
    x = np.linspace(min(0.0, distance) - 9, max(0.0, distance) + 9, 400)
    right, wrong = (np.array([_NORMAL.cdf(float(one)) for one in x - shift]) for shift in (distance, 0.0))
    density = np.exp(-((x - distance) ** 2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    table = np.zeros((MOST + 1, MOST + 1))
    table[1:] = (density * right ** _UP_TO[:-1, None]) @ (wrong ** _UP_TO[:, None]).T * _UP_TO[1:, None]
    return table * _WAYS
