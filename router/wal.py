"""The write-ahead log: lines appended to numbered segments and forced to disk. Plain files; whoever awaits is elsewhere."""

import fcntl
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Segment:
    """One file of whole lines, the first of which is row number `first`; `rows` of them are known to be on disk."""

    path: Path
    first: int
    rows: int = 0

    @property
    def end(self) -> int:
        """The number after that of the last row."""
        return self.first + self.rows

    def lines(self) -> list[bytes]:
        """Every whole line. What a crash left of the last one is not a line, and was never acknowledged."""
        return self.path.read_bytes().split(b"\n")[:-1]


def segments(directory: Path) -> list[Segment]:
    """The segments in a directory, oldest first, with nothing known of their rows."""
    return [Segment(path=path, first=int(path.stem)) for path in sorted(directory.glob("*.jsonl"))]


class Wal:
    """The log of one process; a lock keeps others out. Not for two threads at once, but `after` may run beside `append`. Raises OSError.

    Row numbers begin at the time in microseconds and only grow, so they are never used again, not even if files are lost. A start or a
    failed write begins a new segment; nothing is ever appended to what another run, or a sick disk, may have left unfinished.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise
        self._active: Segment | None = None
        self._file = -1
        self._size = 0
        self._opened = 0.0
        self._cursor = (0, 0)  # a row number, and where it begins in its file
        self.fsyncs = 0
        self.sealed = segments(directory)
        for segment in self.sealed:
            segment.rows = len(segment.lines())

    @property
    def rows(self) -> int:
        """Rows in all segments."""
        return sum(segment.rows for segment in (*self.sealed, *self._actives()))

    @property
    def active_rows(self) -> int:
        """Rows in the segment being written."""
        return self._active.rows if self._active else 0

    @property
    def active_seconds(self) -> float:
        """Age of the segment being written."""
        return time.monotonic() - self._opened if self._active else 0.0

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines (no line feed in them) and force them to disk: all of them, or OSError."""
        data = b"\n".join(lines) + b"\n"
        try:
            segment = self._writable()
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
            self.fsyncs += 1
        except OSError:
            self._give_up()
            raise
        segment.rows += len(lines)
        self._size += len(data)

    def seal(self) -> None:
        """End the segment being written; the next line begins another."""
        segment, self._active = self._active, None
        if segment is None:
            return
        if segment.rows:
            self.sealed.append(segment)
        with suppress(OSError):  # its rows were synced before; what closing or removing says changes nothing
            os.close(self._file)
            if not segment.rows:
                segment.path.unlink()

    def drop(self, segment: Segment) -> None:
        """Forget a sealed segment that is safe elsewhere."""
        segment.path.unlink(missing_ok=True)
        self.sealed.remove(segment)

    def after(self, row: int, most: int) -> tuple[int, list[bytes]]:
        """Up to `most` lines, from row number `row` or the first after it, and the number of the first line."""
        for segment in (*self.sealed, *self._actives()):
            if row < segment.end and segment.path.exists():
                return self._slice(segment, max(row, segment.first), most)
        return row, []

    def close(self) -> None:
        """Seal, and let others in."""
        self.seal()
        os.close(self._lock)

    def _actives(self) -> tuple[Segment, ...]:
        active = self._active
        return (active,) if active else ()

    def _slice(self, segment: Segment, start: int, most: int) -> tuple[int, list[bytes]]:
        count = min(most, segment.end - start)
        known, place = self._cursor if segment.first < self._cursor[0] <= start else (segment.first, 0)
        with segment.path.open("rb") as file:
            file.seek(place)
            lines = [line.rstrip(b"\n") for line in islice(file, start - known, start - known + count)]
            self._cursor = (start + count, file.tell())
        return start, lines

    def _writable(self) -> Segment:
        if self._active and os.fstat(self._file).st_nlink == 0:  # somebody deleted the file under us
            self.seal()
        return self._active or self._begin()

    def _begin(self) -> Segment:
        self._directory.mkdir(parents=True, exist_ok=True)
        first = max([time.time_ns() // 1000, *(segment.end for segment in self.sealed)])
        path = self._directory / f"{first:020d}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size, self._opened = 0, time.monotonic()
        self._active = Segment(path=path, first=first)
        sync_directory(self._directory)
        return self._active

    def _give_up(self) -> None:
        """After a failed write or sync nobody knows what the kernel kept: cut it off if possible, and begin anew."""
        if self._active is None:
            return
        with suppress(OSError):
            os.ftruncate(self._file, self._size)
        self.seal()


def sync_directory(directory: Path) -> None:
    """Force a directory's entries to disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
