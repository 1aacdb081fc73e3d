"""Running simulations: scales and seeds side by side in processes of their own, and what they come to, with intervals."""

import math
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from router.simulation.fleet import Fleet
from router.simulation.measured import Traffic
from router.simulation.scenario import Scenario
from router.simulation.shape import STREAM, Shape, bears, rows, shape, stay
from router.simulation.site import SMALL, Tally

SEEDS = 3
REQUESTS = 5_000  # for each seed, about
COMFORTABLE = 0.8  # of what the part that is busiest bears
_LEAST, _WARM = 6.0, 3.0  # seconds that are counted, and that are not, where a few stays are shorter
_STAYS = 3.0
_NO_REFUSAL = ("BUDGET_EXHAUSTED", "abstained")  # a budget that ends, and what was not worth its price
_STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}  # 97.5 % of Student's t, by how many were averaged
Progress = Callable[[int, int], None]
_traffic: Traffic | None = None


def _remember(traffic: Traffic) -> None:
    global _traffic  # noqa: PLW0603 - once in each process, instead of with every job
    _traffic = traffic


def once(scenario: Scenario, traffic: Traffic, seed: int, requests: int = REQUESTS, seconds: float | None = None) -> dict[str, float]:
    """One fleet with one seed, as numbers: of the whole fleet, where they are sums."""
    form = shape(scenario, traffic)
    rate = form.rate * form.share
    long = seconds or max(_LEAST, requests / rate)
    fleet = Fleet(scenario, form, traffic, seed)
    busy = fleet.run(long, max(_WARM, _STAYS * stay(scenario, traffic)))
    return _figures(scenario, form, traffic, fleet, busy, long)


def _figures(scenario: Scenario, form: Shape, traffic: Traffic, fleet: Fleet, busy: dict[str, float], seconds: float) -> dict[str, float]:  # noqa: PLR0917
    tally, whole = fleet.tally, scenario.cells / form.share
    ended = max(1, tally.endings.total())
    answered = tally.endings["answered"]
    return {
        "asked": form.rate * scenario.cells,
        "answered_per_second": answered / seconds * whole,
        "refused": 1 - (answered + sum(tally.endings[one] for one in _NO_REFUSAL)) / ended,
        **{f"refused, {reason}": many / ended for reason, many in tally.endings.items() if reason not in ("answered", "abstained")},
        **_latencies(tally),
        **{f"busy, {name}": min(1.0, share) for name, share in busy.items() if name not in ("Redis visits", "tokens")},
        "redis_per_second": busy["Redis visits"] * (1 / form.share) * scenario.cells,
        "tokens_per_second": busy["tokens"] * whole,
        "cost": tally.cost / max(1, answered),
        "dollars_per_hour": tally.cost / seconds * whole * 3_600 / 1e6,
        "abstained": tally.endings["abstained"] / ended,
        "moved": tally.moved / max(1, tally.purchases),
        "degraded": tally.degraded / ended,
        "shadow": max(tally.shares, default=0.0),
        **_spending(fleet),
        **_learning(scenario, form, traffic, tally),
    }


def _latencies(tally: Tally) -> dict[str, float]:
    """Seconds, of those that were answered."""
    taken = sorted(tally.latencies)
    if not taken:
        return {}
    at = {f"p{place}": taken[min(len(taken) - 1, int(len(taken) * place / 100))] for place in (50, 95, 99)}
    return {"mean": statistics.fmean(taken), **at}


def _spending(fleet: Fleet) -> dict[str, float]:
    """What a tenant spent above its budget or could not spend of it, once that had come to its end, of what its window allows."""
    account, share = fleet.accounts[SMALL], fleet.shape.share
    if not account.left or not account.whole:
        return {}
    beyond = (account.used - account.left) / share / account.whole
    return {"overspent": max(0.0, beyond), "unspent": max(0.0, -beyond), "overspent_dollars": max(0, account.used - account.left) / share / 1e6}


def _learning(scenario: Scenario, form: Shape, traffic: Traffic, tally: Tally) -> dict[str, float]:
    """Seconds until what was reported is learned, and the share of rows that the stream drops before they are read."""
    if not scenario.learning:
        return {}
    come = form.rate * rows(traffic) * (scenario.learning_seconds + max(tally.lags, default=0.0))
    return {"lag": statistics.fmean(tally.lags or [math.inf]), "lost": max(0.0, 1 - STREAM / come)}


def simulated(plans: Sequence[Scenario], traffic: Traffic, *, seed: int, seeds: int, requests: int, progress: Progress) -> list[dict[str, Any]]:
    """Each scenario, its figures as (mean, half of the 95 % interval), and what each part of it bears."""
    jobs = [(number, seed + turn) for number in range(len(plans)) for turn in range(seeds)]
    found: list[list[dict[str, float]]] = [[] for _ in plans]
    with _processes(traffic) as pool:
        waiting = {pool.submit(_once, plans[number], own, requests): number for number, own in jobs}
        for done, future in enumerate(as_completed(waiting), 1):
            found[waiting[future]].append(future.result())
            progress(done, len(jobs))
    return [_summary(one, traffic, figures) for one, figures in zip(plans, found, strict=True)]


def _once(scenario: Scenario, seed: int, requests: int) -> dict[str, float]:
    assert _traffic is not None
    return once(scenario, _traffic, seed, requests)


@contextmanager
def _processes(traffic: Traffic) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context, initializer=_remember, initargs=(traffic,)) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _summary(scenario: Scenario, traffic: Traffic, figures: Sequence[dict[str, float]]) -> dict[str, Any]:
    form = shape(scenario, traffic)
    names = dict.fromkeys(name for one in figures for name in one)
    return {
        "name": scenario.name,
        "gpus": scenario.gpus,
        "cells": scenario.cells,
        "routers": form.routers * scenario.cells,
        "workers": form.workers * scenario.cells,
        "simulated": form.share / scenario.cells,
        "figures": {name: interval([one.get(name, 0.0) for one in figures]) for name in names},
        "bears": bears(scenario, traffic),
        "polling": form.polling,
        "following": form.following,
        "scenario": scenario.model_dump(mode="json"),
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half of its 95 % interval, by Student's t over seeds."""
    many = len(values)
    if many < 2:
        return values[0], math.inf
    known = max((number for number in _STUDENT if number <= many), default=2)
    return statistics.fmean(values), _STUDENT[known] * statistics.stdev(values) / math.sqrt(many)


def buildable(scenario: Scenario, traffic: Traffic) -> Scenario:
    """The same GPUs at a pace that they bear, if that which is asked is more, in as few cells, with as many routers and workers, as bear it too."""
    rate = min(scenario.asked, COMFORTABLE * bears(scenario, traffic)["GPUs"])
    found = scenario
    for each in (8, 4, 2, 1):
        if each > scenario.gpus_per_worker:
            continue
        for cells in _cells(scenario.gpus // each or 1):
            found = _permitted(scenario.model_copy(update={"rate": rate, "cells": cells, "gpus_per_worker": each, "routers": None}), traffic)
            if all(most * COMFORTABLE >= rate * 0.99 for name, most in bears(found, traffic).items() if name != "routers") and _free(found, traffic):
                return found
    return found


def _cells(most: int) -> list[int]:
    """Numbers of cells to try: all small ones, then steps of a twentieth."""
    found = [1]
    while (last := found[-1]) < most:
        found.append(min(most, max(last + 1, last * 21 // 20)))
    return found


def _free(scenario: Scenario, traffic: Traffic) -> bool:
    """Whether routers have most of their time for calls."""
    form = shape(scenario, traffic)
    return form.polling + form.following < 0.4


def _permitted(scenario: Scenario, traffic: Traffic) -> Scenario:
    """With routers enough that their permits are no limit."""
    routers = shape(scenario, traffic).routers
    wanted = math.ceil(scenario.asked / scenario.cells * stay(scenario, traffic) / COMFORTABLE / scenario.router.permits)
    return scenario.model_copy(update={"routers": max(routers, wanted) * scenario.cells})
