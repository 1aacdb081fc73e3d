"""The compute tree of a request: what was decided at each stage and why, what was bought, and what became of every token of it."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from rheostat.v1 import decision_pb2, router_service_pb2, usage_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from router.channel import Service
from workers.replay import Told, told

_DEADLINE = 30.0
_FATES = ("kept", "discarded", "cancelled")


async def trace(decision_id: str, service: Service, *, tenant: str, console: Console | None) -> None:
    """Ask a running service for what was logged of a decision, and print it as a tree; as JSON where there is no console."""
    request = router_service_pb2.ExplainDecisionRequest(decision_id=decision_id, tenant=tenant, traces=True)
    async with service.channel(longest=-1) as channel:  # traces are as long as what they tell of
        stub = RouterServiceStub(channel)  # type: ignore[no-untyped-call]
        found = await stub.ExplainDecision(request, timeout=_DEADLINE)
    if console is None:
        print(json.dumps({"decision_id": decision_id, "tenant": tenant, **as_json(found)}, indent=1))
    else:
        console.print(tree(decision_id, found))


def as_json(found: router_service_pb2.ExplainDecisionResponse) -> Mapping[str, Any]:
    """The response, with the orders of each run instead of its trace."""
    plain = MessageToDict(found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    for stage in plain["stages"]:
        trace = stage.pop("trace")
        stage["orders"] = [{name: getattr(one, name) for name in one.__dataclass_fields__} for one in told(trace)] if trace else []
    return plain


def tree(decision_id: str, found: router_service_pb2.ExplainDecisionResponse) -> Tree:
    """For people."""
    spent = sum(stage.usage.cost_microdollars for stage in found.stages)
    when = datetime.fromtimestamp(found.stages[0].decide_time.seconds, UTC).isoformat(" ", "seconds")[:19]
    traced = f", trace {found.trace_id}" if found.trace_id else ""
    root = Tree(f"[bold]{decision_id}[/bold]  {when} UTC, {spent:,} micro-dollars{traced}", highlight=True)
    for stage in found.stages:
        _stage(root, stage)
    for reward in found.rewards:
        rated = f"stage {reward.stage}" if reward.HasField("stage") else "the answer"
        source = router_service_pb2.RewardSource.Name(reward.source).removeprefix("REWARD_SOURCE_").lower()
        root.add(f"rewarded {reward.reward:g} by {source}, for {rated}")
    return root


def _stage(root: Tree, stage: router_service_pb2.DecidedStage) -> None:
    action = decision_pb2.Action.Name(stage.action).removeprefix("ACTION_").lower() if stage.action else stage.stop_reason
    by = f", {stage.arm}" if stage.arm else ""
    head = f"[bold]{stage.index}. {action} {stage.plan}[/bold]" + (f" {stage.answer!r}" if stage.answer and not stage.plan else "")
    branch = root.add(f"{head}  right in hand {stage.in_hand:.2f}; a right answer is worth {stage.value_microdollars:,.0f}")
    explored = ", explored" if stage.explored else ""
    branch.add(f"because: {stage.reason} ({stage.policy}{by}, propensity {stage.propensity:.3f}{explored}; {stage.predictor})", highlight=False)
    if stage.choices:
        branch.add(_offered(stage))
    if stage.plan:
        _bought(branch, stage)
    elif stage.stop_reason:
        branch.add(f"ended: {stage.stop_reason}")


def _offered(stage: router_service_pb2.DecidedStage) -> Table:
    table = Table("offered", "P(right)", "cost", "worth", "chance", "", title_justify="left")
    for one in sorted(stage.choices, key=lambda one: -one.score):
        chosen = "<" if one.name == (stage.plan or decision_pb2.Action.Name(stage.action).removeprefix("ACTION_").lower()) else ""
        table.add_row(one.name, f"{one.success:.3f}", f"{one.cost_microdollars:,.0f}", f"{one.score:,.0f}", f"{one.chance:.3f}", chosen)
    return table


def _bought(branch: Tree, stage: router_service_pb2.DecidedStage) -> None:
    if not stage.stop_reason:
        branch.add("not carried out by the service")
        return
    usage, answer = stage.usage, stage.outcome_answer or "nothing that could be read"
    ran = branch.add(f"{stage.plan}: gave {answer!r}, {_total(usage)}; ended: {stage.stop_reason}")
    ran.add(f"tokens: {_tokens(usage)}")
    for number, one in enumerate(stage.candidates):
        answered = repr(one.answer) if one.HasField("answer") else "unreadable"
        score = f", score {one.score:.2f}" if one.HasField("score") else ""
        ran.add(f"candidate {number}: {answered}, {one.tokens} tokens{score}")
    if stage.trace:
        _orders(ran, told(stage.trace), usage)


def _orders(ran: Tree, orders: Sequence[Told], usage: usage_pb2.Usage) -> None:
    for one in orders:
        tokens = f", {one.read} read, {one.written} written" if one.kind == "sample" else ""
        took = f", {one.seconds * 1e3:.0f} ms" if one.seconds else ""
        ran.add(f"order {one.number}: {one.kind} {one.about}{tokens}{took}")
    if usage.cancelled_tokens:
        sampled = sum(one.kind == "sample" for one in orders)
        ran.add(f"{usage.samples - sampled} samples cancelled, {usage.cancelled_tokens} written")


def _total(usage: usage_pb2.Usage) -> str:
    energy = "measured" if usage.energy_source == usage_pb2.ENERGY_SOURCE_MEASURED else "estimated"
    joules = f", {usage.joules:.2f} J ({energy})" if usage.joules else ""
    return f"{usage.seconds * 1e3:,.0f} ms, {usage.samples} samples, {usage.calls} calls, {usage.cost_microdollars:,} micro-dollars{joules}"


def _tokens(usage: usage_pb2.Usage) -> str:
    written = ", ".join(f"{getattr(usage, f'{fate}_tokens')} {fate}" for fate in _FATES)
    return f"{usage.prompt_tokens} read, {written}, {usage.scored_tokens} scored"
