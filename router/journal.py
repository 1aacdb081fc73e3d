"""The journal: the decision log, on disk before it is acknowledged, and shipped to Parquet and to a Redis stream behind that."""

import asyncio
import re
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa
import structlog
from redis.asyncio import Redis

from router import archive
from router.decisions import found, journals
from router.errors import JournalUnavailable, StoreUnavailable
from router.store import Store, decision_key, shipped_key, stream_key
from router.types import Record
from router.wal import Segment, Wal

log = structlog.get_logger("rheostat.journal")
_GATHER_SECONDS = 0.002
_DECISION = re.compile(rb'"decision_id":"([^"]*)"')

# KEYS: stream, number of the next row of this journal. ARGV: number of the first row, length of the stream, the beginning of the keys that tell where
# in the stream a decision's rows are, and for how many seconds; then each row and its decision. The number moves with the rows, so that a row is
# added once however often it is sent.
SHIP = """
local next, count = tonumber(redis.call('GET', KEYS[2]) or 0), (#ARGV - 4) / 2
for index = 0, count - 1 do
  if ARGV[1] + index >= next then
    local place = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'row', ARGV[5 + 2 * index])
    local decision = ARGV[3] .. ARGV[6 + 2 * index]
    redis.call('APPEND', decision, place .. ' ')
    redis.call('EXPIRE', decision, ARGV[4])
  end
end
redis.call('SET', KEYS[2], math.max(next, ARGV[1] + count), 'EX', 2592000)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Rows of one `write` that are not on disk yet."""

    records: Sequence[Record]
    lines: Sequence[bytes]
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """How the journal works. A Parquet file is written for so many rows, or after so many seconds, whichever is first."""

    rotate_rows: int = 2_000
    rotate_seconds: float = 60.0
    ship_seconds: float = 1.0  # how long a row may wait for the stream
    remember: int = 2_000  # decisions that are read without touching the disk
    max_waiting: int = 10_000  # writes that may wait for the disk; the next is refused
    stream_length: int = 100_000  # rows that Redis keeps, about
    findable: int = 3_600  # seconds in which other routers find a decision in the stream


class FileJournal:
    """One router's decision log in one directory. Made by `open_journal`; see ports.Journal.

    Rows that wait together share one fsync. A failed write refuses the rows of that write only; the next one tries the disk again.
    """

    def __init__(self, directory: Path, store: Store | None, options: JournalOptions) -> None:
        self._directory = directory
        self._store = store
        self._options = options
        self._wal = Wal(directory / "wal")
        self._id = _identity(directory)
        self._waiting: list[Waiting] = []
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._recent: OrderedDict[str, dict[str, bytes]] = OrderedDict()
        self._archived: set[int] = set()
        self._streamed = 0
        self._add = store.client.register_script(SHIP) if store else None

    @property
    def pending(self) -> int:
        """Acknowledged rows that are not yet everywhere they are to be shipped."""
        return self._wal.rows

    @property
    def fsyncs(self) -> int:
        """How often rows were forced to disk."""
        return self._wal.fsyncs

    async def write(self, records: Sequence[Record]) -> None:
        """Return when the rows are on disk; raises JournalUnavailable when they cannot be put there."""
        if self._closing.is_set() or len(self._waiting) >= self._options.max_waiting:
            raise JournalUnavailable("the decision log takes no more rows now")
        if not records:
            return
        waiting = Waiting(records=records, lines=[archive.encode(record) for record in records], done=asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        await waiting.done

    async def read(self, decision_id: str) -> AsyncIterator[Record]:
        """Rows of one decision, oldest first: from memory if it is recent, else from disk, else what other routers shipped of it.

        Raises JournalUnavailable.
        """
        if decision_id in self._recent:
            rows = [archive.decode(line) for line in self._recent[decision_id].values()]
        else:
            try:
                rows = await asyncio.to_thread(found, {self._directory, *journals(self._directory.parent)}, decision_id)
            except (OSError, pa.ArrowException) as error:
                raise JournalUnavailable(f"the decision log cannot be read: {error}") from error
            if not any(row["kind"] == "stage" for row in rows):
                rows = list({row["id"]: row for row in (*await self._elsewhere(decision_id), *rows)}.values())
        for record in sorted(map(archive.record, rows), key=lambda record: record.at):
            yield record

    async def _elsewhere(self, decision_id: str) -> list[archive.Row]:
        if self._store is None:
            return []
        with suppress(StoreUnavailable):
            places = await self._store.ask(lambda redis: redis.get(decision_key(decision_id)))
            lines = [
                await self._store.ask(partial(_in_stream, place=place)) for place in (places.decode() if isinstance(places, bytes) else "").split()
            ]
            return list(archive.rows(line for line in lines if line))
        return []

    async def commit(self) -> None:
        """Put rows on disk until closed; the one task that writes."""
        while self._waiting or not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, self._options.rotate_seconds)):
                    await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                await self._commit(batch)
            if len(batch) > 1:  # busy: a trip to the disk costs the event loop more than a row does
                await asyncio.sleep(_GATHER_SECONDS)
            if self._wal.active_rows >= self._options.rotate_rows or self._wal.active_seconds >= self._options.rotate_seconds:
                await asyncio.to_thread(self._wal.seal)

    async def ship(self) -> None:
        """Ship until closed."""
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.ship_seconds):
                    await self._closing.wait()
            await self.ship_once()

    async def ship_once(self) -> None:
        """Ship what is there; what cannot be shipped now stays in the write-ahead log."""
        try:
            await self._ship_to_stream()
        except (StoreUnavailable, OSError) as error:
            log.warning("stream_delayed", error=str(error))
        for segment in list(self._wal.sealed):
            try:
                await asyncio.to_thread(self._archive, segment)
            except (OSError, ValueError, pa.ArrowException) as error:
                log.error("archive_failed", segment=segment.path.name, error=str(error))

    async def close(self, *tasks: asyncio.Task[None]) -> None:
        """Take no more rows, put those that wait on disk, and ship all."""
        self._closing.set()
        self._wake.set()
        for task in tasks:
            await task
        await asyncio.to_thread(self._wal.seal)
        await self.ship_once()
        self._wal.close()

    async def _commit(self, batch: Sequence[Waiting]) -> None:
        failure = ""
        try:
            await asyncio.to_thread(self._wal.append, list(chain.from_iterable(waiting.lines for waiting in batch)))
        except OSError as error:
            failure = f"the decision log cannot be written: {error}"
            log.error("journal_unavailable", error=str(error))
        for waiting in batch:
            if not failure:
                self._keep_at_hand(waiting)
            if not waiting.done.done():  # its caller may be gone
                waiting.done.set_exception(JournalUnavailable(failure)) if failure else waiting.done.set_result(None)

    def _keep_at_hand(self, waiting: Waiting) -> None:
        for record, line in zip(waiting.records, waiting.lines, strict=True):
            if record.kind == "stage" and record.stage == 0:
                self._recent.setdefault(record.decision_id, {})
            if (rows := self._recent.get(record.decision_id)) is not None:  # else its beginning is on disk only, so is to be read there
                rows.setdefault(record.id, line)
        while len(self._recent) > self._options.remember:
            self._recent.popitem(last=False)

    async def _ship_to_stream(self) -> None:
        if self._store is None or self._add is None:
            return
        add, keys = self._add, [stream_key(), shipped_key(self._id)]
        while True:
            first, lines = await asyncio.to_thread(self._wal.after, self._streamed, 256)
            if not lines:
                return
            told = chain.from_iterable((line, _decision_of(line)) for line in lines)
            args = [first, self._options.stream_length, decision_key(""), self._options.findable, *told]
            await self._store.ask(lambda _, args=args: add(keys=keys, args=args))  # type: ignore[misc]
            self._streamed = first + len(lines)

    def _archive(self, segment: Segment) -> None:
        """Write one segment as Parquet, once in this run, and drop it when the stream has it too."""
        if segment.first not in self._archived and segment.path.exists():
            archive.store(self._directory / "parquet", segment.path.stem, archive.rows(segment.lines()))
            self._archived.add(segment.first)
        if self._store is None or self._streamed >= segment.end:
            self._wal.drop(segment)
            self._archived.discard(segment.first)


@asynccontextmanager
async def open_journal(directory: Path, store: Store | None, options: JournalOptions | None = None) -> AsyncIterator[FileJournal]:
    """The journal of this directory, with its two tasks; at exit all rows are shipped. Raises JournalUnavailable when it cannot begin."""
    try:
        journal = FileJournal(directory, store, options or JournalOptions())
    except OSError as error:
        raise JournalUnavailable(f"the decision log cannot be opened in {directory}: {error}") from error
    tasks = [asyncio.create_task(journal.commit(), name="journal-commit"), asyncio.create_task(journal.ship(), name="journal-ship")]
    try:
        yield journal
    finally:
        await journal.close(*tasks)


def _decision_of(line: bytes) -> bytes:
    """Without reading all of the row."""
    found = _DECISION.search(line)
    return found[1] if found else b""


async def _in_stream(redis: Redis, place: str) -> bytes:
    """The row at one place of the stream; nothing where that was dropped."""
    rows: list[tuple[bytes, dict[bytes, bytes]]] = await redis.xrange(stream_key(), min=place, max=place)  # type: ignore[assignment]
    return rows[0][1][b"row"] if rows else b""


def _identity(directory: Path) -> str:
    """A name for this directory's rows in Redis, made once."""
    file = directory / "id"
    if not file.exists():
        file.write_text(uuid.uuid4().hex)
    return file.read_text()
