"""Microseconds of each stage of a request: `make bench`, in about a minute. What the service bears as a whole is `make load`."""

import asyncio
import json
import logging
import tempfile
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from router.app import service
from router.settings import Settings
from tests.bench.doors import doors
from tests.bench.looking import looking
from tests.bench.stages import stages


async def measure(settings: Settings) -> dict[str, float]:
    async with service(settings) as running:
        return await stages(running.pipeline) | await doors(running) | looking()


def main(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Time the stages of a service with nothing configured, one request at a time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # as `rheostat serve` does
    with tempfile.TemporaryDirectory(prefix="rheostat-bench-") as folder:
        found = asyncio.run(measure(Settings(data=Path(folder), server={"address": "127.0.0.1:0", "http": "127.0.0.1:0"})))
    if as_json:
        print(json.dumps({"microseconds": found}, indent=2))
        return
    table = Table("stage", "microseconds", title="Stages, one request at a time (medians)")
    for name, value in found.items():
        table.add_row(name, f"{value:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
