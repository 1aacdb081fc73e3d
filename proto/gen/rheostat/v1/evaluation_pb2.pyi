from buf.validate import validate_pb2 as _validate_pb2
from rheostat.v1 import query_pb2 as _query_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvaluatePolicyRequest(_message.Message):
    __slots__ = ("tenant", "knobs", "decisions")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    knobs: _query_pb2.Knobs
    decisions: int
    def __init__(self, tenant: _Optional[str] = ..., knobs: _Optional[_Union[_query_pb2.Knobs, _Mapping]] = ..., decisions: _Optional[int] = ...) -> None: ...

class EvaluatePolicyResponse(_message.Message):
    __slots__ = ("policy", "predictor", "decisions", "estimates", "not_judged")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    NOT_JUDGED_FIELD_NUMBER: _ClassVar[int]
    policy: str
    predictor: str
    decisions: int
    estimates: _containers.RepeatedCompositeFieldContainer[PolicyEstimate]
    not_judged: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, policy: _Optional[str] = ..., predictor: _Optional[str] = ..., decisions: _Optional[int] = ..., estimates: _Optional[_Iterable[_Union[PolicyEstimate, _Mapping]]] = ..., not_judged: _Optional[_Iterable[str]] = ...) -> None: ...

class PreviewKnobRequest(_message.Message):
    __slots__ = ("tenant", "knob", "values", "knobs", "decisions")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KNOB_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    knob: str
    values: _containers.RepeatedScalarFieldContainer[float]
    knobs: _query_pb2.Knobs
    decisions: int
    def __init__(self, tenant: _Optional[str] = ..., knob: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ..., knobs: _Optional[_Union[_query_pb2.Knobs, _Mapping]] = ..., decisions: _Optional[int] = ...) -> None: ...

class PreviewKnobResponse(_message.Message):
    __slots__ = ("now", "points", "logged", "constants", "decisions")
    NOW_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    LOGGED_FIELD_NUMBER: _ClassVar[int]
    CONSTANTS_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    now: float
    points: _containers.RepeatedCompositeFieldContainer[KnobPoint]
    logged: PolicyEstimate
    constants: _containers.RepeatedCompositeFieldContainer[PolicyEstimate]
    decisions: int
    def __init__(self, now: _Optional[float] = ..., points: _Optional[_Iterable[_Union[KnobPoint, _Mapping]]] = ..., logged: _Optional[_Union[PolicyEstimate, _Mapping]] = ..., constants: _Optional[_Iterable[_Union[PolicyEstimate, _Mapping]]] = ..., decisions: _Optional[int] = ...) -> None: ...

class KnobPoint(_message.Message):
    __slots__ = ("at", "estimate")
    AT_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    at: float
    estimate: PolicyEstimate
    def __init__(self, at: _Optional[float] = ..., estimate: _Optional[_Union[PolicyEstimate, _Mapping]] = ...) -> None: ...

class Estimated(_message.Message):
    __slots__ = ("value", "low", "high")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class PolicyEstimate(_message.Message):
    __slots__ = ("name", "quality", "cost_microdollars", "net_microdollars", "ahead_microdollars", "effective_decisions", "refused", "modelled_quality", "modelled_cost_microdollars", "warnings", "seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    NET_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    AHEAD_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_DECISIONS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    MODELLED_QUALITY_FIELD_NUMBER: _ClassVar[int]
    MODELLED_COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    quality: Estimated
    cost_microdollars: Estimated
    net_microdollars: Estimated
    ahead_microdollars: Estimated
    effective_decisions: float
    refused: str
    modelled_quality: float
    modelled_cost_microdollars: float
    warnings: _containers.RepeatedScalarFieldContainer[str]
    seconds: Estimated
    def __init__(self, name: _Optional[str] = ..., quality: _Optional[_Union[Estimated, _Mapping]] = ..., cost_microdollars: _Optional[_Union[Estimated, _Mapping]] = ..., net_microdollars: _Optional[_Union[Estimated, _Mapping]] = ..., ahead_microdollars: _Optional[_Union[Estimated, _Mapping]] = ..., effective_decisions: _Optional[float] = ..., refused: _Optional[str] = ..., modelled_quality: _Optional[float] = ..., modelled_cost_microdollars: _Optional[float] = ..., warnings: _Optional[_Iterable[str]] = ..., seconds: _Optional[_Union[Estimated, _Mapping]] = ...) -> None: ...
