"""Random faults under load, and what must never happen did not: `make chaos`."""

import asyncio
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.chaos.checks import ledgers, rows, violations
from tests.chaos.faults import Faults
from tests.chaos.town import forget_disks, town
from tests.chaos.traffic import Traffic

console = Console(stderr=True)


async def chaos(seconds: float, seed: int, folder: Path) -> dict:
    """So many seconds of it; what happened, what was promised, and what was broken."""
    async with town(folder) as found:
        traffic, faults, stop = Traffic(found, seed), Faults(found, seed), asyncio.Event()
        flowing = asyncio.create_task(traffic.flow(stop))
        await faults.strike(seconds)
        await found.up()
        await asyncio.sleep(min(5.0, seconds / 10))  # it must work again
        calm = sum(count for name, count in traffic.promises.endings.items() if name.endswith("OK"))
        await asyncio.sleep(2.0)
        again = sum(count for name, count in traffic.promises.endings.items() if name.endswith("OK")) - calm
        stop.set()
        await flowing
        console.print("Waiting until nothing is held any more ...")
        spent = await ledgers(found)
        starts = {one.name: one.starts for one in found.everybody()}
    try:
        logs = [one.log for one in found.routers]
        broken = violations(traffic.promises, rows(found), spent, faults, logs)
    finally:
        forget_disks(found)
    if not again:
        broken.append("no call went well once all faults were mended")
    told = traffic.promises
    return {
        "seconds": seconds,
        "seed": seed,
        "faults": dict(faults.counts),
        "missing": faults.missing,
        "starts": starts,
        "endings": dict(sorted(told.endings.items())),
        "acknowledged": {"answers and plans": len(told.answers), "outcomes": len(told.outcomes)},
        "spent": {tenant: charged for tenant, (charged, _) in spent.items()},
        "violations": broken,
    }


def main(
    seconds: Annotated[float, typer.Option(help="How long faults go on.")] = 1_800.0,
    seed: Annotated[int | None, typer.Option(help="Draws the faults; a random one, if not given.")] = None,
    keep: Annotated[bool, typer.Option(help="Keep the folder with logs of everybody.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Visit a service of two routers with faults, under load; exits with 1 where a promise was broken."""
    seed = random.randrange(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="rc-"))
    console.print(f"Seed {seed}, in {folder}")
    found = asyncio.run(chaos(seconds, seed, folder))
    if not keep and not found["violations"]:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=1)) if as_json else show(found)
    raise typer.Exit(1 if found["violations"] else 0)


def show(found: dict) -> None:
    out = Console(width=160)
    for title in ("faults", "endings"):
        table = Table(title[:-1], "times")
        for name, count in found[title].items():
            table.add_row(name, str(count))
        out.print(table)
    for name, why in found["missing"].items():
        out.print(f"Not tried: {name}, for {why}")
    out.print(f"Acknowledged: {found['acknowledged']}; spent {found['spent']}; started {found['starts']}")
    for one in found["violations"][:50]:
        out.print(f"[red]{one}[/red]", highlight=False)
    out.print(f"{len(found['violations'])} violations; seed {found['seed']}")


if __name__ == "__main__":
    typer.run(main)
