"""Every strategy that the bundled models can drive, on the same held-out questions at matched token budgets: `make bench-strategies`.

A budget is so many times the tokens of one worked solution; nothing may spend more. Beside ours stand its-hub's and treequest's own, on the same
model, verifier, questions and budgets.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from policies.controls import wilson
from router.types import Budget, Evidence, Message, Outcome, Plan, Price, Query, Task, Usage
from tests.bench.peers import PEERS, peer
from tests.workers.toy import Bill
from workers.answers import canonical
from workers.backends.embedded import Embedded
from workers.executor import LocalExecutor, Pool
from workers.reasoner.train import MODELS
from workers.reasoner.workload import Problem, problems
from workers.sandbox import ProcessSandbox
from workers.strategies import strategies
from workers.verifiers import verifiers

SEED = 4711
SCALES = (2, 4, 8, 16)
BASELINE = "best_of_n"
IN_FLIGHT = 16
PRICE = Price(prompt=0.25, completion=1.0, scored=0.25)
console = Console(stderr=True)

Run = Callable[[Query], Awaitable[Outcome]]
Options = Callable[[int], Mapping[str, object]]
"""A strategy's options for a budget of so many solutions."""

# How each strategy is scaled. What is not here runs as it is, cut by the budget. Searches are narrower: every step pays for reading all before it.
SCALED: Mapping[str, Options] = {
    "direct": lambda n: {"skill": "solve"},
    "self_consistency": lambda n: {"n": n, "tau": 1.0},
    "adaptive_consistency": lambda n: {"n": 2 * n, "width": min(4, n)},
    "esc": lambda n: {"n": 2 * n, "window": max(2, n // 4)},
    "best_of_n": lambda n: {"n": n},
    "weighted_majority": lambda n: {"n": n},
    "best_of_majority": lambda n: {"n": n, "alpha": min(0.5, 2 / n)},
    "rpc": lambda n: {"n": n},
    "self_certainty": lambda n: {"n": n, "vocabulary": 785},
    "short_m_at_k": lambda n: {"k": 2 * n, "m": max(1, n // 2)},
    "first_finish": lambda n: {"n": 2 * n},
    "pets": lambda n: {"most": max(4, 4 * n), "mean": max(4, n)},
    "optscale": lambda n: {"n": 2 * n, "peek": min(3, n)},
    "fractured": lambda n: {"n": max(1, n // 2), "cuts": 2, "select": "weighted"},
    "deepconf": lambda n: {"n": 2 * n, "warmup": max(2, n // 2)},
    "beam": lambda n: {"beams": 1, "children": max(2, n // 4)},
    "lookahead": lambda n: {"beams": 1, "children": max(2, n // 8)},
    "dvts": lambda n: {"n": max(2, n // 4), "children": 2},
    "guided_by_gut": lambda n: {"trees": max(1, n // 8), "children": 2},
    "rebase": lambda n: {"width": max(1, n // 4)},
    "mcts": lambda n: {"simulations": n, "children": 2},
    "ab_mcts": lambda n: {"n": n, "batch": min(4, n)},
    "a_star": lambda n: {"expansions": 2 * n, "children": 2},
    "mindstar": lambda n: {"expansions": 2 * n, "children": 2},
    "particle_filter": lambda n: {"n": max(1, n // 4)},
    "entropic_particle_filter": lambda n: {"n": max(1, n // 4)},
    "phi_decoding": lambda n: {"beams": 1, "rollouts": max(2, n // 4)},
    "power_sampling": lambda n: {"moves": max(1, n // 2)},
    "genrm": lambda n: {"n": max(1, n // 3), "verifications": 2},
    "tournament": lambda n: {"n": max(2, n // 2), "ratio": 2.0},
    "p_true": lambda n: {"n": n},
    "cot_pot": lambda n: {"n": max(1, n - 1), "programs": 1 + (n > 4)},
    "self_evaluation": lambda n: {"n": n},
    "difficulty_modes": lambda n: {"peeks": max(2, n // 2)},
    "sequential_refinement": lambda n: {"rounds": max(1, n // 3)},
    "parallel_distill_refine": lambda n: {"widths": [max(1, n // 3), 1], "distil": "vote"},
    "iterative_agent_decoding": lambda n: {"n": max(2, n // 3)},
    "dser": lambda n: {"chains": max(1, n // 4), "rounds": 2},
    "magicore": lambda n: {"n": max(2, n // 2), "iterations": 1},
    "layers": lambda n: {"layers": [[{"generate": {"n": max(2, n // 2)}}], [{"rank": {"top": 3}}], [{"fuse": {"n": 1}}]]},
    "plangen": lambda n: {"rounds": max(1, n // 4)},
    "iterative_deepening": lambda n: {"n": max(1, n // 2)},
    "abstention": lambda n: {"tau": 0.0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One strategy at one budget: accuracy with its 95 % interval, tokens and tokens discarded or cancelled per question, seconds for all."""

    strategy: str
    scale: int
    accuracy: float
    low: float
    high: float
    tokens: float
    discarded: float
    seconds: float
    ahead: tuple[float, float, float] | None = None  # of uniform best-of-N at the same budget, with its paired 95 % interval


@asynccontextmanager
async def pool():
    """The largest bundled model, which has every skill, judged by the calculator as by default, with the sandbox; `small` drafts for it."""
    torch.set_num_threads(1)  # two engines at work at a time
    large = Pool(backend=Embedded(directory=MODELS / "large"), verifier=verifiers.build("calculator"), sandbox=ProcessSandbox(seconds=1))
    small = Pool(backend=Embedded(directory=MODELS / "small"))
    try:
        yield {"large": large, "draft": small}
    finally:
        await large.close()
        await small.backend.close()


def a_plan(name: str, scale: int) -> Plan:
    options = SCALED.get(name, lambda _: {})(scale)
    needs = strategies.build(name, options).needs
    return Plan(id=name, pool="large", strategy=name, options=options, price=PRICE, helpers={"draft": PRICE} if "helper" in needs else {})


def drivable(pools: Mapping[str, Pool]) -> list[str]:
    """The strategies whose needs the pool meets."""
    offered = pools["large"].capabilities | {"helper"}
    return [name for name in strategies.describe() if strategies.build(name, SCALED.get(name, lambda _: {})(4)).needs <= offered]


def a_query(place: int, problem: Problem) -> Query:
    return Query(id=str(place), messages=(Message(content=problem.question),), task=Task.MATH, seed=place)


def ours(executor: LocalExecutor, plan: Plan, budget: Budget) -> Run:
    return lambda query: executor.execute(query, plan, Evidence(), budget, Bill())


async def sit(run: Run, paper: Sequence[Problem], done: Callable[[], None]) -> tuple[list[Outcome], float]:
    """Every question once, some at a time; the outcomes and the seconds it took."""
    gate, started = asyncio.Semaphore(IN_FLIGHT), time.monotonic()

    async def one(place: int, problem: Problem) -> Outcome:
        async with gate:
            outcome = await run(a_query(place, problem))
            done()
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(place, problem)) for place, problem in enumerate(paper)]
    return [task.result() for task in tasks], time.monotonic() - started


def right(paper: Sequence[Problem], outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.array(
        [one.answer is not None and one.answer == canonical(Task.MATH, problem.answer) for problem, one in zip(paper, outcomes, strict=True)]
    )


def a_row(name: str, scale: int, paper: Sequence[Problem], outcomes: Sequence[Outcome], seconds: float) -> Row:
    correct = right(paper, outcomes)
    low, high = wilson(float(correct.sum()), len(paper))
    spent: Usage = sum((one.usage for one in outcomes), Usage())
    wasted = spent.discarded_tokens + spent.cancelled_tokens
    return Row(
        strategy=name,
        scale=scale,
        accuracy=float(correct.mean()),
        low=low,
        high=high,
        tokens=spent.tokens / len(paper),
        discarded=wasted / len(paper),
        seconds=seconds,
    )


async def measure(count: int, only: Sequence[str], scales: Sequence[int]) -> dict[str, object]:
    paper = list(islice(problems("test", SEED), count))
    async with pool() as pools:
        executor = LocalExecutor(pools=pools)
        names = [name for name in drivable(pools) if not only or name in only or name == BASELINE]
        peers = [name for name in PEERS if not only or name in only]
        left_out = sorted(set(strategies.describe()) - set(drivable(pools)))
        with Progress(TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as bar:
            one, _ = await sit(ours(executor, a_plan("direct", 1), Budget()), paper, lambda: None)
            solution = sum(outcome.usage.tokens for outcome in one) / count
            task = bar.add_task("", total=(len(names) + len(peers)) * len(scales) * count)
            rows, marks = [], defaultdict(dict)
            for scale in scales:
                budget = Budget(tokens=round(scale * solution))
                for name in (*names, *peers):
                    bar.update(task, description=f"{name}, {scale} solutions")
                    run = peer(name, pools["large"], scale, budget) if name in PEERS else ours(executor, a_plan(name, scale), budget)
                    outcomes, seconds = await sit(run, paper, lambda: bar.advance(task))
                    rows.append(a_row(name, scale, paper, outcomes, seconds))
                    marks[scale][name] = right(paper, outcomes)
    compared = [compare(row, marks) for row in rows]
    return {"questions": count, "solution_tokens": solution, "left_out": left_out, "rows": [asdict(row) for row in compared], **verdict(compared)}


def compare(row: Row, marks: Mapping[int, Mapping[str, np.ndarray]]) -> Row:
    """With its lead on the baseline, questions resampled in pairs."""
    rng = np.random.default_rng(0)
    difference = marks[row.scale][row.strategy].astype(float) - marks[row.scale][BASELINE]
    drawn = difference[rng.integers(len(difference), size=(2_000, len(difference)))].mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Row(**{**asdict(row), "ahead": (float(difference.mean()), float(low), float(high))})


def verdict(rows: Sequence[Row]) -> dict[str, object]:
    """What dominates uniform best-of-N at every budget (no less right for no more tokens), and the share of its tokens that equal quality takes."""
    at = {(row.strategy, row.scale): row for row in rows}
    scales = sorted({row.scale for row in rows})
    base = {scale: at[BASELINE, scale] for scale in scales}

    def dominates(name: str) -> bool:
        return all(at[name, scale].accuracy >= base[scale].accuracy and at[name, scale].tokens <= base[scale].tokens * 1.02 for scale in scales)

    names = dict.fromkeys(row.strategy for row in rows if row.strategy != BASELINE)
    top = base[scales[-1]]
    equal = min((row for row in rows if row.accuracy >= top.accuracy and row.strategy != BASELINE), key=lambda row: row.tokens, default=None)
    cheapest = None if equal is None else {"strategy": equal.strategy, "scale": equal.scale, "share_of_tokens": equal.tokens / top.tokens}
    return {"dominates_at_every_budget": [name for name in names if dominates(name)], "cheapest_at_top_quality": cheapest}


def show(found: Mapping[str, object]) -> None:
    out = Console(width=150)
    table = Table(
        "strategy", *(f"{scale} solutions" for scale in SCALES), title=f"{found['questions']} held-out questions: share right / tokens / wasted / s"
    )
    cells: dict[str, dict[int, str]] = defaultdict(dict)
    for row in found["rows"]:
        cells[row["strategy"]][row["scale"]] = (
            f"{row['accuracy']:.2f} [{row['low']:.2f}-{row['high']:.2f}] {row['tokens']:,.0f} {row['discarded']:,.0f} {row['seconds']:.0f}"
        )
    for name, by_scale in cells.items():
        table.add_row(name, *(by_scale.get(scale, "") for scale in SCALES))
    out.print(table)
    out.print(f"One worked solution takes {found['solution_tokens']:.0f} tokens.")
    out.print(f"Not drivable by the bundled models: {', '.join(found['left_out']) or 'none'}.")
    out.print(
        f"At least as right as uniform best-of-N for no more tokens at every budget: {', '.join(found['dominates_at_every_budget']) or 'none'}."
    )
    if cheapest := found["cheapest_at_top_quality"]:
        out.print(
            f"The quality of 16-sample best-of-N for the fewest tokens: {cheapest['strategy']}, at {cheapest['share_of_tokens']:.0%} of its tokens."
        )


def plot(found: Mapping[str, object], file: Path) -> None:
    """Accuracy against tokens."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(12, 8))
    lines: dict[str, list[dict[str, float]]] = defaultdict(list)
    for row in found["rows"]:
        lines[row["strategy"]].append(row)
    for name, rows in lines.items():
        style = {"linewidth": 3, "color": "black"} if name == BASELINE else {"linewidth": 1, "linestyle": "--" if name in PEERS else "-"}
        axes.plot([row["tokens"] for row in rows], [row["accuracy"] for row in rows], marker="o", markersize=3, label=name, **style)
    axes.set(xscale="log", xlabel="tokens per question, discarded and cancelled ones included", ylabel="share right")
    axes.set_title(f"{found['questions']} held-out questions; dashed: other libraries")
    axes.legend(fontsize=6, ncols=3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120, bbox_inches="tight")


def main(
    questions: Annotated[int, typer.Option(min=10, help="How many held-out questions.")] = 120,
    only: Annotated[list[str] | None, typer.Option(help="Only this strategy, beside the baseline; may be repeated.")] = None,
    scales: Annotated[list[int] | None, typer.Option(help="Budgets, in worked solutions.")] = None,
    into: Annotated[Path, typer.Option(help="Folder for the table as JSON and the plot.")] = Path("build/bench"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the strategies."""
    found = asyncio.run(measure(questions, only or [], scales or SCALES))
    into.mkdir(parents=True, exist_ok=True)
    (into / "strategies.json").write_text(json.dumps(found, indent=2))
    plot(found, into / "strategies.png")
    print(json.dumps(found, indent=2)) if as_json else show(found)
    console.print(f"Plot: {into / 'strategies.png'}")


if __name__ == "__main__":
    typer.run(main)
