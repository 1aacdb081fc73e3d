"""The archive: rows of the decision log as JSON lines and as Parquet files."""

import base64
import json
import os
import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import structlog

from router.types import Record
from router.wal import sync_directory

_AT_A_TIME = 100
Row = dict[str, object]
log = structlog.get_logger("rheostat.archive")

TYPES = get_type_hints(Record)
DEFAULTS = {field.name: field.default for field in fields(Record)}
VECTORS = frozenset(name for name, kind in TYPES.items() if kind == tuple[float, ...])
ARROW = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}


def _arrow(kind: object) -> pa.DataType:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return pa.list_(_arrow(arguments[0]))
    if origin is Literal:
        return _arrow(type(arguments[0]))
    if origin is UnionType:
        return _arrow(next(argument for argument in arguments if argument is not type(None)))
    return ARROW[kind]  # type: ignore[index]  # the four scalar types; any other is a KeyError at import


SCHEMA = pa.schema([pa.field(name, _arrow(kind)) for name, kind in TYPES.items()])
FLOATS = [name if TYPES[name] is float else f"{name}.list.element" for name in TYPES if TYPES[name] is float or name in VECTORS]
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
WORDS = [name for name in TYPES if SCHEMA.field(name).type == pa.string()]


def encode(record: Record) -> bytes:
    """One line: what differs from a Record's defaults, vectors as base64 of little-endian doubles. Raises UnicodeEncodeError on broken text."""
    row = {name: value for name, default in DEFAULTS.items() if (value := getattr(record, name)) != default}
    for name in VECTORS & row.keys():
        row[name] = base64.b64encode(struct.pack(f"<{len(row[name])}d", *row[name])).decode()
    return _JSON.encode(row).encode()


def decode(line: bytes, columns: Collection[str] = DEFAULTS) -> Row:
    """A line as a row with these columns, usually every one; columns this version does not know are left out."""
    row = {**DEFAULTS, **json.loads(line)}
    for name in VECTORS.intersection(columns):
        if isinstance(row[name], str):
            row[name] = [value for (value,) in struct.iter_unpack("<d", base64.b64decode(row[name]))]
    return {name: row[name] for name in columns}


def record(row: Mapping[str, object]) -> Record:
    """A row, from a line or from Parquet, as a Record. Columns that were added after it was written have their defaults."""
    return Record(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items() if value is not None})  # type: ignore[arg-type]


def rows(lines: Iterable[bytes]) -> list[Row]:
    """The rows of these lines. A power cut may damage lines that were never acknowledged; they are left out."""
    found = []
    for line in lines:
        try:
            found.append(decode(line))
        except (ValueError, TypeError):
            log.warning("damaged_line_skipped", length=len(line))
    return found


def table(found: list[Row]) -> pa.Table:
    """Rows as an Arrow table, converted a few at a time: while it converts, no other thread runs."""
    parts = [pa.Table.from_pylist(found[first : first + _AT_A_TIME], schema=SCHEMA) for first in range(0, len(found), _AT_A_TIME)]
    return pa.concat_tables([SCHEMA.empty_table(), *parts])


def columnar(columns: Mapping[str, object], count: int) -> pa.Table:
    """So many rows from whole columns, which are quicker to convert; a column that is not given has the default of a Record."""
    given = {name: pa.array(column).cast(SCHEMA.field(name).type) for name, column in columns.items()}
    arrays = [given[field.name] if field.name in given else pa.repeat(pa.scalar(DEFAULTS[field.name], field.type), count) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def store(directory: Path, name: str, found: list[Row]) -> None:
    """Write rows as `date=YYYY-MM-DD/<name>.parquet`, one file for each date (UTC) in them; doing it again replaces the files."""
    by_date: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        by_date[datetime.fromtimestamp(float(row["at"]), UTC).date().isoformat()].append(row)  # type: ignore[arg-type]
    for date, of_date in by_date.items():
        folder = directory / f"date={date}"
        folder.mkdir(parents=True, exist_ok=True)
        _write(table(of_date), folder / f"{name}.parquet")


def load(directory: Path, decision_id: str | None = None) -> pa.Table:
    """Rows stored so far, oldest file first; of one decision only, if given."""
    files = [str(path) for path in sorted(directory.glob("date=*/*.parquet"))]
    if not files:
        return SCHEMA.empty_table()
    wanted = None if decision_id is None else ds.field("decision_id") == decision_id
    return ds.dataset(files, schema=SCHEMA, format="parquet").to_table(filter=wanted)


def once(found: pa.Table) -> pa.Table:
    """The first row of each id, in the order given."""
    numbered = found.select(["id"]).append_column("number", pa.array(np.arange(found.num_rows)))
    first = numbered.group_by("id").aggregate([("number", "min")])["number_min"]
    return found.take(first.combine_chunks().sort())


def _write(found: pa.Table, path: Path) -> None:
    """Write whole or not at all: under another name, which readers skip, then renamed."""
    unfinished = path.with_name(f".{path.stem}.tmp")
    with unfinished.open("wb") as file:
        pq.write_table(found, file, compression="zstd", use_dictionary=WORDS, use_byte_stream_split=FLOATS)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_directory(path.parent)
