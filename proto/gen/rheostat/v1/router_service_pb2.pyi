import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rheostat.v1 import answer_pb2 as _answer_pb2
from rheostat.v1 import decision_pb2 as _decision_pb2
from rheostat.v1 import evaluation_pb2 as _evaluation_pb2
from rheostat.v1 import query_pb2 as _query_pb2
from rheostat.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RewardSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REWARD_SOURCE_UNSPECIFIED: _ClassVar[RewardSource]
    REWARD_SOURCE_VERIFIER: _ClassVar[RewardSource]
    REWARD_SOURCE_USER: _ClassVar[RewardSource]
    REWARD_SOURCE_JUDGE: _ClassVar[RewardSource]
    REWARD_SOURCE_UNIT_TEST: _ClassVar[RewardSource]
REWARD_SOURCE_UNSPECIFIED: RewardSource
REWARD_SOURCE_VERIFIER: RewardSource
REWARD_SOURCE_USER: RewardSource
REWARD_SOURCE_JUDGE: RewardSource
REWARD_SOURCE_UNIT_TEST: RewardSource

class PlanQueryRequest(_message.Message):
    __slots__ = ("query", "curves")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    query: _query_pb2.Query
    curves: bool
    def __init__(self, query: _Optional[_Union[_query_pb2.Query, _Mapping]] = ..., curves: _Optional[bool] = ...) -> None: ...

class PlanQueryResponse(_message.Message):
    __slots__ = ("decision_id", "prediction", "decision", "curves", "value_microdollars")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    VALUE_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    prediction: _decision_pb2.Prediction
    decision: _decision_pb2.Decision
    curves: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Curve]
    value_microdollars: float
    def __init__(self, decision_id: _Optional[str] = ..., prediction: _Optional[_Union[_decision_pb2.Prediction, _Mapping]] = ..., decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., curves: _Optional[_Iterable[_Union[_decision_pb2.Curve, _Mapping]]] = ..., value_microdollars: _Optional[float] = ...) -> None: ...

class PlanBatchRequest(_message.Message):
    __slots__ = ("queries", "budget_microdollars")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[_query_pb2.Query]
    budget_microdollars: float
    def __init__(self, queries: _Optional[_Iterable[_Union[_query_pb2.Query, _Mapping]]] = ..., budget_microdollars: _Optional[float] = ...) -> None: ...

class PlanBatchResponse(_message.Message):
    __slots__ = ("decisions", "success", "cost_microdollars", "success_per_microdollar", "success_bound")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_PER_MICRODOLLAR_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_BOUND_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[BatchDecision]
    success: float
    cost_microdollars: float
    success_per_microdollar: float
    success_bound: float
    def __init__(self, decisions: _Optional[_Iterable[_Union[BatchDecision, _Mapping]]] = ..., success: _Optional[float] = ..., cost_microdollars: _Optional[float] = ..., success_per_microdollar: _Optional[float] = ..., success_bound: _Optional[float] = ...) -> None: ...

class BatchDecision(_message.Message):
    __slots__ = ("decision_id", "plan", "success", "cost_microdollars")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    plan: str
    success: float
    cost_microdollars: float
    def __init__(self, decision_id: _Optional[str] = ..., plan: _Optional[str] = ..., success: _Optional[float] = ..., cost_microdollars: _Optional[float] = ...) -> None: ...

class AnswerQueryRequest(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: _query_pb2.Query
    def __init__(self, query: _Optional[_Union[_query_pb2.Query, _Mapping]] = ...) -> None: ...

class AnswerQueryResponse(_message.Message):
    __slots__ = ("stage", "final")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    stage: _answer_pb2.StageEvent
    final: _answer_pb2.FinalAnswer
    def __init__(self, stage: _Optional[_Union[_answer_pb2.StageEvent, _Mapping]] = ..., final: _Optional[_Union[_answer_pb2.FinalAnswer, _Mapping]] = ...) -> None: ...

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("decision_id", "tenant", "reward", "source", "stage", "cost_microdollars")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    tenant: str
    reward: float
    source: RewardSource
    stage: int
    cost_microdollars: int
    def __init__(self, decision_id: _Optional[str] = ..., tenant: _Optional[str] = ..., reward: _Optional[float] = ..., source: _Optional[_Union[RewardSource, str]] = ..., stage: _Optional[int] = ..., cost_microdollars: _Optional[int] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExplainDecisionRequest(_message.Message):
    __slots__ = ("decision_id", "tenant", "traces")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TRACES_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    tenant: str
    traces: bool
    def __init__(self, decision_id: _Optional[str] = ..., tenant: _Optional[str] = ..., traces: _Optional[bool] = ...) -> None: ...

class ExplainDecisionResponse(_message.Message):
    __slots__ = ("stages", "rewards", "trace_id")
    STAGES_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    stages: _containers.RepeatedCompositeFieldContainer[DecidedStage]
    rewards: _containers.RepeatedCompositeFieldContainer[ReportedReward]
    trace_id: str
    def __init__(self, stages: _Optional[_Iterable[_Union[DecidedStage, _Mapping]]] = ..., rewards: _Optional[_Iterable[_Union[ReportedReward, _Mapping]]] = ..., trace_id: _Optional[str] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("name", "success", "score", "cost_microdollars", "chance")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    CHANCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    success: float
    score: float
    cost_microdollars: float
    chance: float
    def __init__(self, name: _Optional[str] = ..., success: _Optional[float] = ..., score: _Optional[float] = ..., cost_microdollars: _Optional[float] = ..., chance: _Optional[float] = ...) -> None: ...

class LoggedCandidate(_message.Message):
    __slots__ = ("answer", "tokens", "score", "logprob")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    answer: str
    tokens: int
    score: float
    logprob: float
    def __init__(self, answer: _Optional[str] = ..., tokens: _Optional[int] = ..., score: _Optional[float] = ..., logprob: _Optional[float] = ...) -> None: ...

class DecidedStage(_message.Message):
    __slots__ = ("index", "decide_time", "choices", "action", "plan", "propensity", "explored", "policy", "predictor", "reason", "in_hand", "answer", "outcome_answer", "stop_reason", "usage", "candidates", "trace", "value_microdollars", "arm")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    IN_HAND_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_ANSWER_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    VALUE_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    index: int
    decide_time: _timestamp_pb2.Timestamp
    choices: _containers.RepeatedCompositeFieldContainer[Choice]
    action: _decision_pb2.Action
    plan: str
    propensity: float
    explored: bool
    policy: str
    predictor: str
    reason: str
    in_hand: float
    answer: str
    outcome_answer: str
    stop_reason: str
    usage: _usage_pb2.Usage
    candidates: _containers.RepeatedCompositeFieldContainer[LoggedCandidate]
    trace: str
    value_microdollars: float
    arm: str
    def __init__(self, index: _Optional[int] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., choices: _Optional[_Iterable[_Union[Choice, _Mapping]]] = ..., action: _Optional[_Union[_decision_pb2.Action, str]] = ..., plan: _Optional[str] = ..., propensity: _Optional[float] = ..., explored: _Optional[bool] = ..., policy: _Optional[str] = ..., predictor: _Optional[str] = ..., reason: _Optional[str] = ..., in_hand: _Optional[float] = ..., answer: _Optional[str] = ..., outcome_answer: _Optional[str] = ..., stop_reason: _Optional[str] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[LoggedCandidate, _Mapping]]] = ..., trace: _Optional[str] = ..., value_microdollars: _Optional[float] = ..., arm: _Optional[str] = ...) -> None: ...

class ReportedReward(_message.Message):
    __slots__ = ("reward", "source", "report_time", "stage")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    reward: float
    source: RewardSource
    report_time: _timestamp_pb2.Timestamp
    stage: int
    def __init__(self, reward: _Optional[float] = ..., source: _Optional[_Union[RewardSource, str]] = ..., report_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stage: _Optional[int] = ...) -> None: ...
