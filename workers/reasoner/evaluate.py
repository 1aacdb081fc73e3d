"""How good the bundled reasoners are: accuracy by family and level on held-out problems, and what voting, the reward model and search add."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from math import sqrt
from typing import get_args

from tqdm import tqdm

from router.types import Budget, Evidence, Message, Outcome, Plan, Query, Task, Usage
from workers.answers import canonical
from workers.backends.embedded import Embedded
from workers.executor import LocalExecutor
from workers.pool import Pool
from workers.reasoner.train import MODELS
from workers.reasoner.workload import Problem, problems
from workers.verifiers.reward import Reward
from workers.vote import Rule, choose

SEED = 99
SAMPLES = 16
_IN_FLIGHT = 24
_PLANS = (
    Plan(id="nano", pool="nano", strategy="direct"),
    Plan(id="small", pool="small", strategy="best_of_n", options={"n": SAMPLES}),
    Plan(id="large", pool="large", strategy="best_of_n", options={"n": SAMPLES}),
    Plan(id="large, tree search", pool="large", strategy="tree_search", options={"beams": 4, "children": 4}),
)


@dataclass(frozen=True, slots=True)
class Marks:
    """Right or wrong per problem under one way of answering."""

    name: str
    right: tuple[bool, ...]


class Unmetered:
    """A meter that nobody reads."""

    def charge(self, usage: Usage) -> None:
        """Nothing."""


async def mark(count: int) -> tuple[list[Problem], list[Marks]]:
    """Every way of answering on the same `count` held-out problems; ways that use several samples share them."""
    paper = list(islice(problems("test", SEED), count))
    async with _pools() as pools:
        executor = LocalExecutor(pools=pools)
        marks = [one for plan in _PLANS for one in _judged(plan, paper, await _sit(executor, plan, paper))]
    return paper, marks


@asynccontextmanager
async def _pools() -> AsyncIterator[dict[str, Pool]]:
    judge = Reward(directory=MODELS / "prm")
    pools = {name: Pool(backend=Embedded(directory=MODELS / name), verifier=judge) for name in ("nano", "small", "large")}
    try:
        yield pools
    finally:
        for pool in pools.values():
            await pool.backend.close()
        await judge.close()


async def _sit(executor: LocalExecutor, plan: Plan, paper: Sequence[Problem]) -> list[Outcome]:
    gate = asyncio.Semaphore(_IN_FLIGHT)
    bar = tqdm(total=len(paper), desc=plan.id, unit="problem")

    async def one(place: int, problem: Problem) -> Outcome:
        async with gate:
            query = Query(id=str(place), messages=(Message(content=problem.question),), task=Task.MATH, seed=place)
            outcome = await executor.execute(query, plan, Evidence(), Budget(), Unmetered())
            bar.update()
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(place, problem)) for place, problem in enumerate(paper)]
    bar.close()
    return [task.result() for task in tasks]


def _judged(plan: Plan, paper: Sequence[Problem], outcomes: Sequence[Outcome]) -> list[Marks]:
    """One column for a plan that answers once; for one of many samples, what each way of choosing makes of them."""
    pairs = list(zip(paper, outcomes, strict=True))
    if plan.strategy != "best_of_n":
        return [Marks(plan.id, tuple(_right(problem, outcome.answer) for problem, outcome in pairs))]
    columns = {f"{plan.id}, one sample": tuple(_right(problem, outcome.candidates[0].answer) for problem, outcome in pairs)}
    for rule in get_args(Rule):
        chosen = [(problem, outcome.candidates, choose(outcome.candidates, rule)) for problem, outcome in pairs]
        columns[f"{plan.id}, {rule} of {SAMPLES}"] = tuple(
            place is not None and _right(problem, given[place].answer) for problem, given, place in chosen
        )
    columns[f"{plan.id}, any of {SAMPLES}"] = tuple(any(_right(problem, one.answer) for one in outcome.candidates) for problem, outcome in pairs)
    return [Marks(name, right) for name, right in columns.items()]


def _right(problem: Problem, answer: str | None) -> bool:
    return answer is not None and answer == canonical(Task.MATH, problem.answer)


def wilson(right: Sequence[bool]) -> tuple[float, float, float]:
    """Share with its 95 % interval (Wilson 1927)."""
    count, share, z = len(right), sum(right) / len(right), 1.96
    centre, half = share + z * z / (2 * count), z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return share, (centre - half) / (1 + z * z / count), (centre + half) / (1 + z * z / count)


def grouped(paper: Sequence[Problem], marks: Marks, key: Callable[[Problem], str]) -> Mapping[str, tuple[float, float, float]]:
    """`wilson` for each group of problems."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for problem, right in zip(paper, marks.right, strict=True):
        groups[key(problem)].append(right)
    return {name: wilson(groups[name]) for name in sorted(groups)}
