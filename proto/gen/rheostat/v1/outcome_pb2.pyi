from rheostat.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Finish(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_UNSPECIFIED: _ClassVar[Finish]
    FINISH_STOP: _ClassVar[Finish]
    FINISH_END: _ClassVar[Finish]
    FINISH_LENGTH: _ClassVar[Finish]
    FINISH_CANCELLED: _ClassVar[Finish]
    FINISH_HALTED: _ClassVar[Finish]

class Fate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FATE_UNSPECIFIED: _ClassVar[Fate]
    FATE_KEPT: _ClassVar[Fate]
    FATE_DISCARDED: _ClassVar[Fate]
    FATE_CANCELLED: _ClassVar[Fate]
FINISH_UNSPECIFIED: Finish
FINISH_STOP: Finish
FINISH_END: Finish
FINISH_LENGTH: Finish
FINISH_CANCELLED: Finish
FINISH_HALTED: Finish
FATE_UNSPECIFIED: Fate
FATE_KEPT: Fate
FATE_DISCARDED: Fate
FATE_CANCELLED: Fate

class Candidate(_message.Message):
    __slots__ = ("text", "answer", "finish", "tokens", "logprob", "score", "fate", "cost_microdollars")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    text: str
    answer: str
    finish: Finish
    tokens: int
    logprob: float
    score: float
    fate: Fate
    cost_microdollars: float
    def __init__(self, text: _Optional[str] = ..., answer: _Optional[str] = ..., finish: _Optional[_Union[Finish, str]] = ..., tokens: _Optional[int] = ..., logprob: _Optional[float] = ..., score: _Optional[float] = ..., fate: _Optional[_Union[Fate, str]] = ..., cost_microdollars: _Optional[float] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("plan", "answer", "text", "candidates", "usage", "stop_reason", "pool", "trace")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    plan: str
    answer: str
    text: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    usage: _usage_pb2.Usage
    stop_reason: str
    pool: str
    trace: str
    def __init__(self, plan: _Optional[str] = ..., answer: _Optional[str] = ..., text: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., stop_reason: _Optional[str] = ..., pool: _Optional[str] = ..., trace: _Optional[str] = ...) -> None: ...
