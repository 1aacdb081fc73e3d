from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from rheostat.v1 import query_pb2 as _query_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Price(_message.Message):
    __slots__ = ("prompt", "completion", "scored")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    SCORED_FIELD_NUMBER: _ClassVar[int]
    prompt: float
    completion: float
    scored: float
    def __init__(self, prompt: _Optional[float] = ..., completion: _Optional[float] = ..., scored: _Optional[float] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("id", "pool", "strategy", "options", "budget", "price", "helpers")
    class HelpersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Price
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Price, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    HELPERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    pool: str
    strategy: str
    options: _struct_pb2.Struct
    budget: _query_pb2.Budget
    price: Price
    helpers: _containers.MessageMap[str, Price]
    def __init__(self, id: _Optional[str] = ..., pool: _Optional[str] = ..., strategy: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., budget: _Optional[_Union[_query_pb2.Budget, _Mapping]] = ..., price: _Optional[_Union[Price, _Mapping]] = ..., helpers: _Optional[_Mapping[str, Price]] = ...) -> None: ...
