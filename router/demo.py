"""The demonstration: held-out questions through the service, and what every control would have made of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import grpc
import numpy as np
from rheostat.v1 import query_pb2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Sheet

from policies import controls
from policies.controls import Point, Table
from router.exam import Attempt, draw, sit
from router.watching import Watched
from workers.reasoner.workload import Problem

SEED = 20_261
OURS = "Rheostat"
_FIGURES = ("questions", "accuracy", "cost", "purchases")  # of a level, beside the shares of its plans
RISKS = (0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the result: 95 % intervals; costs in micro-dollars and tokens per question."""

    accuracy: float
    low: float
    high: float
    cost: float
    tokens: float | None = None
    ahead: tuple[float, float, float] | None = None  # Rheostat's accuracy less this one's, with its paired interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the knob `risk` would have kept back of the same answers: share given, and the share of those that were wrong, with its interval."""

    given: float
    wrong: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything the demonstration shows."""

    rheostat: Row
    controls: Mapping[str, Row]
    questions: int
    stages: Mapping[str, Mapping[str, float]]
    best_constant: str
    cost_share: float  # Rheostat's cost over the best constant plan's
    promises: Mapping[str, Promise]  # by the risk asked for

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)


async def run(channel: grpc.aio.Channel, plans: Sequence[str], questions: int, console: Console, risk_bar: Callable[[float], float]) -> Report:
    """Ask Rheostat, then draw every constant plan's samples on the same questions, and compare. `risk_bar` is `Predictor.bar`."""
    paper = draw("test", SEED, questions)
    with Watched(console) as bar:
        routed = await _sit(bar, OURS, channel, paper, query_pb2.Knobs(cache=False))
        fixed = {
            plan: await _sit(bar, f"always {plan}", channel, paper, query_pb2.Knobs(policy="fixed", plans=[plan], cache=False, exploration=0.0))
            for plan in plans
        }
    return compare(paper, routed, fixed, {f"{risk:g}": promise(routed, risk_bar(risk)) for risk in RISKS})


async def _sit(bar: Watched, label: str, channel: grpc.aio.Channel, paper: Sequence[Problem], knobs: query_pb2.Knobs) -> list[Attempt]:
    task = bar.add_task(label, total=len(paper))

    def done(attempt: Attempt) -> None:
        bar.advance(task)
        if label == OURS:
            bar.answered(attempt)

    return await sit(channel, paper, knobs, report=label == OURS, done=done)


def promise(routed: Sequence[Attempt], least: float) -> Promise:
    """Of the answers of at least this confidence."""
    given = [one for one in routed if one.gave and one.confidence >= least]
    wrong = sum(not one.right for one in given)
    low, high = controls.wilson(wrong, len(given)) if given else (0.0, 1.0)
    return Promise(given=len(given) / len(routed), wrong=wrong / max(1, len(given)), low=low, high=high)


def compare(paper: Sequence[Problem], routed: Sequence[Attempt], fixed: Mapping[str, Sequence[Attempt]], promises: Mapping[str, Promise]) -> Report:
    """The table of results."""
    table = _table(routed, fixed)
    rng = np.random.default_rng(SEED)
    best = controls.best_constant(table)
    rows = {f"always {plan}": _constant_row(table, plan, fixed[plan], rng) for plan in table.plans}
    families, lengths = [problem.family for problem in paper], [len(problem.question) for problem in paper]
    figures: dict[str, Callable[[Table], Point]] = {
        "cost-matched static mixture": controls.mixture,
        "category only": lambda drawn: controls.grouped(drawn, families),
        "prompt length": lambda drawn: controls.by_length(drawn, lengths),
        "shuffled queries": lambda drawn: controls.shuffled(drawn, np.random.default_rng(SEED)),
        "hindsight oracle": controls.oracle,
    }
    bootstrapped = {"cost-matched static mixture", "hindsight oracle"}
    for name, figure in figures.items():
        rows[name] = _row(table, figure, rng, bootstrapped=name in bootstrapped)
    right, count = float(table.routed_right.mean()), len(paper)
    cost = float(table.routed_cost.mean())
    return Report(
        rheostat=_plain_row(right, count, cost, _mean_tokens(routed)),
        controls=rows,
        questions=count,
        stages=_by_level(routed),
        best_constant=best,
        cost_share=cost / controls.constant(table, best).cost,
        promises=promises,
    )


def _table(routed: Sequence[Attempt], fixed: Mapping[str, Sequence[Attempt]]) -> Table:
    plans = tuple(fixed)
    place = {plan: index for index, plan in enumerate(plans)}
    return Table(
        plans=plans,
        right=np.array([[one.right for one in fixed[plan]] for plan in plans], float).T,
        cost=np.array([[one.cost for one in fixed[plan]] for plan in plans], float).T,
        routed_right=np.array([one.right for one in routed], float),
        routed_cost=np.array([one.cost for one in routed], float),
        bought=tuple((*(place[plan] for plan in one.plans if plan != one.gave), *((place[one.gave],) if one.gave else ())) for one in routed),
    )


def _plain_row(accuracy: float, count: int, cost: float, tokens: float | None = None) -> Row:
    low, high = controls.wilson(accuracy * count, count)
    return Row(accuracy=accuracy, low=low, high=high, cost=cost, tokens=tokens)


def _constant_row(table: Table, plan: str, attempts: Sequence[Attempt], rng: np.random.Generator) -> Row:
    point = controls.constant(table, plan)
    low, high = controls.wilson(point.accuracy * len(attempts), len(attempts))
    ahead = _ahead(table, lambda drawn: controls.constant(drawn, plan), rng)
    return Row(accuracy=point.accuracy, low=low, high=high, cost=point.cost, tokens=_mean_tokens(attempts), ahead=ahead)


def _row(table: Table, figure: Callable[[Table], Point], rng: np.random.Generator, *, bootstrapped: bool) -> Row:
    """Controls that depend on which question is which have a plain interval; the others are worked out anew on every resample."""
    point = figure(table)
    if not bootstrapped:
        return _plain_row(point.accuracy, len(table.routed_right), point.cost)
    low, high = controls.interval(table, lambda drawn: figure(drawn).accuracy, rng)
    return Row(accuracy=point.accuracy, low=low, high=high, cost=point.cost, ahead=_ahead(table, figure, rng))


def _ahead(table: Table, figure: Callable[[Table], Point], rng: np.random.Generator) -> tuple[float, float, float]:
    def lead(drawn: Table) -> float:
        return float(drawn.routed_right.mean()) - figure(drawn).accuracy

    return (lead(table), *controls.interval(table, lead, rng))


def _mean_tokens(attempts: Sequence[Attempt]) -> float:
    return sum(one.tokens for one in attempts) / len(attempts)


def _by_level(routed: Sequence[Attempt]) -> dict[str, dict[str, float]]:
    """Where the compute went: per difficulty level, accuracy, cost, purchases, and the share of questions each plan answered."""
    levels: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in routed:
        levels[attempt.problem.level].append(attempt)
    return {str(level): _level(levels[level]) for level in sorted(levels)}


def _level(part: Sequence[Attempt]) -> dict[str, float]:
    shares = Counter(one.gave for one in part)
    figures = {
        "questions": float(len(part)),
        "accuracy": sum(one.right for one in part) / len(part),
        "cost": sum(one.cost for one in part) / len(part),
        "purchases": sum(len(one.plans) for one in part) / len(part),
    }
    return figures | {plan: count / len(part) for plan, count in sorted(shares.items()) if plan}


def show(report: Report, console: Console) -> None:
    """Print the tables and what they mean."""
    console.print(_results(report))
    console.print(_levels(report))
    best, mixed = report.controls[f"always {report.best_constant}"], report.controls["cost-matched static mixture"]
    gap = (report.rheostat.accuracy - best.accuracy) * 100
    console.print(
        f"Against the best constant plan, {report.best_constant}: {gap:+.1f} points at {report.cost_share:.0%} of its cost "
        f"({'within' if gap >= -1 else 'not within'} one point; {'at most' if report.cost_share <= 0.4 else 'more than'} 40 %)."
    )
    if mixed.ahead:
        lead, low, high = (100 * value for value in mixed.ahead)
        verdict = "ahead by more than the interval" if low > 0 else "not ahead by more than the interval"
        console.print(f"Against the static mixture of the same cost: {lead:+.1f} points [{low:+.1f}, {high:+.1f}]: {verdict}.")
    for risk, kept in report.promises.items():
        console.print(
            f"With at most {float(risk):.0%} of answers wrong (knob risk) it gives {kept.given:.0%} of them, {kept.wrong:.1%} wrong "
            f"[{kept.low:.1%}, {kept.high:.1%}]: {'kept' if kept.low <= float(risk) else 'NOT kept'}."
        )


def _results(report: Report) -> Sheet:
    sheet = Sheet(title=f"{report.questions} held-out questions", box=SIMPLE_HEAD)
    sheet.add_column("")
    for head in ("accuracy, and\n95 % interval", "micro-\ndollars", "tokens", "Rheostat ahead\nby points"):
        sheet.add_column(head, justify="right", no_wrap=True)
    for name, row in {OURS: report.rheostat, **report.controls}.items():
        accuracy = f"{row.accuracy:.1%} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        tokens = "" if row.tokens is None else f"{row.tokens:,.0f}"
        sheet.add_row(name, accuracy, f"{row.cost:,.0f}", tokens, _points(row.ahead), style="bold" if name == OURS else "")
    return sheet


def _points(ahead: tuple[float, float, float] | None) -> str:
    if ahead is None:
        return ""
    lead, low, high = (100 * one for one in ahead)
    return f"{lead:+.1f} [{low:+.1f}, {high:+.1f}]"


def _levels(report: Report) -> Sheet:
    heads = ("level", "asked", "accuracy", "micro-\ndollars", "bought", "answered by")
    sheet = Sheet(*heads, title="Where the compute went, by difficulty", box=SIMPLE_HEAD)
    for level, figures in report.stages.items():
        plans = sorted(((share, name) for name, share in figures.items() if name not in _FIGURES), reverse=True)
        shares = ", ".join(f"{name} {share:.0%}" for share, name in plans)
        sheet.add_row(
            level, f"{figures['questions']:.0f}", f"{figures['accuracy']:.0%}", f"{figures['cost']:,.0f}", f"{figures['purchases']:.1f}", shares
        )
    return sheet
