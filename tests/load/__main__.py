"""What the service bears beside a bare echo and its peers: `make load`. Ratios hold on any machine, the numbers only on this one."""

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.load.fairness import fairness
from tests.load.report import judged, show
from tests.load.sender import Client
from tests.load.subjects import Subject, cores, subjects

console = Console(stderr=True)
CALLERS = 64
FRACTIONS = (0.25, 0.5, 0.75)
Send = Callable[..., dict]


def saturated(send: Send, found: list[Subject], rounds: int, seconds: float) -> dict[str, dict]:
    """Closed loops; rounds take turns, so that what else the machine does is shared out fairly. The median round of each."""
    taken = {subject.name: [] for subject in found}
    for number in range(rounds + 1):
        for subject in found:
            row = send(subject, concurrency=CALLERS, seconds=seconds if number else min(seconds, 2.0))
            taken[subject.name] += [row] if number else []
    return {name: _median(rows) for name, rows in taken.items()}


def _median(rows: list[dict]) -> dict:
    numbers = {key: [row[key] for row in rows if row[key] is not None] for key in rows[0] if key != "wrong"}
    return {key: statistics.median(values) if values else None for key, values in numbers.items()} | {"wrong": rows[0]["wrong"]}


def loaded(send: Send, found: list[Subject], closed: dict[str, dict], seconds: float) -> dict[str, dict[str, dict]]:
    """Open loops at fractions of what each can do."""
    at = {subject.name: {} for subject in found}
    for fraction in FRACTIONS:
        for subject in found:
            rate = max(1.0, closed[subject.name]["per_second"] * fraction)
            at[subject.name][str(fraction)] = send(subject, rate=rate, seconds=seconds)
    return at


def flat(send: Send, subject: Subject, calls: int) -> dict[str, float]:
    """Megabytes before, half-way through and after so many calls, once warm."""
    send(subject, concurrency=CALLERS, seconds=0, calls=calls // 5)
    told = {"calls": calls, "before_mb": subject.process.memory_info().rss / 1e6}
    for name in ("half_mb", "after_mb"):
        send(subject, concurrency=CALLERS, seconds=0, calls=calls // 2)
        told[name] = subject.process.memory_info().rss / 1e6
    return told


def measured(peers: Path | None, rounds: int, seconds: float, calls: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="rheostat-load-") as folder, subjects(Path(folder), peers) as found:
        client = Client()
        console.print(f"Closed loops of {CALLERS} callers: what can each do?")
        closed = saturated(client.send, found, rounds, seconds)
        for name, row in closed.items():
            if row["failed"]:
                console.print(f"  {name}: {row['failed']:.0f} failed, such as {row['wrong']}", style="red", highlight=False)
        console.print("Open loops at fractions of that ...")
        opened = loaded(client.send, found, closed, seconds)
        console.print(f"Memory over {calls:,} requests ...")
        memory = {one.name: flat(client.send, one, calls) for one in found if one.name in ("PlanQuery", "AnswerQuery, cached")}
        client.close()
    console.print("A flood of one tenant beside another that is calm ...")
    with tempfile.TemporaryDirectory(prefix="rheostat-load-") as folder:
        shares = fairness(Path(folder), 4 * seconds)
    return {"cores": cores(), "closed": closed, "open": opened, "memory": memory, "fairness": shares}


def main(
    peers: Annotated[Path, typer.Option(help="Environment with litellm's proxy and paretobandit; left out if it is not there.")] = Path(
        ".venv-peers"
    ),
    quick: Annotated[bool, typer.Option(help="A minute or two, at the price of noise.")] = False,
    calls: Annotated[int, typer.Option(help="Requests over which memory is watched.")] = 200_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure throughput, latency from the intended send time, processor time and memory."""
    there = peers.absolute() if (peers / "bin" / "litellm").exists() else None
    if there is None:
        console.print(f"No peers: there is no {peers} with litellm in it", style="dim")
    found = measured(there, *((1, 2.0, min(calls, 5_000)) if quick else (3, 6.0, calls)))
    found["aims"] = judged(found)
    print(json.dumps(found, indent=1)) if as_json else show(found, Console(width=160))


if __name__ == "__main__":
    typer.run(main)
