"""Whether a log can say anything about a policy: how far what the policy would do is among what was done."""

from dataclasses import dataclass

import numpy as np

from policies.evaluation.logs import Log
from policies.evaluation.terms import total
from router.errors import NoSupport

_SURE = 4.0  # standard errors by which ratios must fall short before mass is called missing
_ODD = 3.0  # and by which they may exceed 1 before the propensities are doubted
_DOMINANT = 0.1  # share of all weight on one unit, and of choices below the floor, worth a warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How a policy's choices lie in a log; shares are of the choices the policy would make.

    `unlogged` falls on actions that the acting policy gives no chance, or, where its chances were not kept, that are nowhere in the log; these are
    `missing`. `below` falls on logged actions of a propensity below `floor`. `average` is the mean importance ratio with its standard error
    `error`: 1 in expectation if all the policy does is possible in the log, and less by what is not. `largest` is the largest ratio, `dominant` the
    share of all weight on one unit, `units` how many independent units there are and `effective` how many equal ones they are worth:
    (sum w)^2 / sum w^2 (Kish 1965, section 11.7).
    """

    units: int
    effective: float
    dominant: float
    largest: float
    average: float
    error: float
    unlogged: float
    missing: tuple[int, ...]
    floor: float
    below: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """What is asked of an overlap: at least so many effective units, at most such a share of choices that were never logged."""

    effective: float = 30.0
    unlogged: float = 0.01


def overlap(log: Log, floor: float = 0.01) -> Overlap:
    """How the target's choices lie in the log; `floor` is a propensity that is too low for comfort."""
    ratios = log.ratios
    weight, base = total(log, log.weights * ratios), total(log, log.weights)
    average = float(weight.sum() / base.sum())
    unlogged, missing, below = _shares(log, floor)
    return Overlap(
        units=len(weight),
        effective=float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0,
        dominant=float(weight.max() / weight.sum()) if weight.any() else 0.0,
        largest=float(ratios.max()),
        average=average,
        error=float(np.linalg.norm(weight - average * base) / base.sum()),
        unlogged=unlogged,
        missing=missing,
        floor=floor,
        below=below,
    )


def _shares(log: Log, floor: float) -> tuple[float, tuple[int, ...], float]:
    """Share on actions without a chance, which these are, and share on actions below the floor."""
    steps = log.steps
    mass = steps.weight[:, None] * steps.target
    if steps.logging is None:
        lost = np.where(np.isin(np.arange(mass.shape[1]), steps.action), 0.0, mass)
        done = mass[np.arange(len(mass)), steps.action] / steps.propensity
        low, whole = done[steps.propensity < floor].sum(), done.sum()
    else:
        lost = np.where(steps.logging > 0, 0.0, mass)
        low, whole = mass[(steps.logging > 0) & (steps.logging < floor)].sum(), mass.sum()
    missing = tuple(np.flatnonzero(lost.sum(0)).tolist())
    return float(lost.sum() / mass.sum()), missing, float(low / whole) if whole else 0.0


def require(found: Overlap, support: Support) -> None:
    """Raises `NoSupport`, saying what is missing and what to do, where the log holds too little of what the policy would do."""
    told = {"effective": f"{found.effective:.1f}", "unlogged": f"{found.unlogged:.4f}", "average": f"{found.average:.4f}"}
    if found.unlogged > support.unlogged:
        raise NoSupport(
            f"{found.unlogged:.1%} of what this policy would do is on actions {', '.join(map(str, found.missing))}, which the log never had a chance"
            f" of ({support.unlogged:.1%} is allowed): give them a share of exploration and log again, or judge a policy that leaves them alone",
            **told,
        )
    if 1 - support.unlogged - found.average > _SURE * found.error:
        raise NoSupport(
            f"importance ratios average {found.average:.3f} and not 1: {1 - found.average:.1%} of what this policy would do had no chance where it"
            " would do it: explore there and log again, or check that the propensities are those of the policy that acted",
            **told,
        )
    if found.effective < support.effective:
        raise NoSupport(
            f"the log is worth {found.effective:.1f} decisions of this policy, and {support.effective:g} are needed: log more, explore more, or judge"
            " a policy nearer to the one that acted",
            **told,
        )


def doubts(found: Overlap) -> tuple[str, ...]:
    """What a reader must know of an overlap that is not refused."""
    told = []
    if found.dominant > _DOMINANT:
        told.append(f"one unit has {found.dominant:.0%} of all weight")
    if found.below > _DOMINANT:
        told.append(f"{found.below:.0%} of the policy's choices rest on actions of a propensity below {found.floor:g}")
    if found.average - 1 > _ODD * found.error + 1e-9:
        told.append(f"importance ratios average {found.average:.3f} and not 1: the propensities may not be those of the policy that acted")
    return tuple(told)
