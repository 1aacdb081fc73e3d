"""The latest decisions of a tenant, line by line: read from the log once, and then only what was added to it since."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from router import archive
from router.decisions import journals
from router.operations.line import COLUMNS, Line
from router.wal import segments

MOST = 20_000  # decisions of a tenant
_TENANTS = 8  # that are looked at in turn
_ROWS = 100  # converted at a time: while it converts, no other thread runs


class Recent:
    """One tenant's, in this data folder, whichever router wrote them. `look` brings it up to date, in a thread of its own: not for two at once."""

    def __init__(self, data: Path, tenant: str, most: int = MOST) -> None:
        self._data, self._tenant, self._most = data, tenant, most
        self._lines: dict[str, Line] = {}
        self._rows: set[str] = set()  # ids: a row is first in a write-ahead log and then in Parquet
        self._files: set[Path] = set()
        self._read: dict[Path, int] = {}  # lines of write-ahead logs, by segment
        self._ordered: tuple[Line, ...] | None = ()

    def look(self) -> tuple[Line, ...]:
        """Every decision, the latest first."""
        directories = journals(self._data)
        for row in self._unshipped(directories):  # first, for a segment becomes Parquet before it goes
            self._take(row)
        files = {file for directory in directories for file in directory.glob("parquet/date=*/*.parquet")} - self._files
        older = not self._files  # of which there may be more than anybody will look at
        self._files |= files
        for file in sorted(files, key=_newest, reverse=True):
            if not older or len(self._lines) < self._most:
                self._take_all(file)
        if self._ordered is None:
            found = sorted((line for line in self._lines.values() if line.steps), key=lambda line: line.at, reverse=True)
            self._forget(found[self._most :])
            self._ordered = tuple(found[: self._most])
        return self._ordered

    def _take(self, row: Mapping[str, Any]) -> None:
        if row["id"] not in self._rows:
            self._rows.add(row["id"])
            self._lines.setdefault(row["decision_id"], Line(id=row["decision_id"])).add(row)
            self._ordered = None

    def _take_all(self, file: Path) -> None:
        with suppress(FileNotFoundError):
            table = ds.dataset(str(file), schema=archive.SCHEMA, format="parquet").to_table(list(COLUMNS), ds.field("tenant") == self._tenant)
            for batch in table.to_batches(max_chunksize=_ROWS):
                for row in batch.to_pylist():
                    self._take(_whole(row))

    def _unshipped(self, directories: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
        found = [segment for directory in directories for segment in segments(directory / "wal")]
        self._read = {segment.path: self._read.get(segment.path, 0) for segment in found}
        for segment in found:
            with suppress(FileNotFoundError):  # shipped in this moment
                lines = segment.lines()[self._read[segment.path] :]
                self._read[segment.path] += len(lines)
                for line in lines:
                    with suppress(ValueError, TypeError):  # damaged by a power cut, and never acknowledged
                        if (row := archive.decode(line, COLUMNS))["tenant"] == self._tenant:
                            yield row

    def _forget(self, lines: Sequence[Line]) -> None:
        for line in lines:
            del self._lines[line.id]
            self._rows -= {f"{line.id}/{stage}" for stage in line.steps} | {f"{line.id}/{stage}/{by}" for by, (stage, _) in line.rewards.items()}


def _newest(file: Path) -> tuple[str, str]:
    return file.parent.name, file.name


def _whole(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of an older version lacks columns."""
    return {name: archive.DEFAULTS[name] if value is None else value for name, value in row.items()}


class Decisions:
    """The latest decisions of the tenants that are looked at; those of nobody else cost nothing."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._tenants: OrderedDict[str, tuple[Recent, asyncio.Lock]] = OrderedDict()

    async def of(self, tenant: str) -> tuple[Line, ...]:
        """The latest first, as they are in the log now."""
        recent, looking = self._tenants.setdefault(tenant, (Recent(self._data, tenant), asyncio.Lock()))
        self._tenants.move_to_end(tenant)
        if len(self._tenants) > _TENANTS:
            self._tenants.popitem(last=False)
        async with looking:
            return await asyncio.to_thread(recent.look)
