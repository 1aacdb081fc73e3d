"""The rows of a log to learn from, drawn by Ray Data: files are read all over a cluster; a line of each decision comes here, and few rows."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import duckdb
import pyarrow as pa

from predictors.training.extract import DRAWN, OF_A_DECISION, PLACE, choose, engine, show, write
from predictors.training.log import MOST, Survey
from predictors.training.storage import File
from router.errors import InvalidQuery, RouterError, error_named

_FILES = 4  # that one task reads
_MISSING = "--engine ray needs Ray: pip install 'rheostat[ray]'"


def sample(files: Sequence[File], into: Path, *, most: int = MOST, version: str = "") -> Survey:
    """See `extract.sample`, which writes the same."""
    with _cluster(), engine(into.parent) as here:
        _collect(here, "part", _each(files, _counted))
        # A decision's rows may lie in several files, and the same row in more than one.
        here.execute(
            f"""CREATE TEMP TABLE decision AS SELECT decision_id, max(version) AS version, max("at") AS "at", bool_or(explored) AS explored,
                bool_or(rewarded) AS rewarded, len(list_distinct(flatten(list(ids)))) AS rows, {PLACE} AS place
            FROM part GROUP BY decision_id HAVING NOT bool_or(heir)"""
        )
        survey = choose(here, most, version)
        _collect(here, "drawn", _each(files, _drawn, here.sql("FROM chosen").to_arrow_table()))
        write(here, into)
    return survey


def _counted(database: duckdb.DuckDBPyConnection, _: pa.Table) -> str:
    """A line for each decision in these files."""
    ids = "list(DISTINCT md5_number_lower(id)) AS ids, bool_or(len(inherited) > 0) AS heir"
    return f"SELECT decision_id, {OF_A_DECISION}, {ids} FROM everything GROUP BY decision_id"


def _drawn(database: duckdb.DuckDBPyConnection, chosen: pa.Table) -> str:
    """Their rows of chosen decisions."""
    database.register("chosen", chosen)
    return f"SELECT {DRAWN} FROM everything JOIN chosen USING (decision_id)"


Ask = Callable[[duckdb.DuckDBPyConnection, pa.Table], str]


def _each(files: Sequence[File], ask: Ask, given: pa.Table = None) -> Iterator[pa.Table]:
    """What each few files answer, as it comes."""
    import ray  # noqa: PLC0415
    import ray.data  # noqa: PLC0415

    known = ray.put(given)
    shards = [[str(file) for file in files[start : start + _FILES]] for start in range(0, len(files), _FILES)]

    def work(batch: pa.Table) -> pa.Table:
        (names,) = batch["files"].to_pylist()
        with tempfile.TemporaryDirectory(prefix="rheostat-log-") as spill:
            try:
                with engine(Path(spill), names, threads=1) as database:
                    show(database, names)
                    return database.sql(ask(database, ray.get(known))).to_arrow_table()
            except RouterError as error:  # which Ray would tell as one of its own
                return pa.table({"reason": [error.reason], "message": [error.message]})

    data = ray.data.from_items([{"files": shard} for shard in shards], override_num_blocks=len(shards))
    answers = data.map_batches(work, batch_size=1, batch_format="pyarrow").iter_batches(batch_size=None, batch_format="pyarrow")
    for answer in cast(Iterable[pa.Table], answers):
        if "reason" in answer.column_names:
            raise error_named(answer["reason"][0].as_py(), answer["message"][0].as_py())
        yield answer


def _collect(database: duckdb.DuckDBPyConnection, table: str, batches: Iterator[pa.Table]) -> None:
    for place, batch in enumerate(batches):
        database.register("batch", batch)
        database.execute(f"INSERT INTO {table} FROM batch" if place else f"CREATE TEMP TABLE {table} AS FROM batch")
        database.unregister("batch")


@contextmanager
def _cluster() -> Iterator[None]:
    """The cluster that RAY_ADDRESS names; else one of this machine alone, until exit."""
    try:
        import ray  # noqa: PLC0415 - not needed by the local engine
        import ray.data  # noqa: PLC0415 - needs more than Ray itself
    except ImportError as error:
        raise InvalidQuery(_MISSING) from error
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.init(os.environ.get("RAY_ADDRESS") or "local", log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
