"""The bench for people: tables on the terminal, plots in a folder."""

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.policies.judge import CONSTANT, ORACLE, REFERENCE
from tests.bench.policies.peers import LIBRARIES, TUNED_ON
from tests.bench.policies.speed import AIMS


def show(found: Mapping[str, Any], out: Console) -> None:
    """Whatever was measured."""
    for name, one in found.get("replay", {}).items():
        _replay(name, one, out)
    if found.get("replay"):
        out.print(_overview(found["replay"]))
    if missing := sorted(LIBRARIES.keys() - found["peers"]):
        out.print(f"Peers not installed, and so left out: {', '.join(missing)} (`pip install {' '.join(missing)}` brings them)")
    for name, one in found.get("live", {}).items():
        _live(name, one, out)
    if "speed" in found:
        _speed(found["speed"], out)


def _overview(found: Mapping[str, Any]) -> Table:
    """Late regret on every table, best on average first."""
    late = {
        name: {table: one["rows"][name]["regret"][one["last"]][0] for table, one in found.items() if name in one["rows"]} for name in _names(found)
    }
    table = Table("", *found, "mean", title="Regret per question in the last window, over all tables")
    for name, by_table in sorted(late.items(), key=lambda pair: sum(pair[1].values()) / len(pair[1])):
        cells = (f"{by_table[one]:.4f}" if one in by_table else "" for one in found)
        table.add_row(name, *cells, f"{sum(by_table.values()) / len(by_table):.4f}" if len(by_table) == len(found) else "")
    return table


def _names(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for one in found.values() for name in one["rows"]))


def _replay(name: str, one: Mapping[str, Any], out: Console) -> None:
    rows, last = one["rows"], one["last"]
    cumulative = list(next(iter(rows.values()))["regret"])
    table = Table(
        "", *cumulative, "reward", "quality", "cost", f"ahead of the best constant, {last}", f"ahead of the best peer, {last}",
        title=f"{name}: {one['questions']:,} questions, {len(one['plans'])} plans, {one['seeds']} seeds; regret per question against"
        f" {one['reference']}, which knows every outcome; a right answer is worth {one['worth']:,.0f}",
    )  # fmt: skip
    for competitor, row in sorted(rows.items(), key=lambda pair: -pair[1]["reward"][0]):
        figures = [_text(row["regret"][window]) for window in cumulative]
        ahead = [_text(row[against]) if row[against] else "" for against in ("ahead of the best constant", "ahead of the best peer")]
        style = "bold" if competitor in {aim["policy"] for aim in one["aims"]} else ""
        table.add_row(competitor, *figures, f"{row['reward'][0]:.3f}", f"{row['quality']:.3f}", f"{row['cost']:,.0f}", *ahead, style=style)
    out.print(table)
    for aim in one["aims"]:
        against = f"{aim['of the best peer']:.4f}, {aim['best peer']}" if aim["best peer"] else "no peer is installed"
        out.print(
            f"{aim['policy']}, rounds {last}: regret {aim['regret']:.4f}; at most half of the best peer's ({against}): {_met(aim['half'])};"
            f" significantly below the best constant: {_met(aim['below the best constant'])}.",
            highlight=False,
        )
    if name in TUNED_ON:
        out.print("The peers were tuned on this table.")
    if one["again"]:
        out.print(f"There are {one['questions']} questions: after these they come again.", highlight=False)
    if one["reference"] == "constant":
        out.print("No model of the context beat the best constant here: there is nothing to win from it, and the reference is that constant.")
    out.print()


def _live(name: str, one: Mapping[str, Any], out: Console) -> None:
    plans = list(one["blocks"][0]["shares"])
    table = Table(
        "phase", "quality", "cost", "cost of a blind mixture as good", "reward", "best constant: quality, cost, reward", *plans,
        title=f"The whole service with {name}, nothing learned at the start: blocks of {one['block']} questions, a right answer is worth"
        f" {one['worth']:.0f} micro-dollars",
    )  # fmt: skip
    for block in one["blocks"]:
        constant = f"{block['constant quality']:.3f}, {block['constant cost']:.0f}, {block['constant reward']:.3f} ({block['constant']})"
        figures = f"{block['quality']:.3f}", f"{block['cost']:.0f}", f"{block['mixture cost']:.0f}", f"{block['reward']:.3f}"
        table.add_row(block["phase"], *figures, constant, *(f"{block['shares'][plan]:.0%}" for plan in plans))
    out.print(table)
    for event in one["events"]:
        after = f"after {event['after']} questions" if event["after"] is not None else "never"
        out.print(
            f"{event['event']} ({event['what']}): {after}, at most {event['aim']} wanted: {_met(event['met'])}; settles at {event['settled']:.3f}.",
            highlight=False,
        )
    out.print()


def _speed(one: Mapping[str, Any], out: Console) -> None:
    usual = ", ".join(f"{size} {way}" for way, size in one["usual"].items())
    columns = [(way, size) for way, sizes in one["growth"].items() for size in sizes]
    table = Table("median microseconds", usual, *(f"{size} {way}" for way, size in columns), title="Speed")
    for name, value in one["microseconds"].items():
        table.add_row(name, f"{value:,.0f}", *(f"{one['growth'][way][size][name]:,.0f}" for way, size in columns))
    out.print(table)
    for name, value in one["microseconds"].items():
        most = next((most for kind, most in AIMS.items() if name.startswith(kind)), None)
        if most:
            out.print(f"{name}: {value:.0f} microseconds, under {most} wanted: {_met(value < most)}.", highlight=False)


def _met(yes: bool) -> str:
    return "met" if yes else "NOT met"


def _text(figure: tuple[float, float, float]) -> str:
    return f"{figure[0]:.3f} ±{figure[2] - figure[0]:.3f}"


def plot(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Regret so far by round, a file per problem; each plan's share of the live stream, a file per policy."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    files = []

    def keep(axes: Any, name: str, **labels: str) -> None:
        axes.set(**labels)
        axes.legend(fontsize=7, ncols=2)
        files.append(folder / f"policies-{''.join(letter if letter.isalnum() else '-' for letter in name)}.png")
        axes.figure.savefig(files[-1], dpi=110, bbox_inches="tight")
        plt.close(axes.figure)

    for name, one in found.get("replay", {}).items():
        _, axes = plt.subplots(figsize=(11, 6))
        ours = {aim["policy"] for aim in one["aims"]}
        for competitor, row in one["rows"].items():
            if competitor not in (REFERENCE, ORACLE, "random"):
                style = {"color": "black", "linestyle": ":"} if competitor == CONSTANT else {"linewidth": 2.5 if competitor in ours else 1}
                sums = list(accumulate(block * one["block"] for block in row["curve"]))
                axes.plot([(place + 1) * one["block"] for place in range(len(sums))], sums, label=competitor, **style)
        keep(axes, name, xlabel="questions asked", ylabel="regret so far, in right answers", title=name)
    for name, one in found.get("live", {}).items():
        _, axes = plt.subplots(figsize=(11, 5))
        ends = [(place + 1) * one["block"] for place in range(len(one["blocks"]))]
        for plan in one["blocks"][0]["shares"]:
            axes.plot(ends, [block["shares"][plan] for block in one["blocks"]], marker=".", label=f"{plan}: share")
        axes.plot(ends, [block["reward"] for block in one["blocks"]], color="black", linewidth=2, label="reward")
        axes.plot(ends, [block["constant reward"] for block in one["blocks"]], color="black", linestyle=":", label="reward of the best constant")
        keep(axes, f"live {name}", xlabel="questions asked", title=f"{name}: a new plan, another mix, and {one['broken']} broken")
    return files
