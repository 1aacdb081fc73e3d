"""RouterService's messages from and to the nouns: nothing else in the router, but what it shares with the workers, knows protobuf."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal
from uuid import uuid4

from rheostat.v1 import answer_pb2, decision_pb2, evaluation_pb2, query_pb2, router_service_pb2, usage_pb2

from router.codec import budget_from_pb, messages_from_pb, outcome_to_pb, task_from_pb, usage_to_pb
from router.errors import ContradictoryKnobs
from router.record import outcome
from router.tenants import Retention, Tenant
from router.types import Answer, Batch, Decision, Final, Planned, Prediction, Query, Receipt, Record, Reward, Stage

_SOURCES: dict[int, Literal["verifier", "user", "judge", "unit_test"]] = {
    router_service_pb2.REWARD_SOURCE_VERIFIER: "verifier",
    router_service_pb2.REWARD_SOURCE_USER: "user",
    router_service_pb2.REWARD_SOURCE_JUDGE: "judge",
    router_service_pb2.REWARD_SOURCE_UNIT_TEST: "unit_test",
}


def query_from_pb(query: query_pb2.Query, tenant: Tenant, deadline: float) -> Query:
    """A query of this tenant, due at `deadline` on the monotonic clock, or sooner if its knobs say so; knobs that are absent are the tenant's.

    Raises ContradictoryKnobs where it states what the tenant's objective sets.
    """
    if tenant.objective and query.knobs.HasField("value_microdollars"):
        kind, field = tenant.objective.kind, "query.knobs.value_microdollars"
        message = f"{field} contradicts the {kind} of tenant {tenant.id!r}, from which the value is learned: leave it out"
        raise ContradictoryKnobs(message, field=field, objective=kind)
    knobs = replace(tenant.knobs, **stated(query.knobs)) if query.HasField("knobs") else tenant.knobs
    return Query(
        id=query.id or uuid4().hex,
        messages=messages_from_pb(query.messages),
        tenant=tenant.id,
        task=task_from_pb(query.task),
        deadline=min(deadline, time.monotonic() + knobs.seconds),
        budget=budget_from_pb(query.budget),
        knobs=knobs,
        seed=query.seed if query.HasField("seed") else None,
        weight=tenant.priority.weight,
        traced=tenant.retention is Retention.FULL,
        body=blake2b(query.SerializeToString(deterministic=True), digest_size=16).hexdigest() if query.id else "",
    )


def reward_from_pb(request: router_service_pb2.ReportOutcomeRequest, at: float) -> Reward:
    """A reward that came `at` Unix seconds."""
    return Reward(
        decision_id=request.decision_id,
        value=request.reward,
        source=_SOURCES[request.source],
        at=at,
        stage=request.stage if request.HasField("stage") else None,
        cost=request.cost_microdollars,
    )


def planned_to_pb(planned: Planned) -> router_service_pb2.PlanQueryResponse:
    """What would be bought first."""
    return router_service_pb2.PlanQueryResponse(
        decision_id=planned.decision_id,
        prediction=_prediction(planned.prediction),
        decision=_decision(planned.decision),
        value_microdollars=planned.value,
        curves=[decision_pb2.Curve(plan=one.plan, success=one.success, saturation=one.saturation) for one in planned.curves],
    )


def batch_to_pb(batch: Batch) -> router_service_pb2.PlanBatchResponse:
    """What is to be bought for each query."""
    found = batch.allocation
    return router_service_pb2.PlanBatchResponse(
        decisions=[_batched(one) for one in batch.planned],
        success=found.success,
        cost_microdollars=found.cost,
        success_per_microdollar=found.price,
        success_bound=found.bound,
    )


def _batched(planned: Planned) -> router_service_pb2.BatchDecision:
    forecast = next((one for one in planned.prediction.forecasts if one.plan == planned.decision.plan), None)
    return router_service_pb2.BatchDecision(
        decision_id=planned.decision_id,
        plan=planned.decision.plan,
        success=forecast.success if forecast else 0.0,
        cost_microdollars=forecast.cost if forecast else 0.0,
    )


def event_to_pb(event: Stage | Final) -> router_service_pb2.AnswerQueryResponse:
    """One event of an answer."""
    if isinstance(event, Stage):
        return router_service_pb2.AnswerQueryResponse(stage=_stage(event))
    return router_service_pb2.AnswerQueryResponse(final=_final(event))


def explanation_to_pb(records: Sequence[Record], *, traces: bool = False) -> router_service_pb2.ExplainDecisionResponse:
    """The log rows of one decision; the traces of its runs only if they are asked for."""
    return router_service_pb2.ExplainDecisionResponse(
        trace_id=records[0].trace_id,
        stages=[_decided(record, traces=traces) for record in records if record.kind == "stage"],
        rewards=[_rewarded(record) for record in records if record.kind == "reward"],
    )


def stated(knobs: query_pb2.Knobs) -> dict[str, Any]:
    """The knobs that a message states, by the names that `Knobs` has for them."""
    found = {field.name.removesuffix("_microdollars"): value for field, value in knobs.ListFields()}
    return {name: tuple(value) if name == "plans" else value for name, value in found.items()}


def evaluation_to_pb(found: Mapping[str, Any]) -> evaluation_pb2.EvaluatePolicyResponse:
    """A policy beside what acted and the controls."""
    return evaluation_pb2.EvaluatePolicyResponse(
        policy=found["policy"],
        predictor=found["predictor"],
        decisions=found["decisions"],
        estimates=[_estimate(name, one, found["ahead_of"].get(name)) for name, one in found["estimates"].items()],
        not_judged=found["not_judged"],
    )


def preview_to_pb(found: Mapping[str, Any]) -> evaluation_pb2.PreviewKnobResponse:
    """A knob along its range."""
    return evaluation_pb2.PreviewKnobResponse(
        now=found["now"],
        points=[evaluation_pb2.KnobPoint(at=one["at"], estimate=_estimate("", one)) for one in found["points"]],
        logged=_estimate("logged", found["logged"]),
        constants=[_estimate(plan, one) for plan, one in found["constants"].items()],
        decisions=found["decisions"],
    )


def _estimate(name: str, one: Mapping[str, Any], ahead: Mapping[str, Any] | None = None) -> evaluation_pb2.PolicyEstimate:
    return evaluation_pb2.PolicyEstimate(
        name=name,
        quality=_estimated(one.get("quality")),
        cost_microdollars=_estimated(one.get("cost")),
        net_microdollars=_estimated(one.get("net")),
        ahead_microdollars=_estimated(ahead),
        effective_decisions=one.get("effective", 0.0),
        refused=one.get("refused", ""),
        modelled_quality=one["modelled"]["quality"],
        modelled_cost_microdollars=one["modelled"]["cost"],
        warnings=one.get("warnings", ()),
        seconds=_estimated(one.get("seconds")),
    )


def _estimated(one: Mapping[str, float] | None) -> evaluation_pb2.Estimated | None:
    return evaluation_pb2.Estimated(**one) if one and "value" in one else None


def _prediction(prediction: Prediction) -> decision_pb2.Prediction:
    return decision_pb2.Prediction(
        in_hand=prediction.in_hand,
        forecasts=[
            decision_pb2.Forecast(
                plan=forecast.plan,
                success=forecast.success,
                low=forecast.low,
                high=forecast.high,
                tokens=forecast.tokens,
                cost_microdollars=forecast.cost,
                seconds=forecast.seconds,
                tokens_high=forecast.tokens_high,
                seconds_high=forecast.seconds_high,
            )
            for forecast in prediction.forecasts
        ],
        version=prediction.version,
        novelty=prediction.novelty,
    )


def _decision(decision: Decision) -> decision_pb2.Decision:
    return decision_pb2.Decision(
        action=f"ACTION_{decision.action.name}",
        plan=decision.plan,
        propensity=decision.propensity,
        scores=dict(decision.scores),
        explored=decision.explored,
        policy=decision.policy,
        reason=decision.reason,
    )


def _stage(stage: Stage) -> answer_pb2.StageEvent:
    return answer_pb2.StageEvent(
        decision_id=stage.decision_id,
        index=stage.index,
        prediction=_prediction(stage.prediction),
        decision=_decision(stage.decision),
        outcome=outcome_to_pb(stage.outcome) if stage.outcome else None,
        best=_answer(stage.best) if stage.best else None,
    )


def _final(final: Final) -> answer_pb2.FinalAnswer:
    return answer_pb2.FinalAnswer(
        decision_id=final.decision_id,
        answer=_answer(final.answer) if final.answer else None,
        receipt=_receipt(final.receipt),
        ending=f"ENDING_{final.ending.upper()}",
        degraded=final.degraded,
    )


def _answer(answer: Answer) -> answer_pb2.Answer:
    return answer_pb2.Answer(text=answer.text, answer=answer.answer, confidence=answer.confidence, plan=answer.plan)


def _receipt(receipt: Receipt) -> answer_pb2.Receipt:
    return answer_pb2.Receipt(
        usage=usage_to_pb(receipt.usage),
        stages=[answer_pb2.StageUsage(plan=plan, usage=usage_to_pb(usage)) for plan, usage in receipt.stages],
        cached=receipt.cached,
        cache_hit=f"CACHE_HIT_{receipt.hit.name}" if receipt.cached else None,
    )


def _decided(record: Record, *, traces: bool) -> router_service_pb2.DecidedStage:
    return router_service_pb2.DecidedStage(
        index=record.stage,
        decide_time=datetime.fromtimestamp(record.at, UTC),
        choices=_choices(record),
        action=f"ACTION_{record.action.upper()}" if record.action else None,
        plan=record.plan,
        propensity=record.propensity,
        explored=record.explored,
        policy=record.policy,
        predictor=record.predictor,
        reason=record.reason,
        in_hand=record.in_hand,
        answer=record.answer,
        outcome_answer=record.outcome_answer,
        stop_reason=record.stop_reason,
        usage=_spent(record),
        candidates=_candidates(record),
        trace=record.trace if traces else "",
        value_microdollars=record.value,
        arm=record.arm,
    )


def _choices(record: Record) -> list[router_service_pb2.Choice]:
    """Rows of older versions have no costs, or no chances."""
    many = len(record.offered)
    columns = (record.offered, record.success, record.scores, record.costs or (0.0,) * many, record.chances or (0.0,) * many)
    return [
        router_service_pb2.Choice(name=name, success=success, score=score, cost_microdollars=cost, chance=chance)
        for name, success, score, cost, chance in zip(*columns, strict=True)
    ]


def _candidates(record: Record) -> list[router_service_pb2.LoggedCandidate]:
    return [
        router_service_pb2.LoggedCandidate(answer=one.answer, tokens=one.tokens, score=one.score, logprob=one.logprob)
        for one in outcome(record).candidates
    ]


def _spent(record: Record) -> usage_pb2.Usage:
    return usage_pb2.Usage(
        prompt_tokens=record.prompt_tokens,
        kept_tokens=record.kept_tokens,
        discarded_tokens=record.discarded_tokens,
        cancelled_tokens=record.cancelled_tokens,
        scored_tokens=record.scored_tokens,
        calls=record.calls,
        samples=record.samples,
        cost_microdollars=record.cost,
        seconds=record.seconds,
        joules=record.joules,
        energy_source=f"ENERGY_SOURCE_{record.energy.upper()}" if record.energy else None,
    )


def _rewarded(record: Record) -> router_service_pb2.ReportedReward:
    return router_service_pb2.ReportedReward(
        reward=record.reward,
        source=f"REWARD_SOURCE_{record.reward_source.upper()}",
        report_time=datetime.fromtimestamp(record.at, UTC),
        stage=record.stage if record.stage >= 0 else None,
    )
