"""No acknowledged row is lost, and none is there twice."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from router import archive
from router.decisions import log_files, read_log
from router.errors import JournalUnavailable
from router.journal import FileJournal, JournalOptions, open_journal
from router.store import Store, open_redis, stream_key
from router.types import Record
from router.wal import segments

NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC
QUICK = JournalOptions(ship_seconds=0.05)
ROOT = Path(__file__).parents[2]


def a_record(decision: str, stage: int = 0, **columns: Any) -> Record:
    known: dict[str, Any] = {
        "id": f"{decision}/{stage}",
        "kind": "stage",
        "decision_id": decision,
        "stage": stage,
        "at": NOON + stage,
        "tenant": "acme",
    }
    state = {"features": (0.1, -2.5), "offered": ("a", "b"), "prompt": "wie? \n\r\u2028", "success": (1 / 3, 0.5)}
    return Record(**known | state | columns)


def a_reward(decision: str) -> Record:
    return Record(id=f"{decision}/0/user", kind="reward", decision_id=decision, tenant="acme", at=NOON + 9, reward=1.0, reward_source="user")


async def rows_of(journal: FileJournal, decision: str) -> list[Record]:
    return [record async for record in journal.read(decision)]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


def ids(directory: Path) -> list[str]:
    found: list[str] = read_log(directory)["id"].to_pylist()
    with log_files(directory) as files:
        assert {one for file in files for one in pq.read_table(file, columns=["id"])["id"].to_pylist()} == set(found)
    return found


def test_a_row_survives_each_form_as_it_was() -> None:
    record = a_record("d", cost=7, reward=0.1, explored=True, scores=(1e-300, float("inf")))
    assert archive.record(archive.decode(archive.encode(record))) == record
    assert archive.record(archive.table(archive.rows([archive.encode(record)])).to_pylist()[0]) == record


def test_rows_of_other_versions_are_read() -> None:
    older = archive.decode(b'{"id":"d/0","kind":"stage","decision_id":"d","tenant":"t","at":1.0,"added_later":3}')
    assert archive.record(older) == Record(id="d/0", kind="stage", decision_id="d", tenant="t", at=1.0)
    assert archive.rows([b'{"id"', b"\0\0", b"3", archive.encode(a_record("d"))])[0]["id"] == "d/0"


async def test_duckdb_reads_what_was_shipped(tmp_path: Path) -> None:
    async with open_journal(tmp_path, None) as journal:
        await journal.write([a_record("d", 0), a_record("d", 1, plan="small", at=NOON + 86_400)])
        await journal.write([a_reward("d")])
        await journal.write([])
    assert segments(tmp_path / "wal") == []
    rows = duckdb.read_parquet(f"{tmp_path}/parquet/**/*.parquet", hive_partitioning=True).order("id")
    assert rows.select("date::text, stage, plan, features[1], reward, trace_id").fetchall() == [
        ("2026-01-01", 0, "", 0.1, None, ""),
        ("2026-01-01", 0, "", None, 1.0, ""),
        ("2026-01-02", 1, "small", 0.1, None, ""),
    ]


async def test_a_decision_is_read_from_memory_from_the_log_and_from_parquet(tmp_path: Path) -> None:
    rows = [a_record("d", 0), a_record("d", 1), a_reward("d")]
    async with open_journal(tmp_path, None, replace(QUICK, remember=1, rotate_rows=3)) as journal:
        for row in rows:
            await journal.write([row])
        assert await rows_of(journal, "d") == rows
        await journal.write([a_record("other")])
        assert await rows_of(journal, "d") == rows
        await until(lambda: asyncio.to_thread(lambda: len(list(tmp_path.glob("parquet/*/*.parquet"))) == 1))
        assert await rows_of(journal, "d") == rows
        assert await rows_of(journal, "nobody") == []
    async with open_journal(tmp_path, None) as journal:
        await journal.write([a_record("d", 2)])
        assert await rows_of(journal, "d") == [*rows[:2], a_record("d", 2), rows[2]]


async def test_writing_an_id_again_shows_it_once(tmp_path: Path) -> None:
    async with open_journal(tmp_path, None) as journal:
        for _ in range(3):
            await journal.write([a_record("d", 0), a_reward("d")])
        assert len(await rows_of(journal, "d")) == 2
    async with open_journal(tmp_path, None) as journal:
        await journal.write([a_reward("d")])
        assert len(await rows_of(journal, "d")) == 2
        assert sorted(ids(tmp_path)) == ["d/0", "d/0/user"]


async def test_many_writers_share_a_sync(tmp_path: Path) -> None:
    async with open_journal(tmp_path, None) as journal:
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for index in range(2_000):
                group.create_task(journal.write([a_record(f"d{index}")]))
        assert journal.fsyncs < 100
        assert time.monotonic() - start < 10
    assert len(ids(tmp_path)) == 2_000


WRITER = """
import asyncio, sys
from pathlib import Path
from router.journal import JournalOptions, open_journal
from router.types import Record

async def one(journal, name):
    for index in range(100_000):
        await journal.write([Record(id=f"{name}/{index}", kind="stage", decision_id=f"{name}/{index}", tenant="t", at=1.0, prompt="x" * 500)])
        print(f"{name}/{index}", flush=True)

async def main():
    async with open_journal(Path(sys.argv[1]), None, JournalOptions(rotate_rows=50, ship_seconds=0.01)) as journal, asyncio.TaskGroup() as group:
        for name in "abcd":
            group.create_task(one(journal, name))

asyncio.run(main())
"""


async def test_kill_9_loses_no_acknowledged_row(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for count in (150, 400):
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(tmp_path), stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout
        lines = [await child.stdout.readline() for _ in range(count)]
        child.send_signal(signal.SIGKILL)
        lines += (await child.communicate())[0].splitlines(keepends=True)
        acknowledged += [line.decode().strip() for line in lines if line.endswith(b"\n")]
    assert len(acknowledged) >= 550
    assert set(acknowledged) <= set(ids(tmp_path))
    async with open_journal(tmp_path, None, QUICK) as journal:
        assert [row.id for row in await rows_of(journal, acknowledged[-1])] == [acknowledged[-1]]
    assert segments(tmp_path / "wal") == []
    found = ids(tmp_path)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))


async def test_an_unfinished_line_and_an_archived_segment_left_by_a_crash(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    segment = tmp_path / "wal" / f"{5:020d}.jsonl"
    segment.write_bytes(archive.encode(a_record("a")) + b"\n" + archive.encode(a_record("b")) + b"\n" + archive.encode(a_record("c"))[:-3])
    archive.store(tmp_path / "parquet", segment.stem, archive.rows([archive.encode(a_record("a"))]))  # an earlier, shorter shipment
    assert ids(tmp_path) == ["a/0", "b/0"]
    async with open_journal(tmp_path, None, QUICK) as journal:
        await journal.write([a_record("d")])
    assert sorted(ids(tmp_path)) == ["a/0", "b/0", "d/0"]
    assert archive.load(tmp_path / "parquet").num_rows == 3


async def refused(journal: FileJournal, record: Record) -> bool:
    try:
        await journal.write([record])
    except JournalUnavailable:
        return True
    return False


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], check=False).returncode:  # noqa: ASYNC221
        pytest.skip("mounting is not allowed here")
    try:
        async with open_journal(tmp_path, None) as journal:
            await journal.write([a_record("before")])
            ballast = tmp_path / "ballast"
            ballast.write_bytes(b"")
            assert await refused(journal, a_record("huge", prompt="x" * 400_000))
            await journal.write([a_record("small")])
            with pytest.raises(OSError, match="No space"):
                ballast.write_bytes(b"x" * 400_000)
            assert await refused(journal, a_record("full", prompt="x" * 8_000))
            ballast.unlink()
            await journal.write([a_record("after")])
        assert sorted(ids(tmp_path)) == ["after/0", "before/0", "small/0"]
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)  # noqa: ASYNC221


async def test_a_file_too_large_refuses_and_recovers(tmp_path: Path) -> None:
    async with open_journal(tmp_path, None) as journal:
        await journal.write([a_record("before")])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        try:
            assert await refused(journal, a_record("huge", prompt="x" * 4_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await journal.write([a_record("after")])
    assert ids(tmp_path) == ["before/0", "after/0"]


async def test_a_directory_taken_away_refuses_and_recovers(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    async with open_journal(directory, None) as journal:
        await journal.write([a_record("before")])
        for path in (directory / "wal").iterdir():
            path.unlink()
        (directory / "wal").rmdir()
        (directory / "wal").write_text("a file, not a directory")
        assert await refused(journal, a_record("lost"))
        assert await refused(journal, a_record("lost"))
        (directory / "wal").unlink()
        await journal.write([a_record("after")])
    assert ids(directory) == ["after/0"]


async def test_it_says_so_when_it_cannot_begin(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable):
        async with open_journal(tmp_path / "file", None):
            pass
    async with open_journal(tmp_path / "one", None):
        with pytest.raises(JournalUnavailable):
            async with open_journal(tmp_path / "one", None):
                pass


async def test_a_caller_that_is_gone_hurts_nobody(tmp_path: Path) -> None:
    async with open_journal(tmp_path, None) as journal:
        gone = asyncio.ensure_future(journal.write([a_record("gone")]))
        await asyncio.sleep(0)
        gone.cancel()
        await journal.write([a_record("here")])
    assert "here/0" in ids(tmp_path)


async def streamed(store: Store) -> list[str]:
    entries: Any = await store.ask(lambda redis: redis.xrange(stream_key()))
    return [str(archive.decode(fields[b"row"])["id"]) for _, fields in entries]


async def test_each_row_enters_the_stream_once(store: Store, tmp_path: Path) -> None:
    expected = []
    for run in range(3):
        async with open_journal(tmp_path, store, replace(QUICK, rotate_rows=3)) as journal:
            for index in range(7):
                await journal.write([a_record(f"{run}.{index}")])
                expected.append(f"{run}.{index}/0")
            journal._streamed = 0  # as a repeated shipment would
            await journal.ship_once()
        assert journal.pending == 0
    assert await streamed(store) == expected
    assert sorted(ids(tmp_path)) == expected


async def test_a_dead_redis_delays_the_stream_only(mortal_redis: Any, tmp_path: Path) -> None:
    async with open_redis(mortal_redis.url, tmp_path) as store, open_journal(tmp_path / "j", store, replace(QUICK, rotate_rows=2)) as journal:
        mortal_redis.kill()
        for index in range(4):
            await journal.write([a_record(f"d{index}")])
        await until(lambda: asyncio.to_thread(lambda: archive.load(tmp_path / "j" / "parquet").num_rows == 4))
        assert journal.pending == 4
        assert ids(tmp_path / "j") == [f"d{index}/0" for index in range(4)]
        mortal_redis.start()

        async def shipped() -> bool:
            return journal.pending == 0

        await until(shipped)
        assert await streamed(store) == [f"d{index}/0" for index in range(4)]
