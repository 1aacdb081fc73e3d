"""WorkerService's messages from and to the nouns: the only worker module, beside its server and its client, that knows protobuf."""

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf import struct_pb2
from rheostat.v1 import plan_pb2, worker_service_pb2

from router.codec import (
    budget_from_pb,
    budget_to_pb,
    messages_from_pb,
    messages_to_pb,
    outcome_from_pb,
    outcome_to_pb,
    task_from_pb,
    task_to_pb,
    usage_from_pb,
    usage_to_pb,
)
from router.types import Budget, Evidence, Outcome, Plan, Price, Query, Usage


def order_to_pb(query: Query, plan: Plan, evidence: Evidence, budget: Budget) -> worker_service_pb2.ExecuteRequest:
    """What an executor is asked to do; the deadline travels with the call."""
    return worker_service_pb2.ExecuteRequest(
        query_id=query.id,
        messages=messages_to_pb(query.messages),
        task=task_to_pb(query.task),
        seed=query.seed,
        plan=_plan_to_pb(plan),
        evidence=map(outcome_to_pb, evidence.outcomes),
        budget=budget_to_pb(budget),
        traced=query.traced,
        tenant=query.tenant,
        weight=query.weight,
    )


def order_from_pb(request: worker_service_pb2.ExecuteRequest, deadline: float) -> tuple[Query, Plan, Evidence, Budget]:
    """What to do, until `deadline` on the worker's monotonic clock; raises KeyError or ValueError on an unknown enum value."""
    query = Query(
        id=request.query_id,
        messages=messages_from_pb(request.messages),
        task=task_from_pb(request.task),
        deadline=deadline,
        seed=request.seed if request.HasField("seed") else None,
        traced=request.traced,
        tenant=request.tenant,
        weight=request.weight if request.HasField("weight") else 1.0,
    )
    evidence = Evidence(outcomes=tuple(map(outcome_from_pb, request.evidence)))
    return query, _plan_from_pb(request.plan), evidence, budget_from_pb(request.budget)


def event_to_pb(event: Usage | Outcome) -> worker_service_pb2.ExecuteResponse:
    """A charge, or the outcome that ends the stream."""
    if isinstance(event, Usage):
        return worker_service_pb2.ExecuteResponse(charge=usage_to_pb(event))
    return worker_service_pb2.ExecuteResponse(outcome=outcome_to_pb(event, traced=True))


def event_from_pb(response: worker_service_pb2.ExecuteResponse) -> Usage | Outcome:
    """A charge or the outcome; raises KeyError or ValueError on an unknown enum value."""
    return usage_from_pb(response.charge) if response.HasField("charge") else outcome_from_pb(response.outcome)


def _plan_to_pb(plan: Plan) -> plan_pb2.Plan:
    options = struct_pb2.Struct()
    options.update(dict(plan.options))  # type: ignore[arg-type]  # raises ValueError on what is not JSON
    return plan_pb2.Plan(
        id=plan.id,
        pool=plan.pool,
        strategy=plan.strategy,
        options=options,
        budget=budget_to_pb(plan.budget),
        price=_price_to_pb(plan.price),
        helpers={name: _price_to_pb(price) for name, price in plan.helpers.items()},
    )


def _plan_from_pb(plan: plan_pb2.Plan) -> Plan:
    return Plan(
        id=plan.id,
        pool=plan.pool,
        strategy=plan.strategy,
        options=_options(plan.options),
        budget=budget_from_pb(plan.budget),
        price=_price_from_pb(plan.price),
        helpers=MappingProxyType({name: _price_from_pb(price) for name, price in plan.helpers.items()}),
    )


def _price_to_pb(price: Price) -> plan_pb2.Price:
    return plan_pb2.Price(prompt=price.prompt, completion=price.completion, scored=price.scored)


def _price_from_pb(price: plan_pb2.Price) -> Price:
    return Price(prompt=price.prompt, completion=price.completion, scored=price.scored)


def _options(struct: struct_pb2.Struct) -> Mapping[str, object]:
    return MappingProxyType({name: _plain(value) for name, value in struct.fields.items()})


def _plain(value: struct_pb2.Value) -> object:
    """A JSON value; whole numbers come back as ints, because Struct has only doubles."""
    match value.WhichOneof("kind"):
        case "number_value":
            return int(value.number_value) if value.number_value.is_integer() else value.number_value
        case "struct_value":
            return {name: _plain(item) for name, item in value.struct_value.fields.items()}
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None
