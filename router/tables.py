"""Outcomes that others have measured, as a decision log: any CSV, Parquet or JSONL table of (query, plan, outcome, cost) becomes Records."""

import hashlib
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from predictors.features import describe_all
from router import archive
from router.errors import InvalidQuery
from router.ports import Describer
from router.types import Features

KNOWN = {
    "query": ("query", "prompt", "question", "input", "text"),
    "plan": ("plan", "arm", "model", "model_name"),
    "outcome": ("outcome", "quality", "score", "correct", "reward"),
    "cost": ("cost", "cost_usd"),
    "answer": ("answer",),
    "sample": ("sample", "sample_index"),
    "tokens_in": ("tokens_in", "prompt_tokens", "input_tokens"),
    "tokens_out": ("tokens_out", "completion_tokens", "output_tokens"),
    "seconds": ("seconds", "latency"),
    "propensity": ("propensity",),
}
_NEEDED = ("query", "plan", "outcome", "cost")
_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".tsv": "read_csv", ".jsonl": "read_json", ".ndjson": "read_json", ".json": "read_json"}
_NUMBERS = {  # what each has to be, for people and for DuckDB; finite all of them, for an infinite one lies in no interval
    "outcome": ("a number from 0 to 1", "BETWEEN 0 AND 1"),
    "cost": ("a number that is not negative", "BETWEEN 0 AND 1e12"),
    "tokens_in": ("a number that is not negative", "BETWEEN 0 AND 1e12"),
    "tokens_out": ("a number that is not negative", "BETWEEN 0 AND 1e12"),
    "seconds": ("a number that is not negative", "BETWEEN 0 AND 1e12"),
    "propensity": ("a number above 0, up to 1", "BETWEEN 1e-9 AND 1"),
}
_UNTOLD = "(not told)"  # an answer that is in no table, but was judged
_MICRO = 1e6
_BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a table held, and the file that was written."""

    rows: int
    queries: int
    plans: tuple[str, ...]
    file: Path


def recognise(names: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Which of a table's columns is what: as given, else by the names that are usual; InvalidQuery where one that is needed is not there."""
    found = {}
    for role, usual in KNOWN.items():
        if (name := given.get(role)) and name not in names:
            raise InvalidQuery(f"there is no column {name!r}; there are {', '.join(names)}", column=name)
        if name := given.get(role) or next((one for one in usual if one in names), None):
            found[role] = name
        elif role in _NEEDED:
            raise InvalidQuery(f"no column is known to be the {role}; name it with --{role}; there are {', '.join(names)}", column=role)
    return found


def import_table(
    table: Path, into: Path, describer: Describer, *, columns: Mapping[str, str] | None = None, progress: Callable[[int, int], None] | None = None
) -> Imported:
    """Write a table as one Parquet file of Records, in `into` unless that names the file itself; the same table gives the same file.

    A row is one decision that bought its plan first, with its propensity or one over the number of plans tried on its query, and a verifier's reward.
    Costs are micro-dollars, or dollars where the column's name ends with "usd".
    """
    if table.suffix not in _READERS or not table.is_file():
        raise InvalidQuery(f"{table} is no CSV, Parquet or JSONL file")
    file = into if into.suffix == ".parquet" else into / f"{table.stem}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rheostat-import-") as spill, duckdb.connect() as database:
        database.execute(f"SET memory_limit = '1GB'; SET threads = 2; SET temp_directory = '{spill}'; SET enable_progress_bar = false")
        try:
            rows, queries = _load(database, table, columns or {})
            plans = tuple(name for (name,) in database.execute("SELECT DISTINCT plan FROM row ORDER BY plan").fetchall())
            _write(database, file, describer, progress or (lambda done, total: None), rows)
        except duckdb.Error as error:
            raise InvalidQuery(f"{table} cannot be read: {str(error).split(chr(10))[0]}", file=table) from error
    return Imported(rows=rows, queries=queries, plans=plans, file=file)


def _load(database: duckdb.DuckDBPyConnection, table: Path, given: Mapping[str, str]) -> tuple[int, int]:
    """Check the table and put it into the table `row`, with numbers as they are and "" or null for what it does not have."""
    quoted = str(table).replace("'", "''")
    database.execute(f"CREATE VIEW given AS SELECT * FROM {_READERS[table.suffix]}('{quoted}')")
    names = [row[0] for row in database.execute("DESCRIBE given").fetchall()]
    columns = recognise(names, given)
    chosen = ", ".join(f'CAST("{name}" AS VARCHAR) AS {role}' if (name := columns.get(role)) else f"NULL AS {role}" for role in KNOWN)
    database.execute(f"CREATE TABLE told AS SELECT row_number() OVER () AS number, {chosen} FROM given")
    for role, name in columns.items():
        _check(database, role, name)
    dollars = _MICRO if columns["cost"].lower().endswith("usd") else 1.0
    numbers = ", ".join(f"{_number(role)} AS {role}" for role in _NUMBERS if role != "cost")
    database.execute(
        f"""CREATE TABLE row AS SELECT query, plan, answer, {numbers}, {_number("cost")} * {dollars} AS cost, told.number,
            row_number() OVER (PARTITION BY query, plan ORDER BY TRY_CAST(sample AS DOUBLE), sample, told.number) AS place, tried
        FROM told JOIN (SELECT query, count(DISTINCT plan) AS tried FROM told GROUP BY query) USING (query)"""
    )
    counted = database.execute("SELECT count(*), count(DISTINCT query) FROM row").fetchone() or (0, 0)
    if not counted[0]:
        raise InvalidQuery(f"{table} has no rows")
    return int(counted[0]), int(counted[1])


def _number(role: str) -> str:
    """A cell as a number; true and false are 1 and 0."""
    return f"coalesce(TRY_CAST({role} AS DOUBLE), CAST(TRY_CAST({role} AS BOOLEAN) AS DOUBLE))"


def _check(database: duckdb.DuckDBPyConnection, role: str, name: str) -> None:
    """InvalidQuery, naming column and row, where a cell is not what it has to be; only what is not needed may be empty."""
    empty = "" if role in _NEEDED else f"{role} IS NOT NULL AND "
    what, wrong = "text that is not empty", f"coalesce({role}, '') = ''"
    if role in _NUMBERS:
        what, within = _NUMBERS[role]
        wrong = f"NOT coalesce({_number(role)} {within}, false)"
    elif role not in _NEEDED:
        return
    found = database.execute(f"SELECT number, {role} FROM told WHERE {empty}{wrong} ORDER BY number LIMIT 1").fetchone()
    if found:
        raise InvalidQuery(f"row {found[0]}, column {name}: {found[1]!r} is not {what}", row=found[0], column=name)


def _write(database: duckdb.DuckDBPyConnection, file: Path, describer: Describer, progress: Callable[[int, int], None], rows: int) -> None:
    """Stream the rows, a query's together so that it is described once, into the file; whole or not at all."""
    reader = database.sql("SELECT * FROM row ORDER BY query, plan, place").to_arrow_reader(_BATCH)
    unfinished = file.with_name(f".{file.stem}.partial")
    with pq.ParquetWriter(unfinished, archive.SCHEMA, compression="zstd") as writer:
        done = 0
        for batch in reader:
            if batch.num_rows:
                writer.write_table(_records(batch, describe_all(describer, batch["query"].to_pylist())))
            progress(done := done + batch.num_rows, rows)
    unfinished.replace(file)


def _records(batch: pa.RecordBatch, features: list[Features]) -> pa.Table:
    """The stage and the reward of each row."""
    rows, count = batch.to_pydict(), batch.num_rows
    ids = [_name(*key) for key in zip(rows["query"], rows["plan"], rows["place"], strict=True)]
    answers = [_answer(answer, outcome) for answer, outcome in zip(rows["answer"], rows["outcome"], strict=True)]
    common: dict[str, Any] = {"decision_id": ids, "tenant": ["import"] * count, "at": np.zeros(count)}
    stages = common | {
        "id": [f"{one}/0" for one in ids],
        "kind": ["stage"] * count,
        "features": pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate([one.vector for one in features])), len(features[0].vector)),
        "feature_version": [one.version for one in features],
        "action": ["buy"] * count,
        "plan": rows["plan"],
        "propensity": [1 / tried if told is None else told for told, tried in zip(rows["propensity"], rows["tried"], strict=True)],
        "explored": [True] * count,
        "outcome_answer": answers,
        "outcome_answers": [[answer] for answer in answers],
        "outcome_scores": [[math.nan]] * count,
        "outcome_logprobs": [[0.0]] * count,
        "stop_reason": ["done"] * count,
        "prompt_tokens": [round(tokens or 0) for tokens in rows["tokens_in"]],
        "kept_tokens": [round(tokens or 0) for tokens in rows["tokens_out"]],
        "cost": [math.ceil(cost) for cost in rows["cost"]],
        "seconds": [seconds or 0.0 for seconds in rows["seconds"]],
        "samples": [1] * count,
        "calls": [1] * count,
    }
    rewards = common | {
        "id": [f"{one}/0/verifier" for one in ids],
        "kind": ["reward"] * count,
        "reward": rows["outcome"],
        "reward_source": ["verifier"] * count,
    }
    return pa.concat_tables([archive.columnar(stages, count), archive.columnar(rewards, count)])


def _answer(answer: str | None, outcome: float) -> str:
    """The answer, if there is one; none where none could be read and that was wrong."""
    return answer or ("" if outcome == 0 else _UNTOLD)


def _name(query: str, plan: str, place: int) -> str:
    return hashlib.blake2b(f"{query}\0{plan}\0{place}".encode(), digest_size=12).hexdigest()
