"""What was measured, as tables, and the aims beside it."""

import os

from rich.console import Console
from rich.table import Table

from tests.scale.prediction import AIM

TWICE = 1.7  # two routers, of one
ADDED = 10.0  # milliseconds


def judged(found: dict) -> list[dict]:
    """Every aim with what was measured and whether it is met."""
    aims = [
        {
            "aim": f"two routers bear at least {TWICE} times what one does, on this machine",
            "found": (ratio := found["ratios"]["routers"]["2"]),
            "met": ratio >= TWICE,
        },
        {
            "aim": f"two routers bear at least {TWICE} times what one does, with a core each (by processor time)",
            "found": (each := found["ratios"]["routers, with a core each"]["2"]),
            "met": each >= TWICE,
        },
    ]
    for name, row in found["losses"].items():
        told = f"{name}: calls that failed for good, of {row['calls'] + row['failed']}"
        aims.append({"aim": told, "found": row["failed"], "met": row["failed"] == 0})
    for name, rows in found["predictions"].items():
        for row in rows:
            worst = max(abs(row["apart"][one]) for one in ("per_second", "p99_ms"))
            others = f" (others had {max(row['others']):.0%} of a core)" if max(row["others"]) > 0.1 else ""
            told = f"{name} at {row['load']:.0%}: predicted throughput and p99 within {AIM:.0%}{others}"
            aims.append({"aim": told, "found": worst, "met": worst <= AIM})
    if found["ray"]:
        added = found["ray"]["ray_adds_p50_ms"]
        aims.append({"aim": f"Ray adds at most {ADDED:g} ms at p50", "found": added, "met": added <= ADDED})
    return aims


def show(found: dict, out: Console) -> None:
    """Tables."""
    for kind in ("routers", "workers"):
        out.print(_growth(kind, found))
    ends = Table("what ends under load", "calls", "made again", "failed", "such as", title="20 calls a second; clients try again up to three times")
    for name, row in found["losses"].items():
        ends.add_row(name, str(row["calls"]), str(row["again"]), str(row["failed"]), ", ".join(row["wrong"]))
    columns = ("calls a second", "predicted", "p50 ms", "predicted", "p99 ms", "predicted", "p99 apart")
    near = Table("pool", "load", *columns, title="What the simulator says of it")
    for name, rows in found["predictions"].items():
        for row in rows:
            pairs = (f"{row[side][key]:.1f}" for key in ("per_second", "p50_ms", "p99_ms") for side in ("measured", "predicted"))
            near.add_row(name, f"{row['load']:.0%}", *pairs, f"{row['apart']['p99_ms']:+.0%}")
    aims = Table("aim", "found", "met", title="Aims")
    for aim in found["aims"]:
        aims.add_row(aim["aim"], f"{aim['found']:.2f}", "yes" if aim["met"] else "NO")
    out.print(ends, near, aims)
    if found["ray"]:
        out.print("Ray beside plain workers:", found["ray"])
    cores = len(os.sched_getaffinity(0))
    out.print(
        f"{cores} cores. One router has the first, a second the last, where workers, Redis and the client are as well. `with a core each`: what is "
        "answered for a processor second of routers that have the first core to themselves, all of them together, times their number.",
        style="dim",
    )


def _growth(kind: str, found: dict) -> Table:
    columns = ("calls a second", "ratio", "with a core each", "ratio", "p99 ms at half", "router us", "worker us", "Redis us", "failed")
    table = Table(kind, *columns, title=f"Closed loops: {kind}")
    for count, row in found[kind].items():
        alone = found["ratios"].get(f"{kind}, with a core each", {})
        table.add_row(
            count,
            f"{row['per_second']:,.0f}",
            f"{found['ratios'][kind][count]:.2f}",
            f"{row['with_a_core_each']:,.0f}" if alone else "",
            f"{alone[count]:.2f}" if alone else "",
            f"{row['half']['p99_ms']:.0f}" if "half" in row and row["half"]["p99_ms"] else "",
            *(f"{row['microseconds'][name]:,.0f}" for name in ("routers", "workers", "redis")),
            str(row["failed"]),
        )
    return table
