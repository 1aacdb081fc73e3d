from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_SYSTEM: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_ASSISTANT: _ClassVar[Role]

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_FREE: _ClassVar[Task]
    TASK_MATH: _ClassVar[Task]
    TASK_CHOICE: _ClassVar[Task]
    TASK_CODE: _ClassVar[Task]
ROLE_UNSPECIFIED: Role
ROLE_SYSTEM: Role
ROLE_USER: Role
ROLE_ASSISTANT: Role
TASK_UNSPECIFIED: Task
TASK_FREE: Task
TASK_MATH: Task
TASK_CHOICE: Task
TASK_CODE: Task

class Message(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: Role
    content: str
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., content: _Optional[str] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("tokens", "cost_microdollars", "samples", "calls", "seconds")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    cost_microdollars: int
    samples: int
    calls: int
    seconds: float
    def __init__(self, tokens: _Optional[int] = ..., cost_microdollars: _Optional[int] = ..., samples: _Optional[int] = ..., calls: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class Knobs(_message.Message):
    __slots__ = ("value_microdollars", "abstain_below", "exploration", "max_stages", "plans", "policy", "cache", "seconds", "risk")
    VALUE_MICRODOLLARS_FIELD_NUMBER: _ClassVar[int]
    ABSTAIN_BELOW_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_FIELD_NUMBER: _ClassVar[int]
    MAX_STAGES_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    value_microdollars: float
    abstain_below: float
    exploration: float
    max_stages: int
    plans: _containers.RepeatedScalarFieldContainer[str]
    policy: str
    cache: bool
    seconds: float
    risk: float
    def __init__(self, value_microdollars: _Optional[float] = ..., abstain_below: _Optional[float] = ..., exploration: _Optional[float] = ..., max_stages: _Optional[int] = ..., plans: _Optional[_Iterable[str]] = ..., policy: _Optional[str] = ..., cache: _Optional[bool] = ..., seconds: _Optional[float] = ..., risk: _Optional[float] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("tenant", "id", "messages", "task", "budget", "knobs", "seed")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    task: Task
    budget: Budget
    knobs: Knobs
    seed: int
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., task: _Optional[_Union[Task, str]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., knobs: _Optional[_Union[Knobs, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...
