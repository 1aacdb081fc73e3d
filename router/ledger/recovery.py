"""Recovery: what a router that was killed had logged, and perhaps not charged, is charged when it begins again."""

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from router import archive
from router.decisions import unshipped
from router.ports import Ledger
from router.types import Amount

log = structlog.get_logger("rheostat.ledger")
RECENT = 900.0  # seconds; longer than any request takes, and shorter than the ledger remembers what is settled
_TOKENS = ("prompt_tokens", "kept_tokens", "discarded_tokens", "cancelled_tokens", "scored_tokens")
_COLUMNS = ["id", "kind", "tenant", "decision_id", "at", "cost", *_TOKENS]


Spent = dict[tuple[str, str], Amount]  # by tenant and decision


async def recover(spent: Spent, ledger: Ledger) -> None:
    """Settle what was spent. What had been settled is not charged again."""
    for (tenant, decision_id), amount in spent.items():
        await ledger.settle(tenant, decision_id, amount)


def logged(directory: Path) -> Spent:
    """What this journal says was spent lately; to be read before anybody writes to it, since what is under way is not to be settled."""
    since = time.time() - RECENT
    rows: dict[str, dict[str, Any]] = {str(row["id"]): row for row in (*_archived(directory, since), *archive.rows(unshipped([directory])))}
    spent: defaultdict[tuple[str, str], Amount] = defaultdict(lambda: Amount(0))
    for row in rows.values():
        if row["kind"] == "stage" and row["at"] >= since and row["cost"]:
            key = (row["tenant"], row["decision_id"])
            spent[key] = spent[key].plus(Amount(row["cost"], sum(row[name] for name in _TOKENS)))
    return dict(spent)


def _archived(directory: Path, since: float) -> list[archive.Row]:
    files = [file for file in directory.glob("parquet/date=*/*.parquet") if file.stat().st_mtime >= since]
    return [row for file in files for row in _rows(file)]


def _rows(file: Path) -> list[archive.Row]:
    """A file that cannot be read is no reason not to begin."""
    try:
        rows: list[archive.Row] = pq.read_table(file, columns=_COLUMNS).to_pylist()
    except (OSError, pa.ArrowException) as error:
        log.warning("not_recovered", file=str(file), error=str(error))
        return []
    return rows
