"""Evaluations for people: tables on the terminal, and a plot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from router.evaluation.episodes import LEFT_OUT
from router.evaluation.judge import OURS

_MEASURES = ("quality", "cost", "net")
_ALONG = ("quality", "cost", "seconds")


def show(found: Mapping[str, Any], console: Console) -> None:
    """A policy beside what acted and the controls, or a knob along its range."""
    console.print(_curve(found) if "knob" in found else _policies(found))
    for line in _remarks(found):
        console.print(line, highlight=False, markup=False)


def _policies(found: Mapping[str, Any]) -> Table:
    table = Table("policy", "quality", "micro-dollars", "net worth", "ahead by", "effective decisions", title=_title(found))
    for name, one in found["estimates"].items():
        if "refused" in one:
            table.add_row(name, *(f"({_number(one['modelled'][measure])})" for measure in _MEASURES), "", "too few")
            continue
        ahead = found["ahead_of"].get(name)
        told = "" if ahead is None else _told(ahead) if "value" in ahead else "cannot be told"
        table.add_row(name, *(_told(one[measure]) for measure in _MEASURES), told, f"{one['effective']:.0f}", style="bold" if name == OURS else "")
    return table


def _curve(found: Mapping[str, Any]) -> Table:
    table = Table(found["knob"], "quality", "micro-dollars", "seconds", "effective decisions", title=_title(found))
    for point in found["points"]:
        if "refused" in point:
            table.add_row(_number(point["at"]), *(f"({_number(point['modelled'][measure])})" for measure in _ALONG), "too few", style="dim")
        else:
            table.add_row(_number(point["at"]), *_along(point))
    table.add_section()
    for name, one in (("as logged", found["logged"]), *((f"always {plan}", one) for plan, one in found["constants"].items())):
        if "refused" not in one:
            table.add_row(name, *_along(one))
    return table


def _along(one: Mapping[str, Any]) -> list[str]:
    return [_told(one["quality"]), _told(one["cost"]), _number(one["seconds"]["value"]), f"{one['effective']:.0f}"]


def _title(found: Mapping[str, Any]) -> str:
    return f"{found['policy']} for {found['tenant']}, by {found['decisions']:,} logged decisions"


def _remarks(found: Mapping[str, Any]) -> list[str]:
    lines = [f"Left out: {count:,} {LEFT_OUT[reason]}." for reason, count in found["left_out"].items()]
    rows = found.get("points") or list(found["estimates"].values())
    if any("refused" in one for one in rows):
        lines.append("Numbers in brackets are what the model alone says: the log holds too little of what would be done there for an interval.")
    if refused := found.get("estimates", {}).get(OURS, {}).get("refused"):
        lines.append(f"Of this policy: {refused}")
    if missing := found.get("not_judged"):
        lines.append(f"Of the constant plans, the log can say nothing of {', '.join(missing)}.")
    return [*lines, *dict.fromkeys(f"Mind: {warning}." for one in rows for warning in one.get("warnings", ()))]


def _told(one: Mapping[str, float]) -> str:
    return f"{_number(one['value'])} [{_number(one['low'])}, {_number(one['high'])}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}"


def plot(found: Mapping[str, Any], file: Path) -> None:
    """Quality against cost along the knob, with intervals, and constant plans beside it."""
    import matplotlib as mpl  # noqa: PLC0415 - takes half a second

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 5))
    for name, one in found["constants"].items():
        if "refused" not in one:
            axes.errorbar(*_centre(one), **_bars(one), fmt="o", color="grey", alpha=0.6)
            axes.annotate(name, _centre(one), fontsize=7, xytext=(4, 4), textcoords="offset points")
    judged = [point for point in found["points"] if "refused" not in point]
    for point in judged:
        axes.errorbar(*_centre(point), **_bars(point), fmt="o", color="tab:blue", capsize=2)
    costs, heights = ([point["modelled"][measure] for point in found["points"]] for measure in ("cost", "quality"))
    axes.plot(costs, heights, ":", color="tab:blue", alpha=0.5, label="the model alone")
    axes.set(xlabel="micro-dollars per request", ylabel="quality", xscale="log", title=_title(found))
    axes.legend(loc="lower right")
    figure.savefig(file, dpi=120, bbox_inches="tight")
    plt.close(figure)


def _centre(one: Mapping[str, Any]) -> tuple[float, float]:
    return one["cost"]["value"], one["quality"]["value"]


def _bars(one: Mapping[str, Any]) -> dict[str, Any]:
    ends = {axis: one[measure] for axis, measure in (("xerr", "cost"), ("yerr", "quality"))}
    return {axis: [[max(0.0, end["value"] - end["low"])], [max(0.0, end["high"] - end["value"])]] for axis, end in ends.items()}
