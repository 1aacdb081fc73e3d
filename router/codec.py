"""The nouns that both services of the contract speak, as protobuf messages and back: shared by the router's wire and the workers'."""

from collections.abc import Iterable
from typing import Literal

from rheostat.v1 import outcome_pb2, query_pb2, usage_pb2

from router.types import Budget, Candidate, EnergySource, Fate, Finish, Message, Outcome, Task, Usage

_ROLES: dict[int, Literal["system", "user", "assistant"]] = {query_pb2.ROLE_SYSTEM: "system", query_pb2.ROLE_ASSISTANT: "assistant"}


def messages_to_pb(messages: Iterable[Message]) -> list[query_pb2.Message]:
    """A conversation."""
    return [query_pb2.Message(role=f"ROLE_{message.role.upper()}", content=message.content) for message in messages]


def messages_from_pb(messages: Iterable[query_pb2.Message]) -> tuple[Message, ...]:
    """A conversation; a role that is not told is the user's."""
    return tuple(Message(role=_ROLES.get(message.role, "user"), content=message.content) for message in messages)


def task_to_pb(task: Task) -> query_pb2.Task:
    """A task hint."""
    return getattr(query_pb2.Task, f"TASK_{task.name}")  # type: ignore[no-any-return]


def task_from_pb(task: query_pb2.Task) -> Task:
    """A task hint; one that is not told is FREE."""
    return Task[query_pb2.Task.Name(task or query_pb2.TASK_FREE).removeprefix("TASK_")]


def budget_to_pb(budget: Budget) -> query_pb2.Budget:
    """Ceilings; None is absent."""
    return query_pb2.Budget(tokens=budget.tokens, cost_microdollars=budget.cost, samples=budget.samples, calls=budget.calls, seconds=budget.seconds)


def budget_from_pb(budget: query_pb2.Budget) -> Budget:
    """Ceilings; absent is None."""
    return Budget(
        tokens=budget.tokens if budget.HasField("tokens") else None,
        cost=budget.cost_microdollars if budget.HasField("cost_microdollars") else None,
        samples=budget.samples if budget.HasField("samples") else None,
        calls=budget.calls if budget.HasField("calls") else None,
        seconds=budget.seconds if budget.HasField("seconds") else None,
    )


def usage_to_pb(usage: Usage) -> usage_pb2.Usage:
    """What was spent."""
    return usage_pb2.Usage(
        prompt_tokens=usage.prompt_tokens,
        kept_tokens=usage.kept_tokens,
        discarded_tokens=usage.discarded_tokens,
        cancelled_tokens=usage.cancelled_tokens,
        scored_tokens=usage.scored_tokens,
        samples=usage.samples,
        calls=usage.calls,
        cost_microdollars=usage.cost,
        seconds=usage.seconds,
        joules=usage.joules,
        energy_source=f"ENERGY_SOURCE_{usage.energy.name}",
    )


def usage_from_pb(usage: usage_pb2.Usage) -> Usage:
    """What was spent."""
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        kept_tokens=usage.kept_tokens,
        discarded_tokens=usage.discarded_tokens,
        cancelled_tokens=usage.cancelled_tokens,
        scored_tokens=usage.scored_tokens,
        samples=usage.samples,
        calls=usage.calls,
        cost=usage.cost_microdollars,
        seconds=usage.seconds,
        joules=usage.joules,
        energy=EnergySource.MEASURED if usage.energy_source == usage_pb2.ENERGY_SOURCE_MEASURED else EnergySource.ESTIMATED,
    )


def outcome_to_pb(outcome: Outcome, *, traced: bool = False) -> outcome_pb2.Outcome:
    """What executing one plan gave; its trace goes along only if it is asked for."""
    return outcome_pb2.Outcome(
        plan=outcome.plan,
        answer=outcome.answer,
        text=outcome.text,
        candidates=map(_candidate_to_pb, outcome.candidates),
        usage=usage_to_pb(outcome.usage),
        stop_reason=outcome.stop_reason,
        pool=outcome.pool,
        trace=outcome.trace if traced else "",
    )


def outcome_from_pb(outcome: outcome_pb2.Outcome) -> Outcome:
    """What executing one plan gave; raises KeyError or ValueError when it does not tell how a candidate ended."""
    return Outcome(
        plan=outcome.plan,
        answer=outcome.answer if outcome.HasField("answer") else None,
        text=outcome.text,
        candidates=tuple(map(_candidate_from_pb, outcome.candidates)),
        usage=usage_from_pb(outcome.usage),
        stop_reason=outcome.stop_reason,
        pool=outcome.pool,
        trace=outcome.trace,
    )


def _candidate_to_pb(candidate: Candidate) -> outcome_pb2.Candidate:
    return outcome_pb2.Candidate(
        text=candidate.text,
        answer=candidate.answer,
        finish=f"FINISH_{candidate.finish.name}",
        tokens=candidate.tokens,
        logprob=candidate.logprob,
        score=candidate.score,
        fate=f"FATE_{candidate.fate.name}",
        cost_microdollars=candidate.cost,
    )


def _candidate_from_pb(candidate: outcome_pb2.Candidate) -> Candidate:
    return Candidate(
        text=candidate.text,
        answer=candidate.answer if candidate.HasField("answer") else None,
        finish=Finish[outcome_pb2.Finish.Name(candidate.finish).removeprefix("FINISH_")],
        tokens=candidate.tokens,
        logprob=candidate.logprob,
        score=candidate.score if candidate.HasField("score") else None,
        fate=Fate[outcome_pb2.Fate.Name(candidate.fate).removeprefix("FATE_")],
        cost=candidate.cost_microdollars,
    )
