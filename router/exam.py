"""Questions whose answers are known, sent through the public door by an ordinary gRPC client."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import grpc
from rheostat.v1 import answer_pb2, query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.types import Task
from workers.answers import canonical
from workers.reasoner.workload import Problem, Split, problems

_DEADLINE = 110.0
_IN_FLIGHT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the service made of one problem."""

    problem: Problem
    decision_id: str
    right: bool
    confidence: float
    cost: int
    tokens: int
    seconds: float
    plans: tuple[str, ...]  # bought, in order
    gave: str  # the plan whose answer was given
    answer: str = ""
    stages: tuple[tuple[str, str], ...] = ()  # (plan, its own answer)


def draw(split: Split, seed: int, count: int) -> list[Problem]:
    """Different problems of all families and levels."""
    found: dict[str, Problem] = {}
    for problem in islice(problems(split, seed), count * 20):
        found.setdefault(problem.question, problem)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"there are not {count} different problems to draw")


async def sit(
    channel: grpc.aio.Channel, paper: Sequence[Problem], knobs: query_pb2.Knobs, *, report: bool, done: Callable[[Attempt], None]
) -> list[Attempt]:
    """Ask everything, some at a time, and say when each is done; with `report`, tell the service which answers were right."""
    stub = RouterServiceStub(channel)  # type: ignore[no-untyped-call]
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def one(problem: Problem) -> Attempt:
        async with gate:
            attempt = await _ask(stub, problem, knobs)
            if report:
                await _report(stub, attempt)
            done(attempt)
            return attempt

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(problem)) for problem in paper]
    return [task.result() for task in tasks]


async def _ask(stub: RouterServiceStub, problem: Problem, knobs: query_pb2.Knobs) -> Attempt:
    request = router_service_pb2.AnswerQueryRequest(
        query=query_pb2.Query(messages=[query_pb2.Message(role="ROLE_USER", content=problem.question)], task="TASK_MATH", knobs=knobs)
    )
    final, stages = answer_pb2.FinalAnswer(), []
    async for event in stub.AnswerQuery(request, timeout=_DEADLINE):
        if event.HasField("final"):
            final = event.final
        elif event.stage.HasField("outcome"):
            stages.append((event.stage.outcome.plan, event.stage.outcome.answer))
    usage = final.receipt.usage
    return Attempt(
        problem=problem,
        decision_id=final.decision_id,
        right=is_right(problem, final.answer.answer),
        confidence=final.answer.confidence,
        cost=usage.cost_microdollars,
        tokens=usage.prompt_tokens + usage.kept_tokens + usage.discarded_tokens + usage.cancelled_tokens + usage.scored_tokens,
        seconds=usage.seconds,
        plans=tuple(plan for plan, _ in stages),
        gave=final.answer.plan,
        answer=final.answer.answer,
        stages=tuple(stages),
    )


async def _report(stub: RouterServiceStub, attempt: Attempt) -> None:
    """A verifier's reward for the answer given and for what each stage's plan answered."""
    rated = [(None, attempt.right), *((index, is_right(attempt.problem, answer)) for index, (_, answer) in enumerate(attempt.stages))]
    for stage, right in rated:
        request = router_service_pb2.ReportOutcomeRequest(
            decision_id=attempt.decision_id, reward=float(right), source="REWARD_SOURCE_VERIFIER", stage=stage
        )
        await stub.ReportOutcome(request, timeout=_DEADLINE)


def is_right(problem: Problem, answer: str) -> bool:
    """Whether an answer is the problem's."""
    return bool(answer) and answer == canonical(Task.MATH, problem.answer)
