from rheostat.v1 import decision_pb2 as _decision_pb2
from rheostat.v1 import outcome_pb2 as _outcome_pb2
from rheostat.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Ending(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDING_UNSPECIFIED: _ClassVar[Ending]
    ENDING_STOPPED: _ClassVar[Ending]
    ENDING_ABSTAINED: _ClassVar[Ending]
    ENDING_DEADLINE: _ClassVar[Ending]
    ENDING_BUDGET: _ClassVar[Ending]
    ENDING_STAGES: _ClassVar[Ending]
    ENDING_DEGRADED: _ClassVar[Ending]

class CacheHit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_HIT_UNSPECIFIED: _ClassVar[CacheHit]
    CACHE_HIT_EXACT: _ClassVar[CacheHit]
    CACHE_HIT_SEMANTIC: _ClassVar[CacheHit]
    CACHE_HIT_JOINED: _ClassVar[CacheHit]
    CACHE_HIT_REPEATED: _ClassVar[CacheHit]
ENDING_UNSPECIFIED: Ending
ENDING_STOPPED: Ending
ENDING_ABSTAINED: Ending
ENDING_DEADLINE: Ending
ENDING_BUDGET: Ending
ENDING_STAGES: Ending
ENDING_DEGRADED: Ending
CACHE_HIT_UNSPECIFIED: CacheHit
CACHE_HIT_EXACT: CacheHit
CACHE_HIT_SEMANTIC: CacheHit
CACHE_HIT_JOINED: CacheHit
CACHE_HIT_REPEATED: CacheHit

class Answer(_message.Message):
    __slots__ = ("text", "answer", "confidence", "plan")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    text: str
    answer: str
    confidence: float
    plan: str
    def __init__(self, text: _Optional[str] = ..., answer: _Optional[str] = ..., confidence: _Optional[float] = ..., plan: _Optional[str] = ...) -> None: ...

class StageUsage(_message.Message):
    __slots__ = ("plan", "usage")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    plan: str
    usage: _usage_pb2.Usage
    def __init__(self, plan: _Optional[str] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("usage", "stages", "cached", "cache_hit")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    usage: _usage_pb2.Usage
    stages: _containers.RepeatedCompositeFieldContainer[StageUsage]
    cached: bool
    cache_hit: CacheHit
    def __init__(self, usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[StageUsage, _Mapping]]] = ..., cached: _Optional[bool] = ..., cache_hit: _Optional[_Union[CacheHit, str]] = ...) -> None: ...

class StageEvent(_message.Message):
    __slots__ = ("decision_id", "index", "prediction", "decision", "outcome", "best")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    index: int
    prediction: _decision_pb2.Prediction
    decision: _decision_pb2.Decision
    outcome: _outcome_pb2.Outcome
    best: Answer
    def __init__(self, decision_id: _Optional[str] = ..., index: _Optional[int] = ..., prediction: _Optional[_Union[_decision_pb2.Prediction, _Mapping]] = ..., decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., outcome: _Optional[_Union[_outcome_pb2.Outcome, _Mapping]] = ..., best: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class FinalAnswer(_message.Message):
    __slots__ = ("decision_id", "answer", "receipt", "ending", "degraded")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    answer: Answer
    receipt: Receipt
    ending: Ending
    degraded: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, decision_id: _Optional[str] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., ending: _Optional[_Union[Ending, str]] = ..., degraded: _Optional[_Iterable[str]] = ...) -> None: ...
