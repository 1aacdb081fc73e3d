"""`rheostat simulate`: from a log and scenarios to a report."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from router.decisions import journals, log_files
from router.errors import InvalidQuery
from router.settings import Settings
from router.simulation.scenario import Scenario, scenario

NEEDED = ("simpy", "duckdb")


def scenarios(scales: str) -> list[Scenario]:
    """Numbers of GPUs, separated by commas, or a YAML file with one scenario. Raises ValueError."""
    if scales.endswith((".yaml", ".yml", ".json")):
        return [scenario(Path(scales))]
    try:
        return [Scenario(name=f"{int(one):,} GPU{'s' if int(one) > 1 else ''}", gpus=int(one)) for one in scales.split(",")]
    except ValueError as error:
        raise ValueError(f"--scales takes numbers of GPUs such as 1,10,100 or a YAML file, not {scales!r}") from error


def simulate(
    settings: Settings,
    log: Path | None,
    plans: Sequence[Scenario],
    *,
    seed: int,
    seeds: int,
    requests: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """The report. Raises InvalidQuery where the log has nothing to play again, or a library is missing."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise InvalidQuery(f"simulating takes {' and '.join(missing)}: {sys.executable} -m pip install 'rheostat[simulate]'")
    from predictors.training.storage import local_files  # noqa: PLC0415 - brings DuckDB
    from router.simulation.measured import traffic  # noqa: PLC0415
    from router.simulation.run import buildable, simulated  # noqa: PLC0415 - brings simpy

    with nullcontext(local_files(log)) if log else log_files(*journals(settings.data)) as files:
        played = traffic(files, {name: plan.plan(name) for name, plan in settings.plans.items()})
    both = [one for plan in plans for one in (plan, buildable(plan, played).model_copy(update={"name": f"{plan.name}, as built"}))]
    fleets = simulated(both, played, seed=seed, seeds=seeds, requests=requests, progress=progress)
    return {
        "log": {
            "requests": len(played.episodes), "purchases_a_request": played.stages, "cached": played.cached, "outcomes_a_request": played.reports,
            "microdollars_a_request": played.cost, "plans": {name: len(own) for name, own in played.by_plan.items()},
        },
        "fleets": fleets,
        "remarks": _remarks(plans, played.rate),
    }  # fmt: skip


def _remarks(plans: Sequence[Scenario], rate: float) -> list[str]:
    default = Scenario()
    lines = [
        "`as built`: the same GPUs at no more than they bear in four fifths of the time, in as many cells, with routers and workers enough for that."
    ]
    named = {
        name: "the scenario's"
        for name in ("engine", "router", "worker", "redis")
        if any(getattr(one, name) != getattr(default, name) for one in plans)
    }
    if "engine" not in named and not any(one.pools for one in plans):
        lines.append("Engines: an 8B model on an H100, reckoned from the data sheet; name yours in a scenario (step, sequence, prompt, slots).")
    if any(name not in named for name in ("router", "worker", "redis")):
        lines.append(
            "Microseconds of routers, workers and Redis: as measured on two cores of a Xeon at 2.1 GHz; `make scale` measures those of this machine."
        )
    if rate:
        lines.append(f"The log's requests came at {rate:.2g} a second; they are played again at the pace that is asked for.")
    return lines
