"""Promotions for people."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from router.promotion.keeper import Standing


def show(tenant: str, found: Standing, console: Console) -> None:
    """A candidate's steps with their reasons, and the guard's last word."""
    if found.promotion:
        table = Table("when (UTC)", "stage", "why", title=f"The candidate of {tenant}: {found.promotion.stage}")
        for event in found.promotion.events:
            table.add_row(datetime.fromtimestamp(event.at, UTC).isoformat(" ", "seconds")[:19], event.stage, event.why)
        console.print(table)
    else:
        console.print(f"{tenant} has no candidate: rheostat promote begin FILE")
    guard = found.guard
    told = f"{guard.verdict}: {guard.why}" if guard.at else "no review yet"
    console.print(f"Honesty guard: {told}" + (", so the control serves" if guard.closed else ""), markup=False, highlight=False)
