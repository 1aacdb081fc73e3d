"""Usage: what a tenant spent, from the decision log, each row counted once."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich.table import Table

from router import archive
from router.errors import InvalidQuery


class By(StrEnum):
    """What usage can be told by."""

    DAY = "day"
    PLAN = "plan"
    POLICY = "policy"


_DAY = "strftime(make_timestamp((log.at * 1000000)::BIGINT), '%Y-%m-%d')"
_LOG = "SELECT * FROM read_parquet({files}, union_by_name = true, filename = true, file_row_number = true, hive_partitioning = false)"
_COUNTED = ("samples", "calls", "prompt_tokens", "kept_tokens", "discarded_tokens", "cancelled_tokens", "scored_tokens")
_SUMS = ", ".join(f"coalesce(sum({name}), 0)::BIGINT AS {name}" for name in _COUNTED)


def usage(files: Sequence[Path], tenant: str, by: By, since: datetime | None = None, until: datetime | None = None) -> pa.Table:
    """A row for each day (UTC), plan or policy, in order; `until` is excluded. Raises InvalidQuery when the log cannot be read.

    `decisions` are those that the row has a stage of, `purchases` the plans run for them. Energy is measured only where all of the row's is.
    """
    low, high = since.timestamp() if since else float("-inf"), until.timestamp() if until else float("inf")
    with duckdb.connect() as database:
        try:
            log = whole_log(database, files)
            return database.sql(
                f"""WITH log AS ({log} QUALIFY row_number() OVER (PARTITION BY id ORDER BY filename, file_row_number) = 1)
                SELECT {_DAY if by is By.DAY else by.value} AS "{by.value}", count(DISTINCT decision_id) AS decisions,
                count(*) FILTER (plan <> '' AND stop_reason <> '') AS purchases, {_SUMS}, coalesce(sum(cost), 0)::BIGINT AS cost_microdollars,
                coalesce(sum(seconds), 0.0) AS seconds, coalesce(sum(joules), 0.0) AS joules,
                CASE WHEN bool_and(energy = 'measured') FILTER (joules > 0) THEN 'measured' ELSE 'estimated' END AS energy
                FROM log WHERE kind = 'stage' AND tenant = ? AND log.at >= ? AND log.at < ? GROUP BY 1 ORDER BY 1""",
                params=[tenant, low, high],
            ).to_arrow_table()
        except duckdb.Error as error:
            raise InvalidQuery(f"the log cannot be read: {str(error).splitlines()[0]}") from error


def whole_log(database: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """A query for all rows, of older versions too: an empty table of this one lends them the columns that they lack."""
    database.register("columns", archive.SCHEMA.empty_table())
    known = "SELECT *, '' AS filename, 0 AS file_row_number FROM columns"
    if not files:
        return f"SELECT * FROM ({known})"
    names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"SELECT * FROM ({known} UNION ALL BY NAME {_LOG.format(files=f'[{names}]')})"


def write(found: pa.Table, file: Path) -> None:
    """As CSV or Parquet, by the file's name; raises ValueError for any other."""
    match file.suffix:
        case ".csv":
            pyarrow.csv.write_csv(found, file)
        case ".parquet":
            pq.write_table(found, file, compression="zstd")
        case other:
            raise ValueError(f"{file}: usage is written as .csv or .parquet, not {other or 'without an ending'}")


def as_json(found: pa.Table, tenant: str, by: By) -> str:
    """Rows and their total."""
    rows = found.to_pylist()
    total = {name: sum(row[name] for row in rows) for name in (*_COUNTED, "cost_microdollars", "seconds", "joules")}
    return json.dumps({"tenant": tenant, "by": by.value, "rows": rows, "total": total}, indent=1)


def shown(found: pa.Table, tenant: str) -> Table:
    """For people: in 80 columns what matters, with all tokens together; JSON and files have every kind by itself."""
    rows = found.to_pylist()
    how = "measured" if rows and all(row["energy"] == "measured" for row in rows if row["joules"]) else "estimated"
    caption = f"Joules as {how}; tokens by their fate with --json, or --to-file."
    table = Table(found.column_names[0], title=f"What {tenant} used", caption=caption, caption_justify="left")
    for name in ("decisions", "purchases", "tokens", "micro-\ndollars", "seconds", "joules"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(str(row[found.column_names[0]]), *_amounts([row]))
    if len(rows) > 1:
        table.add_section()
        table.add_row("all", "", *_amounts(rows)[1:], style="bold")  # a decision may have bought several plans
    return table


def _amounts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def total(*names: str) -> Any:  # noqa: ANN401 - whole, or not
        return sum(row[name] for row in rows for name in names)

    tokens = [name for name in _COUNTED if name.endswith("_tokens")]
    whole = [f"{total(*names):,}" for names in (("decisions",), ("purchases",), tokens, ("cost_microdollars",))]
    return [*whole, f"{total('seconds'):,.2f}", f"{total('joules'):,.2f}"]


def day(text: str) -> datetime:
    """The beginning of a day, or a moment, in UTC unless it says otherwise; raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date such as 2026-11-26, and no moment such as 2026-11-26T14:00:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
