from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_BUY: _ClassVar[Action]
    ACTION_STOP: _ClassVar[Action]
    ACTION_ABSTAIN: _ClassVar[Action]
ACTION_UNSPECIFIED: Action
ACTION_BUY: Action
ACTION_STOP: Action
ACTION_ABSTAIN: Action

class Forecast(_message.Message):
    __slots__ = ("plan", "success", "low", "high", "tokens", "cost_microdollars", "seconds", "tokens_high", "seconds_high")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_HIGH_FIELD_NUMBER: _ClassVar[int]
    SECONDS_HIGH_FIELD_NUMBER: _ClassVar[int]
    plan: str
    success: float
    low: float
    high: float
    tokens: float
    cost_microdollars: float
    seconds: float
    tokens_high: float
    seconds_high: float
    def __init__(self, plan: _Optional[str] = ..., success: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., tokens: _Optional[float] = ..., cost_microdollars: _Optional[float] = ..., seconds: _Optional[float] = ..., tokens_high: _Optional[float] = ..., seconds_high: _Optional[float] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("in_hand", "forecasts", "version", "novelty")
    IN_HAND_FIELD_NUMBER: _ClassVar[int]
    FORECASTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NOVELTY_FIELD_NUMBER: _ClassVar[int]
    in_hand: float
    forecasts: _containers.RepeatedCompositeFieldContainer[Forecast]
    version: str
    novelty: float
    def __init__(self, in_hand: _Optional[float] = ..., forecasts: _Optional[_Iterable[_Union[Forecast, _Mapping]]] = ..., version: _Optional[str] = ..., novelty: _Optional[float] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("action", "plan", "propensity", "scores", "explored", "policy", "reason")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    action: Action
    plan: str
    propensity: float
    scores: _containers.ScalarMap[str, float]
    explored: bool
    policy: str
    reason: str
    def __init__(self, action: _Optional[_Union[Action, str]] = ..., plan: _Optional[str] = ..., propensity: _Optional[float] = ..., scores: _Optional[_Mapping[str, float]] = ..., explored: _Optional[bool] = ..., policy: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Curve(_message.Message):
    __slots__ = ("plan", "success", "saturation")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    SATURATION_FIELD_NUMBER: _ClassVar[int]
    plan: str
    success: _containers.RepeatedScalarFieldContainer[float]
    saturation: int
    def __init__(self, plan: _Optional[str] = ..., success: _Optional[_Iterable[float]] = ..., saturation: _Optional[int] = ...) -> None: ...
