"""What a query has shown so far, as the fixed-width numbers a predictor learns from; the same for a live request and for the log."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.types import Fate, Outcome, Vector

_BASE = (
    "answered",
    "stages",
    "agreeing",
    "opposing",
    "vote",
    "rivals",
    "unread",
    "scored",
    "score",
    "rival_score",
    "logprob",
    "bare_logprob",
    "longer",
)
_PER_PLAN = ("bought", "vote", "score", "length")
_CLIP = 0.001  # scores are taken as at least this far from 0 and 1 before they become log-odds
_Row = tuple[str, float, float, float]
_LEAST_LOGPROB = -5.0  # mean nats per token; a backend may report anything, minus infinity and NaN too


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One stage as far as learning is concerned: candidates' answers ("" where none was read), scores (NaN where none), mean logprobs and tokens.

    `tokens` is empty in logs that are older than that column.
    """

    plan: str
    answer: str
    answers: tuple[str, ...]
    scores: tuple[float, ...]
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...] = ()

    @property
    def rows(self) -> list[_Row]:
        """Candidate by candidate: answer, score, logprob, and the logarithm of its length, in units of 5; 0 where that is not known."""
        lengths = [math.log1p(one) / 5 for one in self.tokens] or [0.0] * len(self.answers)
        return list(zip(self.answers, self.scores, self.logprobs, lengths, strict=True))


def of_outcome(outcome: Outcome) -> Shown:
    """A live stage."""
    kept = [one for one in outcome.candidates if one.fate is not Fate.CANCELLED]
    return Shown(
        plan=outcome.plan,
        answer=outcome.answer or "",
        answers=tuple(one.answer or "" for one in kept),
        scores=tuple(math.nan if one.score is None else one.score for one in kept),
        logprobs=tuple(one.logprob for one in kept),
        tokens=tuple(one.tokens for one in kept),
    )


def names(plans: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of `summarise`."""
    return (*_BASE, *(f"{plan}.{name}" for plan in plans for name in _PER_PLAN))


def summarise(stages: Sequence[Shown], answer: str, plans: Sequence[str]) -> Vector:
    """What speaks for and against `answer`: shape (len(names(plans)),); all zeros when nothing was bought."""
    out = np.zeros(len(_BASE) + len(_PER_PLAN) * len(plans), np.float32)
    if not stages:
        return out
    pooled = [row for shown in stages for row in shown.rows]
    mine = [row for row in pooled if row[0] == answer and answer]
    others = [row for row in pooled if row[0] != answer and row[0]]
    score, rival = _best_log_odds(mine), _best_log_odds(others)
    logprob = min(0.0, max((max(_LEAST_LOGPROB, row[2]) for row in mine), default=0.0))
    out[: len(_BASE)] = (
        float(bool(answer)),
        len(stages) / 3,
        sum(shown.answer == answer for shown in stages) / 2,
        sum(shown.answer not in (answer, "") for shown in stages) / 2,
        len(mine) / max(1, len(mine) + len(others)),
        math.log1p(len({row[0] for row in others})) / 2,
        1 - (len(mine) + len(others)) / max(1, len(pooled)),
        float(score is not None),
        score or 0.0,
        0.0 if rival is None else rival + 1.4,
        logprob * 4,
        logprob * 4 if score is None else 0.0,
        _length(mine) - _length(others) if mine and others else 0.0,
    )
    _per_plan(out[len(_BASE) :].reshape(len(plans), len(_PER_PLAN)), stages, answer, plans)
    return out


def _per_plan(out: Vector, stages: Sequence[Shown], answer: str, plans: Sequence[str]) -> None:
    for shown in stages:
        if shown.plan not in plans:
            continue
        mine = [row for row in shown.rows if row[0] == answer and answer]
        read = sum(bool(one) for one in shown.answers)
        out[plans.index(shown.plan)] = (1.0, len(mine) / max(1, read), _best_log_odds(mine) or 0.0, _length(mine))


def _length(rows: Sequence[_Row]) -> float:
    return sum(row[3] for row in rows) / max(1, len(rows))


def _best_log_odds(rows: Sequence[_Row]) -> float | None:
    """The best score among the rows, as log-odds in units of 5, so that columns are of one size."""
    best = max((row[1] for row in rows if not math.isnan(row[1])), default=None)
    if best is None:
        return None
    best = min(max(best, _CLIP), 1 - _CLIP)
    return math.log(best / (1 - best)) / 5
