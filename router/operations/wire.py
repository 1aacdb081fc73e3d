"""OperationsService's messages from and to lines, summaries and standings."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from google.protobuf import timestamp_pb2
from google.protobuf.json_format import MessageToDict
from rheostat.v1 import evaluation_pb2, query_pb2
from rheostat.v1 import operations_service_pb2 as pb

from router.errors import InvalidQuery
from router.operations.line import Line, State
from router.operations.summary import Bin, Estimate, Part, Summary
from router.promotion.state import Guard, Promotion
from router.settings import CandidateSettings, Settings
from router.tenants import Unit, Window
from router.types import Plan, Standing
from workers.fleet import Fleet

_UNITS = {Unit.COST: "microdollars", Unit.TOKENS: "tokens", Unit.REQUESTS: "requests", Unit.OPEN: "requests at once"}
_ORDERS: Mapping[int, Callable[[Line], float]] = {
    pb.DECISION_ORDER_COST: lambda line: -line.facts.cost,
    pb.DECISION_ORDER_DIFFICULTY: lambda line: -line.difficulty,
    pb.DECISION_ORDER_CONFIDENCE: lambda line: line.facts.last.in_hand,
}


def search_from_pb(request: pb.ListDecisionsRequest) -> Callable[[Sequence[Line]], Sequence[Line]]:
    """What leaves of lines, latest first, those that are asked for, in the order that is asked for."""
    wanted: list[Callable[[Line], bool]] = []
    word = request.search.casefold()
    if word:
        wanted.append(lambda line: word in f"{line.prompt}\n{line.facts.last.answer}\n{line.id}".casefold())
    if request.plan:
        wanted.append(lambda line: request.plan in line.facts.plans)
    if request.state:
        state = State(pb.DecisionState.Name(request.state).removeprefix("DECISION_STATE_").lower())
        wanted.append(lambda line: line.facts.state is state)
    if request.HasField("reward_at_most"):
        wanted.append(lambda line: (reward := line.facts.reward) is not None and reward <= request.reward_at_most)

    def found(lines: Sequence[Line]) -> Sequence[Line]:
        left = [line for line in lines if all(one(line) for one in wanted)] if wanted else lines
        return sorted(left, key=order) if (order := _ORDERS.get(request.order)) else left

    return found


def line_to_pb(line: Line) -> pb.DecisionLine:
    """One decision."""
    return pb.DecisionLine(
        decision_id=line.id,
        decide_time=_time(line.at),
        prompt=line.prompt,
        task=line.task,
        plans=line.facts.plans,
        state=_state(line.facts.state),
        answer=line.facts.last.answer,
        confidence=line.facts.last.in_hand,
        difficulty=line.difficulty,
        cost_microdollars=line.facts.cost,
        tokens=line.facts.tokens,
        seconds=line.facts.seconds,
        reward=line.facts.reward,
        policy=line.policy,
        predictor=line.predictor,
        arm=line.arm,
        explored=line.explored,
        reason=line.facts.last.reason,
    )


def summary_to_pb(found: Summary) -> pb.SummarizeDecisionsResponse:
    """Decisions in numbers."""
    lines = found.lines
    return pb.SummarizeDecisionsResponse(
        decisions=len(lines),
        first_time=_time(lines[-1].at) if lines else None,
        last_time=_time(lines[0].at) if lines else None,
        states=[pb.StateCount(state=_state(state), decisions=count) for state, count in found.states.most_common()],
        rated=len(found.rewards),
        quality=_estimated(found.quality),
        cost_microdollars=_estimated(found.cost),
        seconds_median=found.seconds(0.5),
        seconds_p95=found.seconds(0.95),
        plans=[
            pb.PlanAllocation(plan=plan, decisions=one.decisions, cost_microdollars=one.cost, quality=_estimated(one.quality))
            for plan, one in found.plans.items()
        ],
        stages=[pb.StageAllocation(stage=stage, actions=_counts(counts)) for stage, counts in found.stages.items()],
        difficulties=map(_difficulty, found.difficulties),
        periods=map(_period, found.periods),
        calibration=map(_bin, found.calibration),
    )


def budget_to_pb(window: Window, spent: int, held: int, now: float) -> pb.BudgetStanding:
    """One window of a budget, at `now` in Unix seconds."""
    ends = _ends(window, now)
    return pb.BudgetStanding(
        window=window.name, unit=_UNITS[window.unit], limit=window.limit, spent=spent, held=held, reset_time=_time(ends) if ends else None
    )


def pace_to_pb(found: Standing) -> pb.PaceStanding:
    """How an objective stands."""
    return pb.PaceStanding(value_microdollars=found.value, spent=found.spent, deficit=found.deficit)


def guard_to_pb(found: Guard, *, enabled: bool) -> pb.GuardStanding:
    """The guard's last word."""
    return pb.GuardStanding(
        enabled=enabled,
        verdict=found.verdict if found.at else "",
        control=found.control,
        closed=found.closed,
        why=found.why,
        review_time=_time(found.at) if found.at else None,
    )


def promotion_to_pb(found: Promotion, share: float) -> pb.PromotionStanding:
    """A candidate, which decides this share of requests now."""
    candidate = found.candidate
    return pb.PromotionStanding(
        stage=found.stage,
        policy=candidate.policy.name if candidate.policy else "",
        predictor=candidate.predictor.name if candidate.predictor else "",
        knobs=query_pb2.Knobs(**{f"{name}_microdollars" if name == "value" else name: value for name, value in candidate.knobs.items()}),  # type: ignore[arg-type]
        control=found.control,
        events=[pb.PromotionEvent(event_time=_time(event.at), stage=event.stage, why=event.why) for event in found.events],
        share=share,
    )


def candidate_from_pb(request: pb.BeginPromotionRequest, settings: Settings) -> CandidateSettings:
    """Raises InvalidQuery for a policy that is not configured, and for a predictor that is not there."""
    knobs = MessageToDict(request.knobs, preserving_proto_field_name=True)
    policy = knobs.pop("policy", None)
    if policy is not None and policy not in settings.policies:
        raise InvalidQuery(f"no policy {policy!r} is configured; there are {', '.join(settings.policies)}", field="knobs.policy")
    predictor = settings.data / request.predictor if request.predictor else None
    if predictor and not predictor.is_dir():
        raise InvalidQuery(f"the data folder has no folder {request.predictor!r}: `rheostat retrain --to` writes one", field="predictor")
    return CandidateSettings(policy=settings.policies[policy] if policy else None, predictor=predictor, knobs=knobs)


def fleet_to_pb(settings: Settings, catalogue: Mapping[str, Plan], fleet: Fleet, shares: Mapping[str, float]) -> pb.GetFleetResponse:
    """What serves, with the shadow prices of pools."""
    loads = fleet.loads()
    return pb.GetFleetResponse(
        version=version("rheostat"),
        policies=settings.policies,
        plans=[pb.PlanStanding(plan=plan.id, pool=plan.pool, strategy=plan.strategy, served=fleet.serves(plan)) for plan in catalogue.values()],
        pools=[
            pb.PoolStanding(pool=name, model=_model(settings, name), workers=count, load=loads.get(name), shadow_price=shares.get(name, 0.0))
            for name, count in sorted(fleet.workers().items())
        ],
        ejected=fleet.ejected,
        hedged=fleet.hedged,
        retried=fleet.retried,
    )


def _model(settings: Settings, pool: str) -> str:
    return settings.worker.pools[pool].model if pool in settings.worker.pools else ""


def _difficulty(part: Part) -> pb.DifficultyAllocation:
    return pb.DifficultyAllocation(
        low=part.low,
        high=part.high,
        decisions=part.decisions,
        last=_counts(part.last),
        quality=_estimated(part.quality),
        cost_microdollars=part.cost.value if part.cost else 0.0,
    )


def _period(part: Part) -> pb.Period:
    return pb.Period(begin_time=_time(part.low), decisions=part.decisions, quality=_estimated(part.quality), cost_microdollars=_estimated(part.cost))


def _bin(one: Bin) -> pb.CalibrationBin:
    return pb.CalibrationBin(believed=one.believed, observed=_estimated(one.observed), answers=one.answers)


def _counts(counts: Mapping[str, int]) -> list[pb.ActionCount]:
    return [pb.ActionCount(action=action, decisions=count) for action, count in counts.items()]


def _estimated(one: Estimate | None) -> evaluation_pb2.Estimated | None:
    return evaluation_pb2.Estimated(**one._asdict()) if one else None


def _state(state: State) -> str:
    return f"DECISION_STATE_{state.name}"


def _time(at: float) -> timestamp_pb2.Timestamp:
    found = timestamp_pb2.Timestamp()
    found.FromNanoseconds(round(at * 1e6) * 1_000)
    return found


def _ends(window: Window, now: float) -> float:
    """When, in Unix seconds; 0 for what has no window."""
    if window.seconds is None:
        today = datetime.fromtimestamp(now, UTC)
        return datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC).timestamp()
    return (now // window.seconds + 1) * window.seconds if window.seconds else 0.0
