"""How the samples of one purchase agree, differ and are scored: what the success curves of a plan need."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit
from scipy.stats import rankdata

from predictors.evidence import Shown
from predictors.learned import SAMPLING
from predictors.training.sheets import Log

_FEWEST = 20  # purchases under which nothing is said of a plan
_FIRM = (0.05, 500.0)  # samples: between these a concentration is looked for
_DOUBT = 2.0  # pairs that count as told apart by nothing, before any is seen

Array = NDArray[np.float64]
Tally = tuple[int, Shown, str]  # the place of its decision, the purchase, and the right answer, "" where it gave none


def sampling_arrays(log: Log, plans: Sequence[str], start: Array) -> dict[str, Array]:
    """Of each plan, (plans,), 0 where too little is known: what `curves.Growth` asks for.

    `samples` it usually takes; `concentration` of what its features say of a query; how many `alternatives` wrong samples spread over; `auc`, P(a
    right sample outscores a wrong one of the same query). `start` (decisions, plans) are held-out log-odds that the plan is right.
    """
    found = [_of_plan(list(_tallies(log, plan)), start[:, place]) for place, plan in enumerate(plans)]
    return {name: np.array([one[name] for one in found]) for name in SAMPLING}


def _tallies(log: Log, plan: str) -> Iterator[Tally]:
    """Purchases of several samples of which it is known which are right: a right answer is known, or all that were read are known to be wrong."""
    for index, (made, told) in enumerate(zip(log.made, log.told, strict=True)):
        right = next((answer for answer, (y, _) in told.items() if answer and y >= 0.5), "")
        for shown in (one.shown for one in made if one.shown.plan == plan and len(one.shown.answers) > 1):
            if right or all(answer in told for answer in shown.answers if answer):
                yield index, shown, right


def _of_plan(tallies: Sequence[Tally], start: Array) -> Mapping[str, float]:
    if len(tallies) < _FEWEST:
        return dict.fromkeys(SAMPLING, 0.0)
    total = np.array([len(shown.answers) for _, shown, _ in tallies], float)
    right = np.array([sum(_hits(shown, answer)) for _, shown, answer in tallies], float)
    firm = concentration(right, total, start[[index for index, _, _ in tallies]])
    return {"samples": float(np.median(total)), "concentration": firm, "alternatives": _alternatives(tallies), "auc": _auc(tallies)}


def concentration(right: Array, total: Array, forecast: Array) -> float:
    """How firm a Beta belief in each query's chance makes `right` of `total` samples most likely; all (n,).

    A beta-binomial law whose mean is a + b times the `forecast` log-odds, b not negative; a, b and the concentration together.
    """

    def loss(theta: Array) -> float:
        firm, mean = math.exp(theta[2]), np.clip(expit(theta[0] + theta[1] * forecast), 1e-6, 1 - 1e-6)
        a, b = mean * firm, (1 - mean) * firm
        return float(-(betaln(a + right, b + total - right) - betaln(a, b)).mean())

    bounds = [(-20.0, 20.0), (0.0, 20.0), tuple(np.log(_FIRM))]
    return math.exp(minimize(loss, np.array([0.0, 1.0, 1.0]), bounds=bounds, method="L-BFGS-B").x[2])


def _hits(shown: Shown, right: str) -> list[bool]:
    return [bool(right) and answer == right for answer in shown.answers]


def _alternatives(tallies: Sequence[Tally]) -> float:
    """One over the chance that two wrong samples of one query agree; those that could not be read agree with none."""
    same = pairs = 0.0
    for _, shown, right in tallies:
        wrong = [answer for answer in shown.answers if not right or answer != right]
        counts = [wrong.count(answer) for answer in set(wrong) if answer]
        pairs += len(wrong) * (len(wrong) - 1)
        same += sum(count * (count - 1) for count in counts)
    return (pairs + _DOUBT) / (same + 1.0)


def _auc(tallies: Sequence[Tally]) -> float:
    """Over all pairs of a right and a wrong sample of one query, ties counting half (Mann and Whitney 1947); a half where nothing was scored."""
    won = pairs = 0.0
    for _, shown, right in tallies:
        hits = np.array(_hits(shown, right))
        if hits.all() or not hits.any() or np.isnan(shown.scores).any():
            continue
        rights, wrongs = int(hits.sum()), int((~hits).sum())
        won += float(rankdata(shown.scores)[hits].sum()) - rights * (rights + 1) / 2
        pairs += rights * wrongs
    return (won + _DOUBT / 2) / (pairs + _DOUBT)
