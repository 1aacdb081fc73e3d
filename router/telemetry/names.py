"""Names: attributes of spans and metrics, and the buckets of histograms. Span attributes may carry ids; metric attributes never do."""

from typing import TypedDict

DECISION_ID = "rheostat.decision.id"
STAGE = "rheostat.decision.stage"
ACTION = "rheostat.decision.action"
PROPENSITY = "rheostat.decision.propensity"
EXPLORED = "rheostat.decision.explored"
PLAN = "rheostat.plan.id"
POOL = "rheostat.pool.name"
POLICY = "rheostat.policy.name"
PREDICTOR = "rheostat.predictor.name"
REWARD_SOURCE = "rheostat.reward.source"
FATE = "rheostat.token.fate"
TENANT = "rheostat.tenant.name"  # of those that are configured, and of these only so many
WINDOW = "rheostat.budget.window"
UNIT = "rheostat.budget.unit"
ENDING = "rheostat.request.ending"
KIND = "rheostat.cache.kind"
CHECK = "rheostat.cache.check"
SHELF = "rheostat.cache.shelf"
COST = "rheostat.cost.microdollars"
JOULES = "rheostat.energy.joules"
ENERGY = "rheostat.energy.source"
TOKENS = "rheostat.tokens"  # of a span; `.kept`, `.discarded`, `.cancelled`, `.prompt` or `.scored` follows
TEXTS = "rheostat.verifier.texts"
RUN_ENDING = "rheostat.sandbox.ending"
VERDICT = "rheostat.guard.verdict"
PROMOTION = "rheostat.promotion.stage"
DOUBT = "rheostat.learning.doubt"  # why an outcome was not believed
WHY = "rheostat.execution.why"  # run again: `straggler` or `failure`
ERROR = "error.type"

SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # as the RPC conventions have them
MICRODOLLARS = (0.0, 1.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0, 300_000.0, 1_000_000.0)
COUNTS = tuple(float(count) for count in range(9))
SHARES = tuple(step / 10 for step in range(11))

OTHER = "other"  # the label of tenants beyond the first so many
MOST_TENANTS = 100

MARKS = {"decision_id": DECISION_ID, "plan": PLAN, "stage": STAGE, "propensity": PROPENSITY}


class Marks(TypedDict, total=False):
    """What a span can be marked with."""

    decision_id: str
    plan: str
    stage: int
    propensity: float
