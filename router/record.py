"""Log rows: what a decision saw, what it bought, what it was worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.types import Action, Answer, CacheHit, Candidate, Decision, Fate, Features, Finish, Outcome, Prediction, Query, Record, Reward, Usage

_HITS = {
    CacheHit.EXACT: "answered from the cache",
    CacheHit.SEMANTIC: "answered from the cache, as the same question in other words",
    CacheHit.JOINED: "another request for the same answer was under way",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Writes the rows of one request; `prompt` is what the tenant's retention allows."""

    query: Query
    decision_id: str
    prompt: str
    trace_id: str = ""
    arm: str = ""
    inherited: tuple[str, ...] = ()

    def stage(self, index: int, at: float, *, features: Features, prediction: Prediction, decision: Decision, best: Answer | None) -> Record:
        """The row of one decision, as it stood before anything was bought."""
        offered = tuple(decision.scores)
        forecasts = {forecast.plan: forecast for forecast in prediction.forecasts}
        return Record(
            id=f"{self.decision_id}/{index}",
            kind="stage",
            decision_id=self.decision_id,
            tenant=self.query.tenant,
            at=at,
            trace_id=self.trace_id,
            stage=index,
            task=self.query.task.value,
            prompt=self.prompt if index == 0 else "",
            features=tuple(features.vector.tolist()),
            feature_version=features.version,
            in_hand=prediction.in_hand,
            answer=best.answer if best else "",
            action=decision.action.value,
            plan=decision.plan,
            propensity=decision.propensity,
            explored=decision.explored,
            offered=offered,
            scores=tuple(decision.scores.values()),
            success=tuple(forecasts[name].success if name in forecasts else prediction.in_hand for name in offered),
            costs=tuple(forecasts[name].cost if name in forecasts else 0.0 for name in offered),
            context=tuple(prediction.context.tolist()),
            chances=tuple(decision.chances.get(name, 0.0) for name in offered),
            arm=self.arm,
            value=self.query.knobs.value,
            inherited=self.inherited,
            policy=decision.policy,
            predictor=prediction.version,
            reason=decision.reason,
        )

    def cached(self, at: float, answer: Answer, hit: CacheHit) -> Record:
        """The row of an answer that was already paid for."""
        return Record(
            id=f"{self.decision_id}/0",
            kind="stage",
            decision_id=self.decision_id,
            tenant=self.query.tenant,
            at=at,
            trace_id=self.trace_id,
            task=self.query.task.value,
            prompt=self.prompt,
            in_hand=answer.confidence,
            answer=answer.answer,
            action="stop",
            reason=_HITS[hit],
            stop_reason="cached",
        )


def bought(record: Record, outcome: Outcome) -> Record:
    """The row with what its plan gave."""
    kept = [one for one in outcome.candidates if one.fate is not Fate.CANCELLED]
    return replace(
        spent(record, outcome.usage, outcome.stop_reason),
        outcome_answer=outcome.answer or "",
        outcome_answers=tuple(one.answer or "" for one in kept),
        outcome_scores=tuple(math.nan if one.score is None else one.score for one in kept),
        outcome_logprobs=tuple(one.logprob for one in kept),
        outcome_tokens=tuple(one.tokens for one in kept),
        trace=outcome.trace,
    )


def outcome(record: Record) -> Outcome:
    """What the plan of a row gave, as far as rows tell: texts are gone, and so is what was cancelled. `bought` backwards."""
    lengths = record.outcome_tokens or (0,) * len(record.outcome_answers)
    candidates = tuple(
        Candidate(text="", answer=answer or None, finish=Finish.END, tokens=tokens, logprob=logprob, score=None if math.isnan(score) else score)
        for answer, score, logprob, tokens in zip(record.outcome_answers, record.outcome_scores, record.outcome_logprobs, lengths, strict=True)
    )
    return Outcome(
        plan=record.plan,
        answer=record.outcome_answer or None,
        text="",
        candidates=candidates,
        usage=Usage(cost=record.cost, seconds=record.seconds),
        stop_reason=record.stop_reason,
    )


def spent(record: Record, usage: Usage, stop_reason: str) -> Record:
    """The row with what its plan cost, for a purchase that gave nothing."""
    return replace(
        record,
        stop_reason=stop_reason,
        prompt_tokens=usage.prompt_tokens,
        kept_tokens=usage.kept_tokens,
        discarded_tokens=usage.discarded_tokens,
        cancelled_tokens=usage.cancelled_tokens,
        scored_tokens=usage.scored_tokens,
        samples=usage.samples,
        calls=usage.calls,
        cost=usage.cost,
        seconds=usage.seconds,
        joules=usage.joules,
        energy=usage.energy.value,
    )


def rewarded(reward: Reward, tenant: str) -> Record:
    """The row of a reward; `stage` is -1 where it rates the answer that was given."""
    stage = -1 if reward.stage is None else reward.stage
    return Record(
        id=f"{reward.decision_id}/{stage}/{reward.source}",
        kind="reward",
        decision_id=reward.decision_id,
        tenant=tenant,
        at=reward.at,
        stage=stage,
        reward=reward.value,
        reward_source=reward.source,
        cost=reward.cost,
    )


def rated(rows: Sequence[Record], reward: Reward) -> float | None:
    """The belief in the answer given, where this reward is the first to rate that; None where it rates another answer, or was not the first.

    None, too, where the stages are not to be had. `rows` are those of its decision, stages first, once the reward is among them.
    """
    stages = [row for row in rows if row.kind == "stage"]
    end = stages[-1] if stages else None
    if end is None or end.action == Action.BUY.value or not end.answer or end.stop_reason == "abstained":
        return None
    same = {-1, *(row.stage for row in stages if row.outcome_answer == end.answer)}
    first = next((row for row in rows if row.kind == "reward" and row.stage in same), None)
    return end.in_hand if first and (first.id, first.at) == (rewarded(reward, end.tenant).id, reward.at) else None


def by_stage(records: Sequence[Record]) -> list[Record]:
    """Stages in order, then rewards as they came."""
    return sorted(records, key=lambda record: (record.kind == "reward", record.stage if record.kind == "stage" else record.at))
