"""The decision log as what learning needs of it, read out of core: DuckDB joins, samples and sorts, and what is left comes decision by decision."""

import glob
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from router.errors import InvalidQuery
from router.types import SCHEMA_VERSION, Vector

NOTHING = "the log holds no rewarded decision: send traffic, report outcomes, then retrain"
NO_OUTCOME = ("", "failed", "cancelled")  # stop reasons of what was only planned, of a pool that was down, of a client that went
MOST = 120_000  # rewarded decisions that are learned from, and as many rows of any sheet: fitting takes no longer however large the log is
_UNREWARDED = 4  # one in so many of them may be a decision nobody rewarded, which only corrects for who was
_MEMORY, _THREADS, _BATCH = "1GB", 2, 20_000

# What learning reads, with the types of router.types.Record. Columns are append-only and these were there from the first, so each file has them.
_COLUMNS = {
    "schema_version": "BIGINT", "id": "VARCHAR", "kind": "VARCHAR", "decision_id": "VARCHAR", "at": "DOUBLE", "stage": "BIGINT",
    "feature_version": "VARCHAR", "answer": "VARCHAR", "action": "VARCHAR", "plan": "VARCHAR", "propensity": "DOUBLE", "explored": "BOOLEAN",
    "outcome_answer": "VARCHAR", "outcome_answers": "VARCHAR[]", "outcome_scores": "DOUBLE[]", "outcome_logprobs": "DOUBLE[]",
    "stop_reason": "VARCHAR", "prompt_tokens": "BIGINT", "kept_tokens": "BIGINT", "discarded_tokens": "BIGINT", "cancelled_tokens": "BIGINT",
    "scored_tokens": "BIGINT", "cost": "BIGINT", "seconds": "DOUBLE", "reward": "DOUBLE", "reward_source": "VARCHAR",
}  # fmt: skip
_LATER = {"outcome_tokens": "BIGINT[]", "inherited": "VARCHAR[]"}  # added since: empty in files that are older
_EMPTY = {"VARCHAR": "''", "BIGINT": "0", "DOUBLE": "'nan'", "BOOLEAN": "false"} | dict.fromkeys(("VARCHAR[]", "DOUBLE[]", "BIGINT[]"), "[]")
_ALL = _COLUMNS | _LATER


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


def parquet_files(source: Path) -> list[Path]:
    """The Parquet files of a folder tree, a file or a glob, in order of their names; InvalidQuery where there are none."""
    if source.is_dir():
        found = sorted(path for path in source.rglob("*.parquet") if not path.name.startswith("."))
    else:
        found = [source] if source.is_file() else sorted(map(Path, glob.glob(str(source), recursive=True)))  # noqa: PTH207 - a pattern may be absolute
    if not found:
        raise InvalidQuery(f"{source} holds no Parquet file: there is no log to learn from yet", source=source)
    return found


def plans_bought(files: Sequence[Path]) -> tuple[str, ...]:
    """Every plan that a log has bought, by name."""
    with tempfile.TemporaryDirectory(prefix="rheostat-log-") as spill, _database(Path(spill)) as database:
        for file in files:
            _check(database, file)
        found = database.execute(f"SELECT DISTINCT plan FROM read_parquet({_list(files)}, union_by_name = true) WHERE action = 'buy' ORDER BY plan")
        return tuple(name for (name,) in found.fetchall() if name)


def sample(files: Sequence[Path], into: Path, *, most: int = MOST, version: str = "") -> Survey:
    """Write the rows to learn from as one Parquet file: decisions together, rewards before stages, each id once, the first that the log has.

    They are decisions with features of this `version`, or else of the newest.

    What is kept of a log that has more than `most` rewarded decisions is decided by a digest of the decision's id, so it is the same every time.
    """
    with _database(into.parent) as database:
        for file in files:
            _check(database, file)
        union = f"read_parquet({_list(files)}, union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true)"
        there = _names(database, union)
        given = {name: f'"{name}"' if name in there else "NULL" for name in _ALL}
        names = ", ".join(f'coalesce(CAST({given[name]} AS {kind}), {_EMPTY[kind]}) AS "{name}"' for name, kind in _ALL.items())
        database.execute(f"CREATE TEMP VIEW everything AS SELECT {names}, features, filename, file_row_number FROM {union}")
        # Who began with what another request had bought is left out: that is learned from where it was bought.
        database.execute("CREATE TEMP TABLE heir AS SELECT DISTINCT decision_id FROM everything WHERE len(inherited) > 0")
        database.execute("CREATE TEMP VIEW log AS SELECT * FROM everything WHERE decision_id NOT IN (FROM heir)")
        survey = _survey(database, most, version)
        thinned = ", ".join(f'"{name}"' for name in _ALL if name not in ("schema_version", "feature_version"))
        database.execute(
            f"""COPY (SELECT {thinned}, weight, CASE WHEN kind = 'stage' AND stage = 0 THEN TRY_CAST(features AS FLOAT[]) END AS features
            FROM log JOIN chosen USING (decision_id)
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY filename, file_row_number) = 1
            ORDER BY decision_id, kind, stage, id) TO '{_quoted(into)}' (FORMAT parquet, COMPRESSION zstd)"""
        )
    return survey


def read(file: Path) -> Iterator[list[Logged]]:
    """The decisions that `sample` wrote, some thousands at a time. Those with numbers that cannot be, or fewer features than most, are left out."""
    with duckdb.connect() as database:
        (width,) = database.execute(f"SELECT mode(len(features)) FROM read_parquet('{_quoted(file)}')").fetchone() or (None,)
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


def _survey(database: duckdb.DuckDBPyConnection, most: int, version: str) -> Survey:
    """Count, and choose which decisions to keep: the table `chosen` of decision ids and weights."""
    database.execute(
        """CREATE TEMP TABLE decision AS SELECT decision_id,
            max(feature_version) FILTER (kind = 'stage' AND stage = 0) AS version, max("at") FILTER (kind = 'stage') AS "at",
            coalesce(bool_or(explored) FILTER (kind = 'stage'), false) AS explored,
            bool_or(kind = 'reward' AND isfinite(reward)) IS TRUE AS rewarded, count(DISTINCT id) AS rows, md5_number_lower(decision_id) AS place
        FROM log GROUP BY decision_id"""
    )
    newest = database.execute('SELECT arg_max(version, "at"), list(DISTINCT version) FROM decision WHERE length(version) > 0').fetchone() or ("", [])
    if version and version not in (newest[1] or []):
        raise InvalidQuery(f"the log has no decision with features {version}; it has {', '.join(sorted(newest[1] or [])) or 'none'}")
    version = version or newest[0] or ""
    counted = database.execute(
        """SELECT coalesce(sum(rows), 0), count(*) FILTER (version = $1), count(*) FILTER (version = $1 AND rewarded),
            count(*) FILTER (version = $1 AND explored), min("at") FILTER (version = $1), max("at") FILTER (version = $1), count(*) FROM decision""",
        [version],
    ).fetchone()
    rows, decisions, rewarded, explored, since, until, everything = counted or (0, 0, 0, 0, 0.0, 0.0, 0)
    if not rewarded:
        raise InvalidQuery(NOTHING)
    share, other = min(1.0, most / rewarded), min(1.0, most / _UNREWARDED / max(1, decisions - rewarded))
    database.execute(
        "CREATE TEMP TABLE chosen AS SELECT decision_id, 1 / CASE WHEN rewarded THEN $2 ELSE $3 END AS weight FROM decision"
        " WHERE version = $1 AND place / 18446744073709551616.0 < CASE WHEN rewarded THEN $2 ELSE $3 END",
        [version, share, other],
    )
    (sampled,) = database.execute("SELECT count(*) FROM chosen").fetchone() or (0,)
    return Survey(
        rows=int(rows), decisions=decisions, rewarded=rewarded, explored=explored, outdated=everything - decisions, since=since, until=until,
        feature_version=version, sampled=sampled, share=share, unrewarded_share=other,
    )  # fmt: skip


@contextmanager
def _database(spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB within bounds; what does not fit into them goes to `spill`."""
    spill.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = {_THREADS}; SET temp_directory = '{_quoted(spill / 'spill')}'")
        database.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
        try:
            yield database
        except duckdb.Error as error:
            raise InvalidQuery(f"the log cannot be read: {_first_line(error)}") from error


def _check(database: duckdb.DuckDBPyConnection, file: Path) -> None:
    """InvalidQuery where a file is no whole Parquet file, lacks a column, or was written by a newer version than this."""
    try:
        told = _names(database, f"read_parquet('{_quoted(file)}', hive_partitioning = false)")
    except duckdb.Error as error:
        raise InvalidQuery(f"{file} is no whole Parquet file: {_first_line(error)}", file=file) from error
    if missing := [name for name in (*_COLUMNS, "features") if name not in told]:
        raise InvalidQuery(f"{file} has no column {', '.join(missing)}: it is no decision log", file=file, column=missing[0])
    (newest,) = database.execute(f"SELECT max(schema_version) FROM read_parquet('{_quoted(file)}')").fetchone() or (None,)
    if newest is not None and newest > SCHEMA_VERSION:
        raise InvalidQuery(f"{file} has rows of schema_version {newest}; this version knows up to {SCHEMA_VERSION}", file=file)


def _names(database: duckdb.DuckDBPyConnection, table: str) -> frozenset[str]:
    return frozenset(name for name, *_ in database.execute(f"DESCRIBE SELECT * FROM {table}").fetchall())


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


def _list(files: Sequence[Path]) -> str:
    return "[" + ", ".join(f"'{_quoted(file)}'" for file in files) + "]"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", maxsplit=1)[0]
