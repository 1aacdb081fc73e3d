"""The benchmark for people: tables on the terminal, and a page with plots."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from router.benchmark.peers import PEERS
from router.benchmark.run import OURS, SEEN, ZERO

_LAST = (OURS, SEEN, "hindsight oracle")  # all others come before them
_ECE = 0.03
_FIGURES = {
    "area": "area",
    "ahead": "ahead of the static mixture",
    "area_log": "area, log cost",
    "aiq": "AIQ",
    "quality_at_quarter": "quality at a quarter of the cost",
    "cost_of_best_constant": "cost of the best constant's quality",
}
_COLORS = {OURS: "tab:blue", SEEN: "tab:red", "hindsight oracle": "tab:green", "category only": "tab:orange"}


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print one table per set and one of the ladders."""
    for name, one in found["sets"].items():
        console.print(_set(name, one))
        for alpha, told in one.get("promises", {}).items():
            console.print(_promise(alpha, told), markup=False, highlight=False)
    console.print(_ladders(found["ladders"]))
    if missing := sorted(PEERS.keys() - found["peers"]):
        console.print(f"Peers not installed, and so left out: {', '.join(missing)} (`pip install {' '.join(missing)}` brings them)")


def write(found: Mapping[str, Any], folder: Path) -> None:
    """`report.json`, `report.md` and its plots."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [
        "# Routing, measured",
        "",
        "Every number is on questions that nothing was learned from; intervals are 95 % bootstrap over questions.",
        "Areas are under a router's own operating points joined in order of cost, good or not: nothing is picked in hindsight.",
        "Only AIQ takes the hull, as RouterBench defines it. The static mixture alone has hindsight: its arms are the best on the questions judged.",
        "",
        *(
            []
            if len(found["peers"]) == len(PEERS)
            else [f"Peers not installed, and so left out: {', '.join(sorted(PEERS.keys() - found['peers']))}.", ""]
        ),
    ]
    for kind in ("ladders", "sets"):
        for name, one in found[kind].items():
            file = f"{kind}-{''.join(letter if letter.isalnum() else '-' for letter in name)}.png"
            _plot(name, one, folder / file)
            lines += [f"## {name}", "", f"{one['questions']:,} questions.", "", *_markdown(one), "", f"![quality against cost]({file})", ""]
    (folder / "report.md").write_text("\n".join(lines))


def _markdown(one: Mapping[str, Any]) -> list[str]:
    lines = [f"| router | {' | '.join(_FIGURES.values())} |", "| --- |" + " --- |" * len(_FIGURES)]
    lines += [f"| {name} | {' | '.join(_text(row[figure]) for figure in _FIGURES)} |" for name, row in _routers(one)]
    lines += ["", *_calibrated(one), *_promised(one), *_called(one)]
    for aim in one.get("aims", ()):
        lines += ["", f"Aim: {aim['what']}: wanted {aim['wanted']:g}, found {_text(aim['found'])}: {'met' if aim['met'] else 'NOT met'}."]
    return lines


def _calibrated(one: Mapping[str, Any]) -> list[str]:
    lines = []
    for router, arms in one.get("calibration", {}).items():
        lines += ["", f"{router}: gain AUC {_text(arms['gain']['auc']) if arms['gain']['auc'] else 'not to be had'}.", ""]
        lines += ["| arm | AUC | Brier | ECE |", "| --- | --- | --- | --- |"]
        for arm, told in arms.items():
            if arm != "gain":
                lines.append(f"| {arm} | {' | '.join(_text(told[name]) if told[name] else '' for name in ('auc', 'brier', 'ece'))} |")
    if lines:
        mean = float(_mean(one["calibration"][OURS], "ece") or "nan")
        lines += ["", f"Aim: mean ECE of {OURS}: wanted at most {_ECE:g}, found {mean:.3f}: {'met' if mean <= _ECE else 'NOT met'}."]
    if "reliability" in one:
        ece = one["reliability"]["ece"]
        lines += ["", f"Aim: ECE of {SEEN}: wanted at most {_ECE:g}, found {ece:.3f}: {'met' if ece <= _ECE else 'NOT met'}."]
    return lines


def _promised(one: Mapping[str, Any]) -> list[str]:
    return [line for alpha, told in one.get("promises", {}).items() for line in ("", _promise(alpha, told))]


def _promise(alpha: str, told: Mapping[str, Any]) -> str:
    if not told["given"][0]:
        return f"At most {float(alpha):.0%} of the answers given wrong: nothing could be promised, and nothing was given."
    rate = f"of {told['given'][0]:.1%} given {_text(told['wrong'])} wrong: {'kept' if told['kept'] else 'NOT kept'}."
    return f"At most {float(alpha):.0%} of the answers given wrong (conformal): {rate}"


def _called(one: Mapping[str, Any]) -> list[str]:
    """Where there are two arms, as RouteLLM judges routers."""
    routers = one.get("two arms", {})
    if not routers:
        return []
    names = next(iter(routers.values()))
    lines = ["", f"| router | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    return lines + [f"| {router} | {' | '.join(_text(told[name]) for name in names)} |" for router, told in routers.items()]


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
    others = sorted(one["routers"].keys() - _LAST, key=lambda name: (name != ZERO, name))
    return [(name, one["routers"][name]) for name in (*others, *_LAST) if name in one["routers"]]


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
