"""Learning and showing on the bundled questions: `python -m router.practice` made the bundled predictor, `demonstrate` is `rheostat demo`."""

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rheostat.v1 import query_pb2
from rich.console import Console
from rich.progress import Progress

from predictors.learned import BUNDLED
from router import demo
from router.app import service
from router.decisions import journals, log_files
from router.demo import Report
from router.exam import draw, sit
from router.settings import ServerSettings, Settings

SEED = 7


async def demonstrate(settings: Settings, questions: int, console: Console) -> Report:
    """Start the service, run the demonstration against its door, show the result. A SIGTERM cancels it, so that its worker and its Redis end too."""
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        for name, where in running.parts.items():
            console.print(f"  {name:<14}{where}", highlight=False)
        report = await demo.run(channel, tuple(settings.plans), questions, console, running.pipeline.predictor.bar)
    demo.show(report, console)
    return report


async def practise(settings: Settings, questions: int, console: Console) -> None:
    """Answer calibration questions with plans drawn at random, and report every outcome: a log that can teach."""
    paper = draw("calibration", SEED, questions)
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        with Progress(console=console) as bar:
            task = bar.add_task("practice", total=len(paper))
            await sit(channel, paper, query_pb2.Knobs(exploration=1.0, cache=False), report=True, done=lambda _: bar.advance(task))


def main(
    questions: Annotated[int, typer.Option(help="Calibration questions to ask.")] = 2_500,
    into: Annotated[Path, typer.Option(help="Folder of the predictor to write.")] = BUNDLED,
    log: Annotated[Path | None, typer.Option(help="Data folder to keep; a temporary one if not given.")] = None,
) -> None:
    """Practise on calibration questions and fit a predictor to the log."""
    from predictors.training.retrain import retrain  # noqa: PLC0415 - brings scikit-learn, for which nobody waits who wants to be shown

    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="rheostat-practice-") as folder:
        settings = Settings(data=log or Path(folder), server=ServerSettings(address="127.0.0.1:0"))
        asyncio.run(practise(settings, questions, console))
        with log_files(*journals(settings.data)) as files:
            report = retrain(files, tuple(settings.plans), into, progress=True)
    console.print(report.facts)


if __name__ == "__main__":
    typer.run(main)
