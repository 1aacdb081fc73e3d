"""What a killed router had logged is charged when it begins again, once."""

import time
from pathlib import Path

from router.journal import JournalOptions, open_journal
from router.ledger.ledger import RedisLedger
from router.ledger.recovery import RECENT, logged, recover
from router.store import Store
from router.tenants import DAY, Unit, Window
from router.types import Amount, Record

WINDOWS = (DAY, Window("day-tokens", 86_400, 10**6, Unit.TOKENS))


def row(decision: str, stage: int, cost: int, ago: float = 0.0, **more: object) -> Record:
    return Record(
        id=f"{decision}/{stage}",
        kind="stage",
        decision_id=decision,
        tenant="t",
        at=time.time() - ago,
        stage=stage,
        cost=cost,
        kept_tokens=cost,
        **more,
    )


async def test_what_was_logged_is_charged_once(store: Store, tmp_path: Path) -> None:
    options = JournalOptions(rotate_rows=2, ship_seconds=0.01)
    async with open_journal(tmp_path / "journal", store, options) as journal, RedisLedger(store, lambda _: WINDOWS) as ledger:
        for known in ("settled", "killed"):
            await ledger.reserve("t", known, Amount(100, 100), 60)
        await ledger.settle("t", "settled", Amount(30, 30))
        await journal.write([row("settled", 0, 10), row("settled", 1, 20), row("killed", 0, 5)])
        await journal.write([row("killed", 1, 6, prompt_tokens=3), row("killed", 2, 0), row("long ago", 0, 500, ago=2 * RECENT)])
        assert (await ledger.spent("t"), await ledger.spent("t", "day-tokens")) == ((30, 100), (30, 100))
        for _ in range(2):
            await recover(logged(tmp_path / "journal"), ledger)
            assert (await ledger.spent("t"), await ledger.spent("t", "day-tokens")) == ((41, 0), (44, 0))
    async with RedisLedger(store, lambda _: WINDOWS) as ledger:  # all is in Parquet now
        await recover(logged(tmp_path / "journal"), ledger)
        assert await ledger.spent("t") == (41, 0)


def test_nothing_logged_is_nothing_to_recover(tmp_path: Path) -> None:
    assert logged(tmp_path / "journal") == {}
