"""The report of a simulation: what each fleet did, what of it is used up first, what the service does then, and what an operator can do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]
_DOES = {
    "GPUs": "Queues form before the pools, so their plans count dearer: up to {dearer:,.0f} times, which changes {moved:.0%} of the purchases. "
    "When slots, permits and the routers' queues are full, what comes is refused at once with OVERLOADED: {refused:.0%}",
    "Redis": "Answers take longer than a quarter of a second, so routers leave it alone, grant budgets on their own, at most 10 dollars a "
    "tenant and router, deliver settlements later, and cache nothing meanwhile: {degraded:.0%} of the requests. No call fails for it",
    "routers": "Calls wait for their core, of which asking every worker four times a second how busy it is takes {polling:.0%}, and following the "
    "log {following:.0%}. Permits are held for longer, and what comes then is refused with OVERLOADED: {refused:.0%}",
    "workers": "Executions wait for the worker's core while its GPUs run dry, which no shadow price tells of. Permits are held for longer, and "
    "what comes then is refused with OVERLOADED: {refused:.0%}",
    "permits": "Requests wait in the routers' queues while cores are idle, further ones are refused with OVERLOADED: {refused:.0%}",
    "learner": "What is reported is learned later and later; what the stream drops before it is read only the next retraining learns",
}
_HELPS = {
    "GPUs": "{times} the GPUs, or cheaper plans: a lower `value`, or more from the cache.",
    "Redis": "{cells} cells, each with a Redis, routers, workers and tenants of its own.",
    "routers": "{times} the router processes (`server.processes`, replicas); or cells, where each has fewer workers to ask.",
    "workers": "{times} the worker processes, each with fewer GPUs; or cells, where fewer routers ask each.",
    "permits": "{times} the permits (`server.permits`), or routers.",
    "learner": "{cells} cells, or leaving learning to retraining.",
}


def first(row: Row) -> str:
    """The part that bears least."""
    return str(min(row["bears"], key=row["bears"].__getitem__))


def show(found: Mapping[str, Any], out: Console) -> None:
    """Tables, then words."""
    rows = found["fleets"]
    out.print(_calls(rows), _parts(rows), _money(rows))
    for row in rows:
        for line in words(row):
            out.print(line, highlight=False, soft_wrap=True)
    for line in found["remarks"]:
        out.print(line, style="dim", highlight=False, soft_wrap=True)


def words(row: Row) -> list[str]:
    """What is used up first, what the service does then, and what helps."""
    part = first(row)
    bears, asked = row["bears"][part], _mean(row, "asked")
    order = sorted(row["bears"].items(), key=lambda one: one[1])
    then = ", ".join(f"{name} {most:,.0f}" for name, most in order[1:] if most < asked)
    head = f"[bold]{row['name']}[/bold]: {part} first, at {bears:,.0f} requests a second" + (f" (then {then})" if then else "")
    if asked <= bears:
        return [f"{head}; {asked:,.0f} are asked for, so nothing is used up."]
    facts = {name: _mean(row, name) for name in ("moved", "refused", "degraded")} | {name: row[name] for name in ("polling", "following")}
    facts |= {"dearer": 1 + _mean(row, "shadow"), "times": _times(row, part), "cells": _split(row, part)}
    return [f"{head}; {asked:,.0f} are asked for. {_DOES[part].format(**facts)}.", f"  What helps: {_HELPS[part].format(**facts)}"]


def _calls(rows: Sequence[Row]) -> Table:
    columns = ("GPUs", "cells", "routers", "workers", "asked a second", "answered", "refused", "p50 s", "p95 s", "p99 s", "dollars an hour")
    table = Table("fleet", *columns, title="Requests: means over seeds, with 95 % intervals")
    for row in rows:
        counts = (f"{row[name]:,}" for name in ("gpus", "cells", "routers", "workers"))
        times = (_told(row, name, "{:.2f}") for name in ("p50", "p95", "p99"))
        table.add_row(
            row["name"],
            *counts,
            f"{_mean(row, 'asked'):,.0f}",
            _told(row, "answered_per_second"),
            _refused(row),
            *times,
            _told(row, "dollars_per_hour"),
        )
    return table


def _parts(rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row["bears"]))
    table = Table("fleet", *names, "disk", title="Busy for this share of the time, and (requests a second that it bears)")
    for row in rows:
        told = [f"{_share(row, name)} ({row['bears'][name]:,.0f})" if name in row["bears"] else "" for name in names]
        table.add_row(row["name"], *told, _share(row, "disk"))
    return table


def _money(rows: Sequence[Row]) -> Table:
    columns = ("overspent", "dollars", "unspent", "without Redis", "Redis calls a second", "moved by shadow prices", "learned after s", "rows lost")
    table = Table("fleet", *columns, title="A budget that ends (shares of its window's), Redis, prices, learning")
    for row in rows:
        has = row["figures"]
        learned = (f"{_mean(row, 'lag'):.1f}", f"{_mean(row, 'lost'):.0%}") if "lag" in has else ("", "")
        shares = (
            f"{_mean(row, 'overspent'):.4%}",
            f"{_mean(row, 'overspent_dollars'):.2f}",
            f"{_mean(row, 'unspent'):.4%}",
            f"{_mean(row, 'degraded'):.0%}",
        )
        table.add_row(row["name"], *shares, _told(row, "redis_per_second"), f"{_mean(row, 'moved'):.0%}", *learned)
    return table


def plot(found: Mapping[str, Any], file: Path) -> None:
    """Answers and latency by the size of the fleet, and how busy each part is."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - takes a second

    rows = found["fleets"]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    places = range(len(rows))
    for name, label in (("asked", "asked"), ("answered_per_second", "answered")):
        left.errorbar(places, [_mean(row, name) for row in rows], yerr=[_half(row, name) for row in rows], marker="o", capsize=3, label=label)
    left.set(yscale="log", ylabel="requests a second")
    for name in ("p50", "p95", "p99"):
        middle.errorbar(places, [_mean(row, name) for row in rows], yerr=[_half(row, name) for row in rows], marker="o", capsize=3, label=name)
    middle.set(ylabel="seconds", ylim=(0, None))
    for name in rows[0]["bears"]:
        right.plot(places, [_mean(row, "asked") / max(1e-9, row["bears"][name]) for row in rows], marker="o", label=name)
    right.axhline(1.0, color="grey", linewidth=0.8)
    right.set(yscale="log", ylabel="asked for, of what it bears")
    for axes in (left, middle, right):
        axes.set_xticks(list(places), [row["name"] for row in rows], rotation=30, ha="right")
        axes.legend()
    figure.savefig(file)
    plt.close(figure)


def _mean(row: Row, name: str) -> float:
    return float(row["figures"].get(name, (0.0, 0.0))[0])


def _half(row: Row, name: str) -> float:
    return float(row["figures"].get(name, (0.0, 0.0))[1])


def _told(row: Row, name: str, shape: str = "{:,.0f}") -> str:
    if name not in row["figures"]:
        return ""
    return f"{shape.format(_mean(row, name))} ± {shape.format(_half(row, name))}"


def _share(row: Row, part: str) -> str:
    return f"{_mean(row, f'busy, {part}'):.0%}" if f"busy, {part}" in row["figures"] else ""


def _refused(row: Row) -> str:
    return f"{_mean(row, 'refused'):.1%}"


def _times(row: Row, part: str) -> str:
    """How many times as many would be comfortable."""
    return f"{_mean(row, 'asked') / 0.8 / max(1e-9, row['bears'][part]):,.1f} times" if row["bears"][part] else "Other than"


def _split(row: Row, part: str) -> str:
    bears = row["bears"][part] / row["cells"]
    return f"at least {_mean(row, 'asked') / 0.8 / bears:,.0f}" if bears else "many"
