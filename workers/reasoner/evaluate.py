"""How good the bundled reasoners are, by family and level on held-out problems, and what voting, search and the two verifiers add."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from math import sqrt

from tqdm import tqdm

from router.types import Budget, Candidate, Evidence, Message, Outcome, Plan, Query, Task, Usage
from workers.answers import canonical
from workers.backends.embedded import Embedded
from workers.executor import LocalExecutor
from workers.parts.vote import Rule, choose
from workers.pool import Pool
from workers.reasoner.train import MODELS
from workers.reasoner.workload import Problem, problems
from workers.verifiers.calculator import Calculator, holds
from workers.verifiers.reward import Reward

SEED = 99
SAMPLES = 16
_IN_FLIGHT = 24
_PLANS = (
    Plan(id="nano", pool="nano", strategy="direct"),
    Plan(id="small", pool="small", strategy="best_of_n", options={"n": SAMPLES}),
    Plan(id="large", pool="large", strategy="best_of_n", options={"n": SAMPLES}),
    Plan(id="large, tree search, reward model", pool="large", strategy="beam"),
    Plan(id="large, tree search, calculator", pool="large, calculator", strategy="beam"),
)


def _recomputed(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    return [replace(one, score=float(holds(one.text))) for one in candidates]


_WAYS: Mapping[str, tuple[Rule, Callable[[Sequence[Candidate]], Sequence[Candidate]]]] = {
    "majority": ("majority", tuple),
    "best by reward": ("best", tuple),
    "majority weighted by reward": ("weighted", tuple),
    "majority of what the calculator lets stand": ("weighted", _recomputed),
}


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
        yield {**pools, "large, calculator": replace(pools["large"], verifier=Calculator())}
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
    columns = {"one sample": [_right(problem, outcome.candidates[0].answer) for problem, outcome in pairs]}
    for name, (rule, judged) in _WAYS.items():
        columns[f"{name} of {SAMPLES}"] = [_right(problem, _chosen(judged(outcome.candidates), rule)) for problem, outcome in pairs]
    columns[f"any of {SAMPLES}"] = [any(_right(problem, one.answer) for one in outcome.candidates) for problem, outcome in pairs]
    return [Marks(f"{plan.id}, {name}", tuple(right)) for name, right in columns.items()]


def _chosen(candidates: Sequence[Candidate], rule: Rule) -> str | None:
    place = choose(candidates, rule)
    return None if place is None else candidates[place].answer


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
