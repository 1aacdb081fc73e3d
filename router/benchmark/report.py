"""The benchmark for people: tables on the terminal, and a page with plots."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from router.benchmark.run import OURS, SEEN, ZERO

_ORDER = (ZERO, "category only", "prompt length", "TF-IDF + logistic", "neighbours", "shuffled queries", OURS, SEEN, "hindsight oracle")
_COLORS = {OURS: "tab:blue", SEEN: "tab:red", "hindsight oracle": "tab:green", "category only": "tab:orange"}


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print one table per set and one of the ladders."""
    for name, one in found["sets"].items():
        console.print(_set(name, one))
    console.print(_ladders(found["ladders"]))


def write(found: Mapping[str, Any], folder: Path) -> None:
    """`report.json`, `report.md` and its plots."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [
        "# Routing, measured",
        "",
        "Every number is on questions that nothing was learned from; intervals are 95 % bootstrap over questions.",
        "Areas are under hulls that are read off in hindsight; what shuffled queries are ahead by is how much that flatters a router.",
        "",
    ]
    for kind in ("ladders", "sets"):
        for name, one in found[kind].items():
            file = f"{kind}-{''.join(letter if letter.isalnum() else '-' for letter in name)}.png"
            _plot(name, one, folder / file)
            lines += [f"## {name}", "", f"{one['questions']:,} questions.", "", *_markdown(one), "", f"![quality against cost]({file})", ""]
    (folder / "report.md").write_text("\n".join(lines))


def _markdown(one: Mapping[str, Any]) -> list[str]:
    lines = ["| router | area | ahead of the static mixture | area, log cost | quality at a quarter of the cost |", "| --- | --- | --- | --- | --- |"]
    for name, row in _routers(one):
        lines.append(f"| {name} | {_text(row['area'])} | {_text(row['ahead'])} | {_text(row['area_log'])} | {_text(row['quality_at_quarter'])} |")
    for aim in one.get("aims", ()):
        lines += ["", f"Aim: {aim['what']}: wanted {aim['wanted']:g}, found {_text(aim['found'])}: {'met' if aim['met'] else 'NOT met'}."]
    return lines


def _set(name: str, one: Mapping[str, Any]) -> Table:
    sheet = Table("router", "area", "ahead of the mixture", "log area", "at 1/4 cost", "cost of best constant", "mean AUC", "gain AUC", "mean ECE",
                  title=f"{name}: {one['questions']:,} questions, {len(one['arms'])} arms")  # fmt: skip
    for router, row in _routers(one):
        told = one.get("calibration", {}).get(router)
        cells = (_mean(told, "auc"), _plain(told["gain"]["auc"]), _mean(told, "ece")) if told else ("", "", "")
        figures = (
            _text(row["area"]),
            _text(row["ahead"]),
            f"{row['area_log'][0]:.3f}",
            _text(row["quality_at_quarter"]),
            f"{row['cost_of_best_constant'][0]:.2f}",
        )
        sheet.add_row(router, *figures, *cells, style="bold" if router in (OURS, SEEN) else "")
    return sheet


def _ladders(found: Mapping[str, Any]) -> Table:
    sheet = Table(
        "ladder", "aim", "wanted", "found", "", "rule to beat", title="Ladders, every answer looked at paid for; cost in shares of the dearest arm's"
    )
    for name, one in found.items():
        rule = one["rule"]
        told = f"{rule['what']}: {rule['quality'][0]:.3f} at {rule['cost'][0]:.2f}" if "quality" in rule else rule["what"]
        for place, aim in enumerate(one["aims"]):
            sheet.add_row(
                "" if place else name,
                aim["what"],
                f"{aim['wanted']:g}",
                _text(aim["found"]),
                "met" if aim["met"] else "not met",
                "" if place else told,
            )
    return sheet


def _routers(one: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, one["routers"][name]) for name in _ORDER if name in one["routers"]]


def _mean(told: Mapping[str, Any], figure: str) -> str:
    values = [one[figure][0] for arm, one in told.items() if arm != "gain" and one[figure] is not None]
    return f"{sum(values) / len(values):.3f}" if values else ""


def _plain(figure: tuple[float, float, float] | None) -> str:
    return "" if figure is None else f"{figure[0]:.3f}"


def _text(figure: tuple[float, float, float]) -> str:
    return f"{figure[0]:.3f} [{figure[1]:.3f}, {figure[2]:.3f}]"


def _plot(name: str, one: Mapping[str, Any], file: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only a report needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    both = "reliability" in one
    figure, axes = plt.subplots(1, 2 if both else 1, figsize=(11 if both else 6, 4), squeeze=False)
    plot = axes[0][0]
    for arm, (cost, quality) in one["arms"].items():
        plot.plot(cost, quality, "k.")
        plot.annotate(arm, (cost, quality), fontsize=6)
    for router, (cost, quality) in one["points"].items():
        if router != ZERO:
            order = sorted(range(len(cost)), key=cost.__getitem__)
            plot.plot([cost[at] for at in order], [quality[at] for at in order], label=router, color=_COLORS.get(router), linewidth=1)
    plot.set(xlabel="cost, in units of the dearest arm's", ylabel="quality", title=name)
    plot.legend(fontsize=6)
    if both:
        told = one["reliability"]
        axes[0][1].plot([0, 1], [0, 1], color="lightgray")
        axes[0][1].plot(told["stated"], told["true"], "o-", markersize=3)
        axes[0][1].set(xlabel="belief in the answer in hand", ylabel="share that was right", title=f"two-stage, ECE {told['ece']:.3f}")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
