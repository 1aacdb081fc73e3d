from buf.validate import validate_pb2 as _validate_pb2
from rheostat.v1 import outcome_pb2 as _outcome_pb2
from rheostat.v1 import plan_pb2 as _plan_pb2
from rheostat.v1 import query_pb2 as _query_pb2
from rheostat.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecuteRequest(_message.Message):
    __slots__ = ("query_id", "messages", "task", "seed", "plan", "evidence", "budget", "traced", "tenant", "weight", "seconds", "execution_id")
    QUERY_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    TRACED_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    query_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_query_pb2.Message]
    task: _query_pb2.Task
    seed: int
    plan: _plan_pb2.Plan
    evidence: _containers.RepeatedCompositeFieldContainer[_outcome_pb2.Outcome]
    budget: _query_pb2.Budget
    traced: bool
    tenant: str
    weight: float
    seconds: float
    execution_id: str
    def __init__(self, query_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_query_pb2.Message, _Mapping]]] = ..., task: _Optional[_Union[_query_pb2.Task, str]] = ..., seed: _Optional[int] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., evidence: _Optional[_Iterable[_Union[_outcome_pb2.Outcome, _Mapping]]] = ..., budget: _Optional[_Union[_query_pb2.Budget, _Mapping]] = ..., traced: _Optional[bool] = ..., tenant: _Optional[str] = ..., weight: _Optional[float] = ..., seconds: _Optional[float] = ..., execution_id: _Optional[str] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("charge", "outcome")
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    charge: _usage_pb2.Usage
    outcome: _outcome_pb2.Outcome
    def __init__(self, charge: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., outcome: _Optional[_Union[_outcome_pb2.Outcome, _Mapping]] = ...) -> None: ...

class StopExecutionRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class StopExecutionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("pools", "strategies", "verifiers")
    POOLS_FIELD_NUMBER: _ClassVar[int]
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    VERIFIERS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    strategies: _containers.RepeatedScalarFieldContainer[str]
    verifiers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ..., strategies: _Optional[_Iterable[str]] = ..., verifiers: _Optional[_Iterable[str]] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("name", "model", "capabilities", "slots", "running", "waiting")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    slots: int
    running: int
    waiting: int
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., slots: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ...) -> None: ...
