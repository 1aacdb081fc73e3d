import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rheostat.v1 import evaluation_pb2 as _evaluation_pb2
from rheostat.v1 import query_pb2 as _query_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_STATE_UNSPECIFIED: _ClassVar[DecisionState]
    DECISION_STATE_ANSWERED: _ClassVar[DecisionState]
    DECISION_STATE_CACHED: _ClassVar[DecisionState]
    DECISION_STATE_ABSTAINED: _ClassVar[DecisionState]
    DECISION_STATE_PLANNED: _ClassVar[DecisionState]
    DECISION_STATE_OPEN: _ClassVar[DecisionState]

class DecisionOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_ORDER_UNSPECIFIED: _ClassVar[DecisionOrder]
    DECISION_ORDER_COST: _ClassVar[DecisionOrder]
    DECISION_ORDER_DIFFICULTY: _ClassVar[DecisionOrder]
    DECISION_ORDER_CONFIDENCE: _ClassVar[DecisionOrder]
DECISION_STATE_UNSPECIFIED: DecisionState
DECISION_STATE_ANSWERED: DecisionState
DECISION_STATE_CACHED: DecisionState
DECISION_STATE_ABSTAINED: DecisionState
DECISION_STATE_PLANNED: DecisionState
DECISION_STATE_OPEN: DecisionState
DECISION_ORDER_UNSPECIFIED: DecisionOrder
DECISION_ORDER_COST: DecisionOrder
DECISION_ORDER_DIFFICULTY: DecisionOrder
DECISION_ORDER_CONFIDENCE: DecisionOrder

class ListDecisionsRequest(_message.Message):
    __slots__ = ("tenant", "page_size", "page_token", "search", "plan", "state", "reward_at_most", "order")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REWARD_AT_MOST_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    search: str
    plan: str
    state: DecisionState
    reward_at_most: float
    order: DecisionOrder
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., search: _Optional[str] = ..., plan: _Optional[str] = ..., state: _Optional[_Union[DecisionState, str]] = ..., reward_at_most: _Optional[float] = ..., order: _Optional[_Union[DecisionOrder, str]] = ...) -> None: ...

class ListDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "next_page_token", "total")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[DecisionLine]
    next_page_token: str
    total: int
    def __init__(self, decisions: _Optional[_Iterable[_Union[DecisionLine, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class DecisionLine(_message.Message):
    __slots__ = ("decision_id", "decide_time", "prompt", "task", "plans", "state", "answer", "confidence", "difficulty", "cost_microdollars", "tokens", "seconds", "reward", "policy", "predictor", "arm", "explored", "reason")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    DIFFICULTY_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    decide_time: _timestamp_pb2.Timestamp
    prompt: str
    task: str
    plans: _containers.RepeatedScalarFieldContainer[str]
    state: DecisionState
    answer: str
    confidence: float
    difficulty: float
    cost_microdollars: int
    tokens: int
    seconds: float
    reward: float
    policy: str
    predictor: str
    arm: str
    explored: bool
    reason: str
    def __init__(self, decision_id: _Optional[str] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., prompt: _Optional[str] = ..., task: _Optional[str] = ..., plans: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[DecisionState, str]] = ..., answer: _Optional[str] = ..., confidence: _Optional[float] = ..., difficulty: _Optional[float] = ..., cost_microdollars: _Optional[int] = ..., tokens: _Optional[int] = ..., seconds: _Optional[float] = ..., reward: _Optional[float] = ..., policy: _Optional[str] = ..., predictor: _Optional[str] = ..., arm: _Optional[str] = ..., explored: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class SummarizeDecisionsRequest(_message.Message):
    __slots__ = ("tenant", "decisions")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    decisions: int
    def __init__(self, tenant: _Optional[str] = ..., decisions: _Optional[int] = ...) -> None: ...

class SummarizeDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "first_time", "last_time", "states", "rated", "quality", "cost_microdollars", "seconds_median", "seconds_p95", "plans", "stages", "difficulties", "periods", "calibration")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    RATED_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_MEDIAN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_P95_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    DIFFICULTIES_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    decisions: int
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    states: _containers.RepeatedCompositeFieldContainer[StateCount]
    rated: int
    quality: _evaluation_pb2.Estimated
    cost_microdollars: _evaluation_pb2.Estimated
    seconds_median: float
    seconds_p95: float
    plans: _containers.RepeatedCompositeFieldContainer[PlanAllocation]
    stages: _containers.RepeatedCompositeFieldContainer[StageAllocation]
    difficulties: _containers.RepeatedCompositeFieldContainer[DifficultyAllocation]
    periods: _containers.RepeatedCompositeFieldContainer[Period]
    calibration: _containers.RepeatedCompositeFieldContainer[CalibrationBin]
    def __init__(self, decisions: _Optional[int] = ..., first_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., states: _Optional[_Iterable[_Union[StateCount, _Mapping]]] = ..., rated: _Optional[int] = ..., quality: _Optional[_Union[_evaluation_pb2.Estimated, _Mapping]] = ..., cost_microdollars: _Optional[_Union[_evaluation_pb2.Estimated, _Mapping]] = ..., seconds_median: _Optional[float] = ..., seconds_p95: _Optional[float] = ..., plans: _Optional[_Iterable[_Union[PlanAllocation, _Mapping]]] = ..., stages: _Optional[_Iterable[_Union[StageAllocation, _Mapping]]] = ..., difficulties: _Optional[_Iterable[_Union[DifficultyAllocation, _Mapping]]] = ..., periods: _Optional[_Iterable[_Union[Period, _Mapping]]] = ..., calibration: _Optional[_Iterable[_Union[CalibrationBin, _Mapping]]] = ...) -> None: ...

class StateCount(_message.Message):
    __slots__ = ("state", "decisions")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    state: DecisionState
    decisions: int
    def __init__(self, state: _Optional[_Union[DecisionState, str]] = ..., decisions: _Optional[int] = ...) -> None: ...

class PlanAllocation(_message.Message):
    __slots__ = ("plan", "decisions", "cost_microdollars", "quality")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    plan: str
    decisions: int
    cost_microdollars: int
    quality: _evaluation_pb2.Estimated
    def __init__(self, plan: _Optional[str] = ..., decisions: _Optional[int] = ..., cost_microdollars: _Optional[int] = ..., quality: _Optional[_Union[_evaluation_pb2.Estimated, _Mapping]] = ...) -> None: ...

class ActionCount(_message.Message):
    __slots__ = ("action", "decisions")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    action: str
    decisions: int
    def __init__(self, action: _Optional[str] = ..., decisions: _Optional[int] = ...) -> None: ...

class StageAllocation(_message.Message):
    __slots__ = ("stage", "actions")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    stage: int
    actions: _containers.RepeatedCompositeFieldContainer[ActionCount]
    def __init__(self, stage: _Optional[int] = ..., actions: _Optional[_Iterable[_Union[ActionCount, _Mapping]]] = ...) -> None: ...

class DifficultyAllocation(_message.Message):
    __slots__ = ("low", "high", "decisions", "last", "quality", "cost_microdollars")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    decisions: int
    last: _containers.RepeatedCompositeFieldContainer[ActionCount]
    quality: _evaluation_pb2.Estimated
    cost_microdollars: float
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ..., decisions: _Optional[int] = ..., last: _Optional[_Iterable[_Union[ActionCount, _Mapping]]] = ..., quality: _Optional[_Union[_evaluation_pb2.Estimated, _Mapping]] = ..., cost_microdollars: _Optional[float] = ...) -> None: ...

class Period(_message.Message):
    __slots__ = ("begin_time", "decisions", "quality", "cost_microdollars")
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    begin_time: _timestamp_pb2.Timestamp
    decisions: int
    quality: _evaluation_pb2.Estimated
    cost_microdollars: _evaluation_pb2.Estimated
    def __init__(self, begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decisions: _Optional[int] = ..., quality: _Optional[_Union[_evaluation_pb2.Estimated, _Mapping]] = ..., cost_microdollars: _Optional[_Union[_evaluation_pb2.Estimated, _Mapping]] = ...) -> None: ...

class CalibrationBin(_message.Message):
    __slots__ = ("believed", "observed", "answers")
    BELIEVED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    believed: float
    observed: _evaluation_pb2.Estimated
    answers: int
    def __init__(self, believed: _Optional[float] = ..., observed: _Optional[_Union[_evaluation_pb2.Estimated, _Mapping]] = ..., answers: _Optional[int] = ...) -> None: ...

class GetStandingRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class GetStandingResponse(_message.Message):
    __slots__ = ("budgets", "pace", "guard", "promotion")
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[BudgetStanding]
    pace: PaceStanding
    guard: GuardStanding
    promotion: PromotionStanding
    def __init__(self, budgets: _Optional[_Iterable[_Union[BudgetStanding, _Mapping]]] = ..., pace: _Optional[_Union[PaceStanding, _Mapping]] = ..., guard: _Optional[_Union[GuardStanding, _Mapping]] = ..., promotion: _Optional[_Union[PromotionStanding, _Mapping]] = ...) -> None: ...

class BudgetStanding(_message.Message):
    __slots__ = ("window", "unit", "limit", "spent", "held", "reset_time")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    RESET_TIME_FIELD_NUMBER: _ClassVar[int]
    window: str
    unit: str
    limit: int
    spent: int
    held: int
    reset_time: _timestamp_pb2.Timestamp
    def __init__(self, window: _Optional[str] = ..., unit: _Optional[str] = ..., limit: _Optional[int] = ..., spent: _Optional[int] = ..., held: _Optional[int] = ..., reset_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PaceStanding(_message.Message):
    __slots__ = ("value_microdollars", "spent", "deficit")
    VALUE_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    DEFICIT_FIELD_NUMBER: _ClassVar[int]
    value_microdollars: float
    spent: float
    deficit: float
    def __init__(self, value_microdollars: _Optional[float] = ..., spent: _Optional[float] = ..., deficit: _Optional[float] = ...) -> None: ...

class GuardStanding(_message.Message):
    __slots__ = ("enabled", "verdict", "control", "closed", "why", "review_time")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REVIEW_TIME_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    verdict: str
    control: str
    closed: bool
    why: str
    review_time: _timestamp_pb2.Timestamp
    def __init__(self, enabled: _Optional[bool] = ..., verdict: _Optional[str] = ..., control: _Optional[str] = ..., closed: _Optional[bool] = ..., why: _Optional[str] = ..., review_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PromotionStanding(_message.Message):
    __slots__ = ("stage", "policy", "predictor", "knobs", "control", "events", "share")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    stage: str
    policy: str
    predictor: str
    knobs: _query_pb2.Knobs
    control: str
    events: _containers.RepeatedCompositeFieldContainer[PromotionEvent]
    share: float
    def __init__(self, stage: _Optional[str] = ..., policy: _Optional[str] = ..., predictor: _Optional[str] = ..., knobs: _Optional[_Union[_query_pb2.Knobs, _Mapping]] = ..., control: _Optional[str] = ..., events: _Optional[_Iterable[_Union[PromotionEvent, _Mapping]]] = ..., share: _Optional[float] = ...) -> None: ...

class PromotionEvent(_message.Message):
    __slots__ = ("event_time", "stage", "why")
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    event_time: _timestamp_pb2.Timestamp
    stage: str
    why: str
    def __init__(self, event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stage: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class GetFleetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFleetResponse(_message.Message):
    __slots__ = ("version", "start_time", "predictor", "policies", "plans", "pools", "ejected", "hedged", "retried")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    EJECTED_FIELD_NUMBER: _ClassVar[int]
    HEDGED_FIELD_NUMBER: _ClassVar[int]
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    version: str
    start_time: _timestamp_pb2.Timestamp
    predictor: str
    policies: _containers.RepeatedScalarFieldContainer[str]
    plans: _containers.RepeatedCompositeFieldContainer[PlanStanding]
    pools: _containers.RepeatedCompositeFieldContainer[PoolStanding]
    ejected: int
    hedged: int
    retried: int
    def __init__(self, version: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., predictor: _Optional[str] = ..., policies: _Optional[_Iterable[str]] = ..., plans: _Optional[_Iterable[_Union[PlanStanding, _Mapping]]] = ..., pools: _Optional[_Iterable[_Union[PoolStanding, _Mapping]]] = ..., ejected: _Optional[int] = ..., hedged: _Optional[int] = ..., retried: _Optional[int] = ...) -> None: ...

class PlanStanding(_message.Message):
    __slots__ = ("plan", "pool", "strategy", "served")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    plan: str
    pool: str
    strategy: str
    served: bool
    def __init__(self, plan: _Optional[str] = ..., pool: _Optional[str] = ..., strategy: _Optional[str] = ..., served: _Optional[bool] = ...) -> None: ...

class PoolStanding(_message.Message):
    __slots__ = ("pool", "model", "workers", "load", "shadow_price")
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    SHADOW_PRICE_FIELD_NUMBER: _ClassVar[int]
    pool: str
    model: str
    workers: int
    load: float
    shadow_price: float
    def __init__(self, pool: _Optional[str] = ..., model: _Optional[str] = ..., workers: _Optional[int] = ..., load: _Optional[float] = ..., shadow_price: _Optional[float] = ...) -> None: ...

class BeginPromotionRequest(_message.Message):
    __slots__ = ("tenant", "knobs", "predictor")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    knobs: _query_pb2.Knobs
    predictor: str
    def __init__(self, tenant: _Optional[str] = ..., knobs: _Optional[_Union[_query_pb2.Knobs, _Mapping]] = ..., predictor: _Optional[str] = ...) -> None: ...

class BeginPromotionResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: PromotionStanding
    def __init__(self, promotion: _Optional[_Union[PromotionStanding, _Mapping]] = ...) -> None: ...

class StopPromotionRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class StopPromotionResponse(_message.Message):
    __slots__ = ("promotion",)
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    promotion: PromotionStanding
    def __init__(self, promotion: _Optional[_Union[PromotionStanding, _Mapping]] = ...) -> None: ...
