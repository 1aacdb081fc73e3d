"""What was measured, as tables, and the aims beside it."""

from rich.console import Console
from rich.table import Table

AIMS = {"PlanQuery": 0.6, "AnswerQuery, cached": 0.5}  # of the echo's throughput
P99_AIM = 3.0  # times the echo's, each at half of its own throughput
FLOODED = 1.2  # times a tenant's p99 alone
FLAT = 1.03  # memory afterwards, times half-way


def judged(found: dict) -> list[dict]:
    """Every aim with what was measured and whether it is met. `cpu` compares processor time, which no client can be the limit of."""
    echo, half = found["closed"]["echo"], found["open"]["echo"]["0.5"]
    aims = []
    for name, share in AIMS.items():
        row = found["closed"][name]
        rate = row["per_second"] / echo["per_second"]
        aims.append(
            {"aim": f"{name}: at least {share} of the echo's throughput", "found": rate, "met": rate >= share, "cpu": echo["cpu_us"] / row["cpu_us"]}
        )
    for name in AIMS:
        ratio = found["open"][name]["0.5"]["p99_ms"] / half["p99_ms"]
        aims.append({"aim": f"{name}: p99 at half of saturation at most {P99_AIM:g} times the echo's", "found": ratio, "met": ratio <= P99_AIM})
    for name, row in found["memory"].items():
        ratio = row["after_mb"] / row["half_mb"]  # caches may fill at first
        aims.append({"aim": f"{name}: memory flat over {row['calls']:,} requests", "found": ratio, "met": ratio <= FLAT})
    calm = found["fairness"]
    ratio = calm["beside the flood"]["p99_ms"] / calm["alone"]["p99_ms"]
    aims.append({"aim": f"a tenant's p99 beside another's flood at most {FLOODED:g} times what it is alone", "found": ratio, "met": ratio <= FLOODED})
    return aims


def show(found: dict, out: Console) -> None:
    """Tables."""
    closed = Table(
        "call", "per second", "of the echo's", "p50 ms", "p99 ms", "server us", "of the echo's", "server busy", "failed", title="Closed: 64 callers"
    )
    echo = found["closed"]["echo"]
    for name, row in found["closed"].items():
        rate, spent = row["per_second"] / echo["per_second"], row["cpu_us"] / echo["cpu_us"]
        closed.add_row(
            name,
            f"{row['per_second']:,.0f}",
            f"{rate:.2f}",
            *_ms(row, "p50_ms", "p99_ms"),
            f"{row['cpu_us']:,.0f}",
            f"{spent:.2f}",
            f"{row['busy']:.0%}",
            f"{row['failed']:.0f}",
        )
    opened = Table(
        "call", "of its own throughput", "per second", "p50 ms", "p99 ms", "p99.9 ms", "p99 of the echo's", "failed", title="Open: Poisson arrivals"
    )
    for name, rows in found["open"].items():
        for fraction, row in rows.items():
            ratio = row["p99_ms"] / found["open"]["echo"][fraction]["p99_ms"] if row["p99_ms"] else float("nan")
            opened.add_row(
                name, fraction, f"{row['per_second']:,.0f}", *_ms(row, "p50_ms", "p99_ms", "p999_ms"), f"{ratio:.2f}", f"{row['failed']:.0f}"
            )
    aims = Table("aim", "found", "met", "by processor time", title="Aims")
    for aim in found["aims"]:
        aims.add_row(aim["aim"], f"{aim['found']:.2f}", "yes" if aim["met"] else "NO", f"{aim['cpu']:.2f}" if "cpu" in aim else "")
    memory = Table("call", "requests", "MB before", "half-way", "after", title="Memory")
    for name, row in found["memory"].items():
        memory.add_row(name, f"{row['calls']:,}", *(f"{row[name]:.0f}" for name in ("before_mb", "half_mb", "after_mb")))
    shares = Table("tenant", "per second", "p50 ms", "p99 ms", "failed", title="Fair shares: 10 calls a second beside 128 callers who never rest")
    for name, row in found["fairness"].items():
        shares.add_row(name, f"{row['per_second']:,.0f}", *_ms(row, "p50_ms", "p99_ms"), f"{row['failed']:.0f}")
    out.print(closed, opened, memory, shares, aims)
    out.print(f"Server on core {found['cores'][0]}; client, Redis and worker on core {found['cores'][1]}", style="dim")


def _ms(row: dict, *names: str) -> list[str]:
    return ["" if row[name] is None else f"{row[name]:.2f}" for name in names]
