"""A router and a worker, fuzzed: `make fuzz`."""

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.fuzz.fuzz import Findings, Fuzzer, methods
from tests.load.subjects import cores, rheostat, started


def fuzzed(cases: int, seed: int) -> dict[str, Findings]:
    """The router's services with nine cases of ten, and a worker's with the tenth."""
    with tempfile.TemporaryDirectory(prefix="rheostat-fuzz-") as folder, ExitStack() as stack:
        server, others = cores()
        process, address = stack.enter_context(rheostat(Path(folder), server, others))
        socket = f"unix:{folder}/fuzzed.sock"
        worker, _ = stack.enter_context(started([sys.executable, "-m", "tests.load.instant", socket], others, None))
        of_worker = methods("WorkerService")
        of_router = {name: method for name, method in methods().items() if name not in of_worker}
        found = {"router": Fuzzer(address, process, of_router).run(cases - cases // 10, seed)}
        return found | {"worker": Fuzzer(socket, worker, of_worker).run(cases // 10, seed)}


def main(
    cases: Annotated[int, typer.Option(help="How many calls.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cases.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Send messages of every kind, sensible to wild; exits with 1 if any gave INTERNAL or UNKNOWN, or hurt the server."""
    found = fuzzed(cases, seed)
    if as_json:
        print(json.dumps({name: one.told() for name, one in found.items()}, indent=1))
    else:
        _show(found)
    raise typer.Exit(0 if all(one.sound for one in found.values()) else 1)


def _show(found: dict[str, Findings]) -> None:
    table = Table("method", "cases", "codes")
    for one in found.values():
        for method, codes in one.told()["codes"].items():
            sent = codes.pop("sent")
            table.add_row(method.rpartition(".")[2], f"{sent:,}", ", ".join(f"{code} {count:,}" for code, count in codes.items()))
    out = Console(width=160)
    out.print(table)
    for name, one in found.items():
        before, after = one.megabytes
        state = "dead" if one.dead else "alive"
        out.print(f"{name}: {one.cases:,} cases, {len(one.bugs)} bugs, {one.late} late, {state}, {before:.0f} MB, then {after:.0f} MB")
        for bug in one.bugs[:5]:
            out.print(f"  {bug}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
