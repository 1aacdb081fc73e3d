"""One question to a running service, its stages told as they happen."""

import json
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rheostat.v1 import answer_pb2, query_pb2, router_service_pb2, usage_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rich.console import Console
from rich.table import Table

from router.channel import Service

_HITS = {
    answer_pb2.CACHE_HIT_EXACT: "from the cache",
    answer_pb2.CACHE_HIT_SEMANTIC: "from the cache, for other words",
    answer_pb2.CACHE_HIT_JOINED: "paid for by another request",
    answer_pb2.CACHE_HIT_REPEATED: "paid for the first time",
}

_FATES = ("prompt", "kept", "discarded", "cancelled", "scored")


async def ask(
    question: str, service: Service, *, value: float | None, plans: list[str], tenant: str, deadline: float, console: Console | None
) -> None:
    """Ask and print; JSON lines, one per event, where there is no console."""
    knobs = query_pb2.Knobs(plans=plans, value_microdollars=value)
    query = query_pb2.Query(messages=[query_pb2.Message(role="ROLE_USER", content=question)], tenant=tenant, knobs=knobs)
    async with service.channel() as channel:
        stub = RouterServiceStub(channel)  # type: ignore[no-untyped-call]
        async for event in stub.AnswerQuery(router_service_pb2.AnswerQueryRequest(query=query), timeout=deadline):
            if console is None:
                print(json.dumps(MessageToDict(event, preserving_proto_field_name=True)))
            elif event.HasField("final"):
                _final(event.final, console)
            else:
                _stage(event.stage, console)


def _stage(stage: answer_pb2.StageEvent, console: Console) -> None:
    if not stage.HasField("outcome"):
        decision = stage.decision
        console.print(
            f"[bold]{stage.index + 1}. buy {decision.plan}[/bold]  ({decision.reason}; propensity {decision.propensity:.3f})", highlight=False
        )
        return
    outcome = stage.outcome
    answer = outcome.answer if outcome.HasField("answer") else "nothing that could be read"
    console.print(
        f"   gave {answer} from {len(outcome.candidates)} candidates ({outcome.stop_reason}); {outcome.usage.cost_microdollars} micro-dollars",
        highlight=False,
    )
    if stage.HasField("best"):
        console.print(f"   best so far: {stage.best.answer}, right with probability {stage.best.confidence:.2f}", highlight=False)


def _final(final: answer_pb2.FinalAnswer, console: Console) -> None:
    if final.HasField("answer"):
        console.print(f"\n{final.answer.text}\n", highlight=False, markup=False)
        console.print(
            f"[bold]{final.answer.answer}[/bold]  (right with probability {final.answer.confidence:.2f}, from {final.answer.plan})", highlight=False
        )
    else:
        console.print("[yellow]Abstained: no answer is believed enough.[/yellow]")
    console.print(_receipt(final.receipt))
    console.print(f"decision {final.decision_id}", highlight=False)


def _how(usage: usage_pb2.Usage) -> str:
    return "measured" if usage.energy_source == usage_pb2.ENERGY_SOURCE_MEASURED else "estimated"


def _receipt(receipt: answer_pb2.Receipt) -> Table:
    """Columns of tokens that there are none of are left out, so that it is seldom wider than 80."""
    fates = [name for name in _FATES if getattr(receipt.usage, f"{name}_tokens")]
    table = Table("plan", caption=f"Tokens, and joules as {_how(receipt.usage)}.", caption_justify="left")
    for name in ("calls", *("read" if name == "prompt" else name for name in fates), "micro-\ndollars", "seconds", "joules"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in receipt.stages:
        table.add_row(one.plan, *_amounts(one.usage, fates))
    table.add_section()
    table.add_row(_HITS.get(receipt.cache_hit, "all"), *_amounts(receipt.usage, fates), style="bold")
    return table


def _amounts(usage: usage_pb2.Usage, fates: Sequence[str]) -> list[str]:
    tokens = [f"{getattr(usage, f'{name}_tokens'):,}" for name in fates]
    return [str(usage.calls), *tokens, f"{usage.cost_microdollars:,}", f"{usage.seconds:.2f}", f"{usage.joules:.2f}"]
