"""The rows of a log to learn from, drawn out of core: DuckDB counts, joins, samples and sorts on disk, and what is drawn is bounded."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from predictors.training.log import MOST, NOTHING, Survey
from predictors.training.storage import File, failure, mount
from router.errors import InvalidQuery
from router.types import SCHEMA_VERSION

_UNREWARDED = 4  # one in so many of them may be a decision nobody rewarded, which only corrects for who was
_MEMORY = "1GB"

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

# In SQL: what is said of a decision by all its rows together, or by some of them; where its digest places it; what is drawn of each row.
OF_A_DECISION = """max(feature_version) FILTER (kind = 'stage' AND stage = 0) AS version, max("at") FILTER (kind = 'stage') AS "at",
    coalesce(bool_or(explored) FILTER (kind = 'stage'), false) AS explored, bool_or(kind = 'reward' AND isfinite(reward)) IS TRUE AS rewarded"""
PLACE = "md5_number_lower(decision_id)"
_THINNED = ", ".join(f'"{name}"' for name in _ALL if name not in ("schema_version", "feature_version"))
DRAWN = f"{_THINNED}, weight, CASE WHEN kind = 'stage' AND stage = 0 THEN TRY_CAST(features AS FLOAT[]) END AS features, filename, file_row_number"


def plans_bought(files: Sequence[File]) -> tuple[str, ...]:
    """Every plan that a log has bought, by name."""
    with tempfile.TemporaryDirectory(prefix="rheostat-log-") as spill, engine(Path(spill), files) as database:
        _check(database, files)
        found = database.execute(f"SELECT DISTINCT plan FROM read_parquet({_list(files)}, union_by_name = true) WHERE action = 'buy' ORDER BY plan")
        return tuple(name for (name,) in found.fetchall() if name)


def sample(files: Sequence[File], into: Path, *, most: int = MOST, version: str = "") -> Survey:
    """Write the rows to learn from as one Parquet file: decisions together, rewards before stages, each id once, the first that the log has.

    They are decisions with features of this `version`, or else of the newest.

    What is kept of a log that has more than `most` rewarded decisions is decided by a digest of the decision's id, so it is the same every time.
    """
    with engine(into.parent, files) as database:
        show(database, files)
        # Who began with what another request had bought is left out: that is learned from where it was bought.
        database.execute("CREATE TEMP TABLE heir AS SELECT DISTINCT decision_id FROM everything WHERE len(inherited) > 0")
        database.execute("CREATE TEMP VIEW log AS SELECT * FROM everything WHERE decision_id NOT IN (FROM heir)")
        counted = f"{OF_A_DECISION}, count(DISTINCT id) AS rows, {PLACE} AS place"
        database.execute(f"CREATE TEMP TABLE decision AS SELECT decision_id, {counted} FROM log GROUP BY decision_id")
        survey = choose(database, most, version)
        database.execute(f"CREATE TEMP VIEW drawn AS SELECT {DRAWN} FROM log JOIN chosen USING (decision_id)")
        write(database, into)
    return survey


def show(database: duckdb.DuckDBPyConnection, files: Sequence[File]) -> None:
    """All rows of these files, once each is checked, as the view `everything`: what learning reads, `filename` and `file_row_number`."""
    _check(database, files)
    union = f"read_parquet({_list(files)}, union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true)"
    there = _names(database, union)
    given = {name: f'"{name}"' if name in there else "NULL" for name in _ALL}
    names = ", ".join(f'coalesce(CAST({given[name]} AS {kind}), {_EMPTY[kind]}) AS "{name}"' for name, kind in _ALL.items())
    database.execute(f"CREATE TEMP VIEW everything AS SELECT {names}, features, filename, file_row_number FROM {union}")


def choose(database: duckdb.DuckDBPyConnection, most: int, version: str) -> Survey:
    """Count the table `decision`, and choose of it which to keep: the table `chosen` of decision ids and weights."""
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
    ((sampled,),) = database.execute("SELECT count(*) FROM chosen").fetchall()  # all of it: who goes on here may not find it unfinished
    return Survey(
        rows=int(rows), decisions=decisions, rewarded=rewarded, explored=explored, outdated=everything - decisions, since=since, until=until,
        feature_version=version, sampled=sampled, share=share, unrewarded_share=other,
    )  # fmt: skip


def write(database: duckdb.DuckDBPyConnection, into: Path) -> None:
    """The rows of `drawn`, each id once, in order."""
    database.execute(
        f"""COPY (SELECT * EXCLUDE (filename, file_row_number) FROM drawn
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY filename, file_row_number) = 1
        ORDER BY decision_id, kind, stage, id) TO '{_quoted(into)}' (FORMAT parquet, COMPRESSION zstd)"""
    )


@contextmanager
def engine(spill: Path, files: Sequence[File] = (), threads: int = 2) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB within bounds, able to read these files; what does not fit into the bounds goes to `spill`.

    InvalidQuery where something is wrong with the log, LogUnavailable where the storage that it is in does not answer.
    """
    spill.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = {threads}; SET temp_directory = '{_quoted(spill / 'spill')}'")
        database.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
        mount(database, files)
        try:
            yield database
        except duckdb.Error as error:
            raise failure(error, "the log cannot be read") from error


def _check(database: duckdb.DuckDBPyConnection, files: Sequence[File]) -> None:
    """InvalidQuery where a file is no whole Parquet file, lacks a column, or was written by a newer version than this."""
    for file in files:
        try:
            told = _names(database, f"read_parquet('{_quoted(file)}', hive_partitioning = false)")
        except duckdb.Error as error:
            raise failure(error, f"{file} is no whole Parquet file") from error
        if missing := [name for name in (*_COLUMNS, "features") if name not in told]:
            raise InvalidQuery(f"{file} has no column {', '.join(missing)}: it is no decision log", file=file, column=missing[0])
        (newest,) = database.execute(f"SELECT max(schema_version) FROM read_parquet('{_quoted(file)}')").fetchone() or (None,)
        if newest is not None and newest > SCHEMA_VERSION:
            raise InvalidQuery(f"{file} has rows of schema_version {newest}; this version knows up to {SCHEMA_VERSION}", file=file)


def _names(database: duckdb.DuckDBPyConnection, table: str) -> frozenset[str]:
    return frozenset(name for name, *_ in database.execute(f"DESCRIBE SELECT * FROM {table}").fetchall())


def _list(files: Sequence[File]) -> str:
    return "[" + ", ".join(f"'{_quoted(file)}'" for file in files) + "]"


def _quoted(file: File) -> str:
    return str(file).replace("'", "''")
