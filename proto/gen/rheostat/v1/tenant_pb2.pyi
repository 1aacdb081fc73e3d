import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Retention(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETENTION_UNSPECIFIED: _ClassVar[Retention]
    RETENTION_NONE: _ClassVar[Retention]
    RETENTION_HASH: _ClassVar[Retention]
    RETENTION_FULL: _ClassVar[Retention]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]

class CacheScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_SCOPE_UNSPECIFIED: _ClassVar[CacheScope]
    CACHE_SCOPE_TENANT: _ClassVar[CacheScope]
    CACHE_SCOPE_PUBLIC: _ClassVar[CacheScope]

class TenantSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENANT_SOURCE_UNSPECIFIED: _ClassVar[TenantSource]
    TENANT_SOURCE_FILE: _ClassVar[TenantSource]
    TENANT_SOURCE_STORED: _ClassVar[TenantSource]
RETENTION_UNSPECIFIED: Retention
RETENTION_NONE: Retention
RETENTION_HASH: Retention
RETENTION_FULL: Retention
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
CACHE_SCOPE_UNSPECIFIED: CacheScope
CACHE_SCOPE_TENANT: CacheScope
CACHE_SCOPE_PUBLIC: CacheScope
TENANT_SOURCE_UNSPECIFIED: TenantSource
TENANT_SOURCE_FILE: TenantSource
TENANT_SOURCE_STORED: TenantSource

class Tenant(_message.Message):
    __slots__ = ("name", "value_microdollars", "floor", "cap_microdollars", "window_seconds", "abstain_below", "risk", "seconds", "exploration", "max_stages", "plans", "policy", "cache", "per_minute_microdollars", "per_day_microdollars", "per_month_microdollars", "tokens_per_minute", "tokens_per_day", "tokens_per_month", "requests_per_minute", "concurrency", "priority", "cache_scope", "semantic_risk", "retention", "guard", "source", "create_time", "update_time", "etag")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    CAP_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ABSTAIN_BELOW_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_FIELD_NUMBER: _ClassVar[int]
    MAX_STAGES_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    PER_MINUTE_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    PER_DAY_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    PER_MONTH_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MONTH_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    CACHE_SCOPE_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_RISK_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    name: str
    value_microdollars: float
    floor: float
    cap_microdollars: int
    window_seconds: float
    abstain_below: float
    risk: float
    seconds: float
    exploration: float
    max_stages: int
    plans: _containers.RepeatedScalarFieldContainer[str]
    policy: str
    cache: bool
    per_minute_microdollars: int
    per_day_microdollars: int
    per_month_microdollars: int
    tokens_per_minute: int
    tokens_per_day: int
    tokens_per_month: int
    requests_per_minute: int
    concurrency: int
    priority: Priority
    cache_scope: CacheScope
    semantic_risk: float
    retention: Retention
    guard: bool
    source: TenantSource
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, name: _Optional[str] = ..., value_microdollars: _Optional[float] = ..., floor: _Optional[float] = ..., cap_microdollars: _Optional[int] = ..., window_seconds: _Optional[float] = ..., abstain_below: _Optional[float] = ..., risk: _Optional[float] = ..., seconds: _Optional[float] = ..., exploration: _Optional[float] = ..., max_stages: _Optional[int] = ..., plans: _Optional[_Iterable[str]] = ..., policy: _Optional[str] = ..., cache: _Optional[bool] = ..., per_minute_microdollars: _Optional[int] = ..., per_day_microdollars: _Optional[int] = ..., per_month_microdollars: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., tokens_per_day: _Optional[int] = ..., tokens_per_month: _Optional[int] = ..., requests_per_minute: _Optional[int] = ..., concurrency: _Optional[int] = ..., priority: _Optional[_Union[Priority, str]] = ..., cache_scope: _Optional[_Union[CacheScope, str]] = ..., semantic_risk: _Optional[float] = ..., retention: _Optional[_Union[Retention, str]] = ..., guard: _Optional[bool] = ..., source: _Optional[_Union[TenantSource, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class TenantChange(_message.Message):
    __slots__ = ("change_time", "actor", "tenant", "action", "fields")
    CHANGE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    change_time: _timestamp_pb2.Timestamp
    actor: str
    tenant: str
    action: str
    fields: _containers.RepeatedCompositeFieldContainer[FieldChange]
    def __init__(self, change_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., tenant: _Optional[str] = ..., action: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ...) -> None: ...

class FieldChange(_message.Message):
    __slots__ = ("field", "old", "new")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    field: str
    old: str
    new: str
    def __init__(self, field: _Optional[str] = ..., old: _Optional[str] = ..., new: _Optional[str] = ...) -> None: ...
