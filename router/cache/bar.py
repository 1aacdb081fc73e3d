"""The bar: from which similarity on a question may be given the answer to another one, by what comparing them has shown so far."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

STEPS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.93, 0.96, 0.98)  # bars that there may be; a similarity under the first is no likeness
NONE = 2.0  # above every similarity
CONFIDENCE = 0.95
_BETS = (0.0, 0.25, 0.5)  # rates of false hits, as shares of the risk, that are bet on


def step_of(similarity: float) -> int:
    """The highest of STEPS that a similarity reaches; -1 where it reaches none."""
    return int(np.searchsorted(STEPS, similarity, side="right")) - 1


def bar(checked: Mapping[int, tuple[int, int]], risk: float) -> float:
    """The lowest of STEPS above which at most a share `risk` of hits is false; NONE where that is sure of no one.

    `checked` has, by step, how many would-be hits were compared and how many were false. False hits above a bar are independent draws of one rate r.
    Against r >= risk stands the mean over q in _BETS x risk of the likelihood ratio prod (q/risk)^x ((1-q)/(1-risk))^(1-x), x being 1 for a
    false hit: a supermartingale wherever r >= risk, so that it ever passes 1/a with a chance of at most a (Ville's inequality; Waudby-Smith & Ramdas,
    "Estimating means of bounded random variables by betting", JRSS B 2024, arXiv 2010.09686, theorem 1 and section 4). It is looked at after every
    check, which an interval for one look, such as Clopper and Pearson's, does not allow. All bars hold at once: a is divided among them. No bar
    is below the similarities that were checked.
    """
    counts = np.array([checked.get(step, (0, 0)) for step in range(len(STEPS))], float)
    compared, false = np.cumsum(counts[::-1], axis=0)[::-1].T
    sure = (counts[:, 0] > 0) & (_evidence(compared, false, risk) >= np.log(len(STEPS) / (1 - CONFIDENCE)))
    return STEPS[int(sure.argmax())] if sure.any() else NONE


def _evidence(compared: NDArray[np.float64], false: NDArray[np.float64], risk: float) -> NDArray[np.float64]:
    """Logarithms of the mean likelihood ratios, one for each bar."""
    bets = np.array(_BETS)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(false > 0, false * np.log(bets), 0.0)
    won = (compared - false) * (np.log1p(-bets * risk) - np.log1p(-risk))
    return np.asarray(np.logaddexp.reduce(lost + won, axis=0) - np.log(len(_BETS)))
