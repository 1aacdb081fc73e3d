"""The policies that learn while they serve, beside other libraries' and every control: `make bench-policies`."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from router.benchmark.run import _single_threaded
from tests.bench.policies.competitors import learning
from tests.bench.policies.judge import judged
from tests.bench.policies.live import stream
from tests.bench.policies.peers import TUNED_ON, installed, peers
from tests.bench.policies.problems import TABLES, problems
from tests.bench.policies.report import plot, show
from tests.bench.policies.rounds import BLOCK, replay, tried
from tests.bench.policies.speed import speed

console = Console(stderr=True)
LIVE = ("thompson", "linucb")
PARTS = ("replay", "live", "speed")


def replayed(data, worth, rounds, seeds, tables):
    """The tables as bandit problems; by name what `judged` says of each."""
    console.print("Reading the tables ...")
    found = problems(data, worth, rounds, tables)
    with Progress(TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as bar:
        tasks = {problem.name: bar.add_task(problem.name, total=seeds) for problem in found}
        played = replay(found, rounds, seeds, lambda name: bar.advance(tasks[name]))
    ours = [name for start in ("", ", warm") for one in learning() if (name := f"{one}{start}")]
    return {problem.name: judged(problem, played[problem.name], list(peers()), ours) | {"block": BLOCK} for problem in found}


def lived(questions, pace):
    """Both policies' streams, each through a service in a process of its own."""
    console.print(f"Streaming {questions:,} questions through the service, {pace:.0f} a second ...")
    with ProcessPoolExecutor(len(LIVE), mp_context=get_context("spawn")) as pool:
        tasks = {policy: pool.submit(stream, policy, questions, pace) for policy in LIVE}
        return {policy: task.result() for policy, task in tasks.items()}


def tuned(data, worth, rounds, seeds):
    """What every option of the peers' grid earned on the tables that they are tuned on."""
    found = problems(data, worth, rounds, TUNED_ON)
    played = replay(found, rounds, seeds, lambda name: None, tried)
    names = next(iter(played.values()))
    return {name: {table: float(one[name][:, :, 0].mean()) for table, one in played.items()} for name in names}


def main(
    *,
    data: Annotated[Path | None, typer.Option(help="Folder of tables; without one there is the bundled models' own.")] = None,
    rounds: Annotated[int, typer.Option(min=BLOCK, help="Questions asked of each table; a multiple of 250.")] = 2_000,
    seeds: Annotated[int, typer.Option(min=2, help="Orders in which they are asked.")] = 20,
    worth: Annotated[float, typer.Option(help="What a right answer is worth, in units of what the dearest plan costs.")] = 3.0,
    tables: Annotated[list[str] | None, typer.Option(help="Only this table; may be repeated.")] = None,
    parts: Annotated[list[str] | None, typer.Option(help="Only `replay`, `live` or `speed`; may be repeated.")] = None,
    questions: Annotated[int, typer.Option(min=80, help="Length of the live stream.")] = 5_000,
    pace: Annotated[float, typer.Option(help="Questions a second of the live stream.")] = 100.0,
    tune: Annotated[bool, typer.Option(help="Print what the peers' options earned, and nothing else.")] = False,
    into: Annotated[Path, typer.Option(help="Folder for the result as JSON and the plots.")] = Path("build/bench"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the policies."""
    with _single_threaded():
        if tune:
            print(json.dumps(tuned(data, worth, rounds, seeds), indent=2))
            return
        wanted = {
            "replay": lambda: replayed(data, worth, rounds, seeds, tables or TABLES),
            "live": lambda: lived(questions, pace),
            "speed": speed,
        }
        found = {"peers": list(installed()), **{part: wanted[part]() for part in parts or PARTS}}
    into.mkdir(parents=True, exist_ok=True)
    (into / "policies.json").write_text(json.dumps(found, indent=1))
    files = plot(found, into)
    print(json.dumps(found, indent=2)) if as_json else show(found, Console(width=190))
    console.print(f"Plots: {', '.join(map(str, files))}")


if __name__ == "__main__":
    typer.run(main)
