"""Questions, as messages of the contract."""

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack
from uuid import uuid4

from rheostat.v1 import query_pb2, router_service_pb2

Question = str | Sequence[query_pb2.Message]
"""What the user says, or a whole conversation, whose last message is the user's."""
Source = Literal["verifier", "user", "judge", "unit_test"]
"""Who says what an answer was worth."""


class Asked(TypedDict, total=False):
    """All that may be said of a question; what is left out is as the tenant has it."""

    tenant: str
    """For an administrator, and where no credentials are asked for; else the tenant is that of the credentials."""
    id: str
    """The caller's own; within a day the same id again is a repetition, and is paid for once. One is made, if none is given."""
    task: Literal["free", "math", "choice", "code"]
    """What kind of answer is wanted."""
    seed: int
    """Fixes what is random."""
    budget: query_pb2.Budget
    value_microdollars: float
    """What a right answer is worth."""
    abstain_below: float
    risk: float
    seconds: float
    exploration: float
    max_stages: int
    plans: Sequence[str]
    policy: str
    cache: bool


_KNOBS = frozenset(query_pb2.Knobs.DESCRIPTOR.fields_by_name)


def query(question: Question, **asked: Unpack[Asked]) -> query_pb2.Query:
    """The message of it. Raises ValueError, naming what is not known or of the wrong kind."""
    if odd := asked.keys() - Asked.__annotations__.keys():
        raise ValueError(f"there is nothing called {', '.join(sorted(odd))}; there are {', '.join(Asked.__annotations__)}")
    knobs = {name: value for name, value in asked.items() if name in _KNOBS}
    messages = [query_pb2.Message(role="ROLE_USER", content=question)] if isinstance(question, str) else question
    try:
        return query_pb2.Query(
            tenant=asked.get("tenant", ""),
            id=asked.get("id") or uuid4().hex,
            messages=messages,
            task=f"TASK_{asked.get('task', 'free').upper()}",
            budget=asked.get("budget"),
            knobs=query_pb2.Knobs(**knobs) if knobs else None,  # type: ignore[arg-type]
            seed=asked.get("seed"),
        )
    except TypeError as error:
        raise ValueError(str(error)) from error


def reported(decision_id: str, reward: float, source: Source, tenant: str = "", stage: int | None = None) -> router_service_pb2.ReportOutcomeRequest:
    """What an answer was worth."""
    named = f"REWARD_SOURCE_{source.upper()}"
    return router_service_pb2.ReportOutcomeRequest(decision_id=decision_id, reward=reward, source=named, tenant=tenant, stage=stage)
