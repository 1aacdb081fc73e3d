from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnergySource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENERGY_SOURCE_UNSPECIFIED: _ClassVar[EnergySource]
    ENERGY_SOURCE_ESTIMATED: _ClassVar[EnergySource]
    ENERGY_SOURCE_MEASURED: _ClassVar[EnergySource]
ENERGY_SOURCE_UNSPECIFIED: EnergySource
ENERGY_SOURCE_ESTIMATED: EnergySource
ENERGY_SOURCE_MEASURED: EnergySource

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "kept_tokens", "discarded_tokens", "cancelled_tokens", "scored_tokens", "calls", "cost_microdollars", "seconds", "joules", "samples", "energy_source")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    KEPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SCORED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    JOULES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    ENERGY_SOURCE_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    kept_tokens: int
    discarded_tokens: int
    cancelled_tokens: int
    scored_tokens: int
    calls: int
    cost_microdollars: int
    seconds: float
    joules: float
    samples: int
    energy_source: EnergySource
    def __init__(self, prompt_tokens: _Optional[int] = ..., kept_tokens: _Optional[int] = ..., discarded_tokens: _Optional[int] = ..., cancelled_tokens: _Optional[int] = ..., scored_tokens: _Optional[int] = ..., calls: _Optional[int] = ..., cost_microdollars: _Optional[int] = ..., seconds: _Optional[float] = ..., joules: _Optional[float] = ..., samples: _Optional[int] = ..., energy_source: _Optional[_Union[EnergySource, str]] = ...) -> None: ...
