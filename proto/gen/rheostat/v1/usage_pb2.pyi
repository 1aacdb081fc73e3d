from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "kept_tokens", "discarded_tokens", "cancelled_tokens", "scored_tokens", "calls", "cost_microdollars", "seconds", "joules", "samples")
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
    def __init__(self, prompt_tokens: _Optional[int] = ..., kept_tokens: _Optional[int] = ..., discarded_tokens: _Optional[int] = ..., cancelled_tokens: _Optional[int] = ..., scored_tokens: _Optional[int] = ..., calls: _Optional[int] = ..., cost_microdollars: _Optional[int] = ..., seconds: _Optional[float] = ..., joules: _Optional[float] = ..., samples: _Optional[int] = ...) -> None: ...
