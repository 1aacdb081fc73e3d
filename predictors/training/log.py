"""The decision log as what learning needs of it, decision by decision, out of the rows that `predictors.training.extract` has drawn."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from predictors.evidence import Shown
from router.types import Vector

NOTHING = "the log holds no rewarded decision: send traffic, report outcomes, then retrain"
NO_OUTCOME = ("", "failed", "cancelled")  # stop reasons of what was only planned, of a pool that was down, of a client that went
MOST = 120_000  # rewarded decisions that are learned from, and as many rows of any sheet: fitting takes no longer however large the log is
_BATCH = 20_000  # rows


@dataclass(frozen=True, slots=True)
class Purchase:
    """One plan bought at one stage: what it showed, what it spent (`cost` in micro-dollars) and how probable its choice was."""

    stage: int
    shown: Shown
    propensity: float
    stop_reason: str
    tokens: int
    cost: int
    seconds: float

    @property
    def made(self) -> bool:
        """Whether it came to an outcome."""
        return self.stop_reason not in NO_OUTCOME

    @property
    def sound(self) -> bool:
        """Whether its numbers can be what they are said to be."""
        shown = self.shown
        alike = len(shown.answers) == len(shown.scores) == len(shown.logprobs) == len(shown.tokens or shown.answers)
        return alike and 0 < self.propensity <= 1 and 0 <= self.seconds < math.inf


@dataclass(frozen=True, slots=True)
class Rating:
    """What a source said of an answer: of this stage's plan, or with stage -1 of the answer given."""

    stage: int
    value: float
    source: str
    at: float


@dataclass(frozen=True, slots=True)
class Logged:
    """One decision of the log; `weight` is how many decisions of the log it stands for, `given` the answer that went out or was last in hand."""

    id: str
    at: float
    features: Vector
    weight: float
    purchases: tuple[Purchase, ...]
    given: str
    ratings: tuple[Rating, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a log holds. `decisions` counts those whose features are of `feature_version`, the newest; `rewarded` those of them that were rated."""

    rows: int
    decisions: int
    rewarded: int
    explored: int
    outdated: int  # decisions whose features are of an older version, or that have none
    since: float
    until: float
    feature_version: str
    sampled: int  # decisions kept
    share: float  # of the rewarded ones that was kept
    unrewarded_share: float


def read(file: Path) -> Iterator[list[Logged]]:
    """The decisions that `sample` wrote, some thousands at a time. Those with numbers that cannot be, or fewer features than most, are left out."""
    with duckdb.connect() as database:
        (width,) = database.execute("SELECT mode(len(features)) FROM read_parquet($1)", [str(file)]).fetchone() or (None,)
    left: pa.Table | None = None
    for batch in pq.ParquetFile(file).iter_batches(_BATCH):
        table = pa.Table.from_batches([batch])
        table = table if left is None else pa.concat_tables([left, table])
        last = table["decision_id"][-1].as_py()
        whole = int(np.searchsorted(table["decision_id"].to_numpy(), last)) if table.num_rows else 0  # the last one may go on in the next batch
        left = table.slice(whole)
        yield _decisions(table.slice(0, whole), width or 0)
    if left is not None:
        yield _decisions(left, width or 0)


def _decisions(table: pa.Table, width: int) -> list[Logged]:
    columns = [table[name].to_pylist() for name in _READ]
    features, usable = _features(table["features"], width)
    rows = zip(*columns, range(table.num_rows), strict=True)
    found = (_decision(list(group), features, usable) for _, group in groupby(rows, key=itemgetter(_READ.index("decision_id"))))
    return [one for one in found if one is not None]


_READ = (
    "decision_id", "weight", "kind", "at", "stage", "answer", "action", "plan", "propensity", "outcome_answer", "outcome_answers",
    "outcome_scores", "outcome_logprobs", "outcome_tokens", "stop_reason", "prompt_tokens", "kept_tokens", "discarded_tokens", "cancelled_tokens",
    "scored_tokens", "cost", "seconds", "reward", "reward_source",
)  # fmt: skip


def _decision(rows: Sequence[tuple[Any, ...]], features: NDArray[np.float32], usable: NDArray[np.int64]) -> Logged | None:
    """One decision from its rows; None without usable features of its first stage, or with a purchase whose numbers cannot be."""
    purchases, ratings, given, place = [], [], "", -1
    for row in rows:
        (_, weight, kind, at, stage, answer, action, plan, propensity, outcome_answer, answers, scores, logprobs, lengths, stop_reason,
         *tokens, cost, seconds, reward, source, index) = row  # fmt: skip
        if kind == "reward":
            if math.isfinite(reward):
                ratings.append(Rating(stage, min(1.0, max(0.0, reward)), source, at))
            continue
        place, began = (usable[index], at) if stage == 0 else (place, at)
        if action == "buy":
            columns = {"answers": answers, "scores": scores, "logprobs": logprobs, "tokens": lengths}
            shown = Shown(plan=plan, answer=outcome_answer, **{name: tuple(column) for name, column in columns.items()})
            purchases.append(Purchase(stage, shown, propensity, stop_reason, sum(tokens), cost, seconds))
        if action != "buy" or stop_reason not in NO_OUTCOME:
            given = answer
    if place < 0 or not all(one.sound for one in purchases):
        return None
    return Logged(rows[0][0], began, features[place], weight, tuple(purchases), given, tuple(ratings))


def _features(column: pa.ChunkedArray, width: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Finite feature vectors (n, width), and for each row of the table which of them is its, -1 where none is."""
    lists = column.combine_chunks()
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    right = np.flatnonzero((lengths == width) & (lengths > 0))
    values = lists.take(pa.array(right)).flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(right), width)
    places = np.full(len(lengths), -1)
    finite = np.isfinite(values).all(axis=1)
    places[right[finite]] = np.flatnonzero(finite)
    return values, places
