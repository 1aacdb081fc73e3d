"""What more routers and workers bear, what is lost when some end, and what the simulator says of it: `make scale`, under ten minutes."""

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console

from router.simulation.scenario import RouterSettings, Scenario, WorkerSettings
from tests.scale.losses import losses
from tests.scale.microseconds import redis, sync
from tests.scale.prediction import bundled, paced
from tests.scale.ratios import ratios, routers, workers
from tests.scale.report import judged, show

console = Console(stderr=True)
PACE, SLOTS = 0.1, 8  # of the pool that is predicted


def measured(seconds: float, routers_of: tuple[int, ...], workers_of: tuple[int, ...], *, models: bool) -> dict:
    console.print(f"Routers: {', '.join(map(str, routers_of))} ...")
    found = {"routers": routers(routers_of, seconds)}
    console.print(f"Workers: {', '.join(map(str, workers_of))} ...")
    found["workers"] = workers(workers_of, seconds)
    found["ratios"] = {
        "routers": ratios(found["routers"], "per_second"),
        "routers, with a core each": ratios(found["routers"], "with_a_core_each"),
        "workers": ratios(found["workers"], "per_second"),
    }
    console.print("Routers and workers that end under load ...")
    found["losses"] = losses(max(6.0, seconds))
    console.print("What the simulator says ...")
    found["predictions"] = {"a paced pool": paced(PACE, SLOTS, 1.5 * seconds)}
    if models:
        found["predictions"]["a bundled model"] = bundled(1.5 * seconds)
    found["ray"] = _ray()
    found["scenario"] = _scenario(found)
    found["aims"] = judged(found)
    return found


def _ray() -> dict | None:
    """Ray beside plain workers; None where there is no Ray."""
    if find_spec("ray") is None or find_spec("tests.scale.ray") is None:
        console.print("No Ray: it is not installed, or this version has no trial of it", style="dim")
        return None
    from tests.scale.ray import ray_against_plain  # noqa: PLC0415 - brings Ray

    console.print("Ray beside plain workers ...")
    return asyncio.run(ray_against_plain())


def _scenario(found: dict) -> dict:
    """What `rheostat simulate` takes, as it is here. Half of a router's time is for a call, half for what it buys."""
    spent = found["routers"]["1"]["microseconds"]
    mine = Scenario(
        name="this machine",
        router=RouterSettings(call=spent["routers"] / 2, stage=spent["routers"] / 2),
        worker=WorkerSettings(call=spent["workers"]),
        redis=redis(),
        sync=sync(),
    )
    return mine.model_dump(mode="json", exclude_defaults=True)


def main(
    quick: Annotated[bool, typer.Option(help="A minute or two, at the price of noise.")] = False,
    scenario: Annotated[Path | None, typer.Option(help="YAML file to write, for `rheostat simulate --scales`: this machine's microseconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure how throughput grows with routers and workers, what is lost when some end, and how near the simulator comes."""
    found = measured(3.0, (1, 2), (1, 2), models=False) if quick else measured(10.0, (1, 2), (1, 2, 4), models=True)
    if scenario:
        scenario.write_text(yaml.safe_dump(found["scenario"], sort_keys=False))
    print(json.dumps(found, indent=1)) if as_json else show(found, Console(width=160))


if __name__ == "__main__":
    typer.run(main)
