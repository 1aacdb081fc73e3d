"""Reading the decision log: the rows of one decision, or all of them, whichever of the routers of a data folder wrote them."""

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from router import archive
from router.types import Record
from router.wal import segments


def journals(data: Path) -> list[Path]:
    """The directories of all journals in a data folder: each router process has its own."""
    return sorted(path for path in data.glob("journal*") if path.is_dir())


@contextmanager
def log_files(*directories: Path) -> Iterator[list[Path]]:
    """Parquet files with every row in these journals, shipped or not; ids may repeat. May run beside the routers."""
    with tempfile.TemporaryDirectory(prefix="rheostat-log-") as folder:
        archive.store(Path(folder), "unshipped", archive.rows(unshipped(directories)))  # first, for a segment becomes Parquet before it goes
        written = [file for directory in directories for file in sorted(directory.glob("parquet/date=*/*.parquet"))]
        yield [*written, *sorted(Path(folder).glob("date=*/*.parquet"))]


def read_log(*directories: Path) -> pa.Table:
    """Every row in these journals, shipped or not, each id once. May run beside the routers."""
    waiting = archive.table(archive.rows(unshipped(directories)))  # first, for a segment becomes Parquet before it goes
    return archive.once(pa.concat_tables([*(archive.load(directory / "parquet") for directory in directories), waiting]))


def records(log: pa.Table) -> list[Record]:
    """The rows of `read_log` as Records."""
    return [archive.record(row) for row in log.to_pylist()]


def found(directories: Collection[Path], decision_id: str) -> list[archive.Row]:
    """The rows of one decision in these journals, each id once."""
    candidates = archive.rows(line for line in unshipped(directories) if decision_id.encode() in line)
    waiting = archive.table([row for row in candidates if row["decision_id"] == decision_id])
    written = [archive.load(directory / "parquet", decision_id) for directory in directories]
    rows: list[archive.Row] = archive.once(pa.concat_tables([*written, waiting])).to_pylist()
    return rows


def unshipped(directories: Collection[Path]) -> list[bytes]:
    """Rows that are in write-ahead logs only, as lines."""
    lines: list[bytes] = []
    for segment in (segment for directory in directories for segment in segments(directory / "wal")):
        with suppress(FileNotFoundError):  # shipped in this moment
            lines += segment.lines()
    return lines
