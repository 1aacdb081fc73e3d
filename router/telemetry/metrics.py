"""Metrics: counters and histograms of one process. Attributes are bounded; durations and costs carry the trace as their exemplar."""

from functools import partial

from opentelemetry.metrics import MeterProvider

from router.telemetry.line import Line, current_line
from router.telemetry.names import (
    ACTION,
    CALL_SECONDS,
    CHECK,
    COUNTS,
    ENDING,
    ENERGY,
    ERROR,
    EXPLORED,
    FATE,
    KIND,
    MICRODOLLARS,
    MOST_TENANTS,
    OTHER,
    PLAN,
    POLICY,
    POOL,
    PREDICTOR,
    REWARD_SOURCE,
    SECONDS,
    SHARES,
    TENANT,
)
from router.types import Decision, Fate, Plan, Reward, Usage


class Metrics:
    """What is counted and timed."""

    def __init__(self, meters: MeterProvider) -> None:
        self._meter = meter = meters.get_meter("rheostat")
        count = meter.create_counter
        seconds = partial(meter.create_histogram, unit="s", explicit_bucket_boundaries_advisory=SECONDS)
        amount = partial(meter.create_histogram, explicit_bucket_boundaries_advisory=MICRODOLLARS)
        self._tenants: set[str] = set()
        self._decisions = count("rheostat.decisions", "{decision}", "Choices of a policy")
        self._decision_seconds = seconds("rheostat.decision.duration", description="Time to predict and choose")
        self._prediction_seconds = seconds("rheostat.prediction.duration", description="Time to forecast every plan")
        self._reconsidered = count("rheostat.decisions.reconsidered", "{decision}", "Close decisions, taken again with a second encoder")
        self._plan_seconds = seconds("rheostat.plan.duration", description="Time to run a plan")
        self._plan_tokens = count("rheostat.plan.tokens", "{token}", "Tokens charged, by what became of them")
        self._plan_joules = count("rheostat.plan.energy", "J", "Energy, estimated or measured")
        self._plan_reward = meter.create_histogram("rheostat.plan.reward", "1", "Rewards reported", explicit_bucket_boundaries_advisory=SHARES)
        self._request_seconds = seconds("rheostat.request.duration", description="Time to answer")
        self._request_cost = amount("rheostat.request.cost", "{microdollar}", "What answering cost")
        self._request_stages = meter.create_histogram(
            "rheostat.request.stages", "{stage}", "Plans bought for an answer", explicit_bucket_boundaries_advisory=COUNTS
        )
        shares = partial(meter.create_histogram, unit="1", explicit_bucket_boundaries_advisory=SHARES)
        self._request_confidence = shares("rheostat.request.confidence", description="How likely answers are right; abstentions are 0")
        self._request_reward = shares("rheostat.request.reward", description="Rewards reported, by tenant")
        self._degraded = count("rheostat.requests.degraded", "{request}", "Answers given while something did not work as usual, by what")
        self._waits = seconds("rheostat.admission.wait", description="Time until a request was let in")
        self._lookups = count("rheostat.cache.lookups", "{lookup}", "Looks into the cache, by what was found")
        self._checks = count("rheostat.cache.checks", "{check}", "Answers to nearest questions, compared with real ones")
        self._active = meter.create_up_down_counter("rheostat.request.active", "{request}", "Requests being answered")
        self._rejected = count("rheostat.requests.rejected", "{request}", "Calls refused, by reason")
        self._call_seconds = meter.create_histogram(
            "rpc.server.call.duration", "s", "Time to answer a call", explicit_bucket_boundaries_advisory=CALL_SECONDS
        )

    def predicted(self, predictor: str, seconds: float) -> None:
        """One prediction. `predictor` is its name, without a version."""
        self._prediction_seconds.record(seconds, {PREDICTOR: predictor})

    def decided(self, decision: Decision, policy: str, seconds: float) -> None:
        """One decision, and the time it took, prediction included. `policy` is its name, without a version: those that learn have many."""
        self._decisions.add(1, {POLICY: policy, PLAN: decision.plan, ACTION: decision.action.value, EXPLORED: decision.explored})
        self._decision_seconds.record(seconds, {POLICY: policy})

    def reconsidered(self) -> None:
        """One first decision that was close, for which the second encoder is consulted."""
        self._reconsidered.add(1)

    def ran(self, plan: str, seconds: float, error: str) -> None:
        """One plan was run; `error` is the type of what it raised, or empty."""
        self._plan_seconds.record(seconds, {PLAN: plan, ERROR: error} if error else {PLAN: plan})

    def charged(self, plan: Plan, usage: Usage) -> None:
        """What running a plan took, to its end or not. Beside the three fates of completion tokens: `prompt` and `scored`."""
        current_line().bought(plan.id, usage)
        for fate, count in tokens_by_fate(usage).items():
            if count:
                self._plan_tokens.add(count, {PLAN: plan.id, POOL: plan.pool, FATE: fate})
        if usage.joules:
            self._plan_joules.add(usage.joules, {PLAN: plan.id, POOL: plan.pool, ENERGY: usage.energy.value})

    def rewarded(self, plan: str, reward: Reward, tenant: str) -> None:
        """One reward, for the plan that gave the answer, and for a tenant that exists."""
        self._plan_reward.record(reward.value, {PLAN: plan, REWARD_SOURCE: reward.source})
        self._request_reward.record(reward.value, {TENANT: self.label(tenant), REWARD_SOURCE: reward.source})

    def active(self, change: int) -> None:
        """So many more requests, or fewer, are being answered."""
        self._active.add(change)

    def waited(self, seconds: float) -> None:
        """One request waited so long until it was let in."""
        self._waits.record(seconds)

    def looked_up(self, kind: str) -> None:
        """One look into the cache: the kind of entry found, or `miss`."""
        self._lookups.add(1, {KIND: kind})

    def checked(self, *, same: bool) -> None:
        """One answer that was got to be compared with the one to the nearest question."""
        self._checks.add(1, {CHECK: "same" if same else "false"})

    def rejected(self, reason: str) -> None:
        """One call refused; `reason` is the error's."""
        self._rejected.add(1, {ERROR: reason})

    def called(self, method: str, code: str, seconds: float) -> None:
        """One call of our services: `package.Service/Method`, the name of its status code, and its time."""
        self._call_seconds.record(seconds, {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": code})

    def answered(self, line: Line, seconds: float) -> None:
        """One request for an answer has ended, as its line says."""
        labels = {TENANT: self.label(line.tenant), ENDING: "cached" if line.cached else line.ending}
        self._request_seconds.record(seconds, labels)
        self._request_cost.record(line.usage.cost, labels)
        self._request_stages.record(len(line.plans), {ENDING: labels[ENDING]})
        if line.confidence is not None:
            self._request_confidence.record(line.confidence, {TENANT: labels[TENANT]})
        for reason in line.degraded:
            self._degraded.add(1, {ERROR: reason})

    def label(self, tenant: str) -> str:
        """The name of a tenant that exists, or `other` once there are too many."""
        if tenant in self._tenants:
            return tenant
        if len(self._tenants) >= MOST_TENANTS:
            return OTHER
        self._tenants.add(tenant)
        return tenant


def tokens_by_fate(usage: Usage) -> dict[str, int]:
    """All tokens of a usage, those read and scored beside the three fates of those written."""
    return {
        Fate.KEPT.value: usage.kept_tokens,
        Fate.DISCARDED.value: usage.discarded_tokens,
        Fate.CANCELLED.value: usage.cancelled_tokens,
        "prompt": usage.prompt_tokens,
        "scored": usage.scored_tokens,
    }
