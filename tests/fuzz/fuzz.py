"""Every call of every service of ours, with anything: whatever comes, the answer is a status with a reason, and the process lives."""

import pkgutil
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import grpc
import psutil
import rheostat.v1
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from tests.fuzz.messages import bodies, sensible

BUGS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"})
SLOW = frozenset({"EvaluatePolicy", "PreviewKnob"})  # each takes a process of its own for seconds
_CHUNK, _IN_FLIGHT, _PATIENCE = 2_500, 32, 3.0
_GROWTH = 150e6  # bytes that a server may come to hold more than when it was warm


def methods(service: str = "") -> dict[str, MethodDescriptor]:
    """Every method of every service of the contract, by its full path; of one service only, if given."""
    found = {}
    for module in pkgutil.iter_modules(rheostat.v1.__path__):
        if module.name.endswith("_service_pb2"):
            for one in import_module(f"rheostat.v1.{module.name}").DESCRIPTOR.services_by_name.values():
                found |= {f"/{one.full_name}/{method.name}": method for method in one.methods if service in ("", one.name)}
    return found


@dataclass
class Findings:
    """What came of the cases."""

    cases: int = 0
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)  # by method and code
    bugs: list[dict[str, str]] = field(default_factory=list)
    late: int = 0
    dead: bool = False
    megabytes: tuple[float, float] = (0.0, 0.0)  # when warm, and afterwards

    @property
    def sound(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.bugs and not self.dead and not self.late and (self.megabytes[1] - self.megabytes[0]) * 1e6 < _GROWTH

    def told(self) -> dict[str, object]:
        """For machines."""
        codes: dict[str, dict[str, int]] = {}
        for (method, code), count in sorted(self.codes.items()):
            codes.setdefault(method, {})[code] = count
        known = {"cases": self.cases, "codes": codes, "bugs": self.bugs[:20], "late": self.late, "dead": self.dead, "megabytes": self.megabytes}
        return known | {"sound": self.sound}


class Fuzzer:
    """Sends cases to one server, several at a time."""

    def __init__(
        self, address: str, process: psutil.Process, wanted: Mapping[str, MethodDescriptor], metadata: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        if any(name.endswith("/PlanQuery") for name in wanted):
            sensible(decision_id=(self._decided(metadata),))
        self._process = process
        self._metadata = metadata
        self._wanted = wanted
        self._calls = {name: self._caller(name, method) for name, method in wanted.items()}
        self._cases = st.one_of(*(st.tuples(st.just(name), bodies(method.input_type)) for name, method in wanted.items()))
        self._waiting: deque[tuple[str, bytes, float, object]] = deque()
        self.findings = Findings()

    def run(self, cases: int, number: int = 0) -> Findings:
        """So many cases from a seed; memory counts from when a tenth is done."""
        warm = 0.0
        for chunk in range(0, cases, _CHUNK):
            self._some(min(_CHUNK, cases - chunk), number + chunk)
            self._drain(0)
            warm = warm or self._megabytes()
            if self.findings.dead:
                break
        self.findings.megabytes = (warm, 0.0 if self.findings.dead else self._megabytes())
        self._channel.close()
        return self.findings

    def _decided(self, metadata: tuple[tuple[str, str], ...]) -> str:
        """A decision that there is, for the calls that want one."""
        query = query_pb2.Query(messages=[query_pb2.Message(content="What is 2 + 2?")])
        stub = RouterServiceStub(self._channel)
        return stub.PlanQuery(router_service_pb2.PlanQueryRequest(query=query), metadata=metadata, timeout=30).decision_id

    def _some(self, cases: int, number: int) -> None:
        @seed(number)
        @settings(
            max_examples=cases, database=None, deadline=None, derandomize=False, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(self._cases)
        def send(case: tuple[str, bytes]) -> None:
            self._send(*case)

        send()

    def _send(self, name: str, body: bytes) -> None:
        if name.rpartition("/")[2] in SLOW and self.findings.codes[name, "sent"] % 200:
            body = body[:-1] + b"\xff"  # mostly one that is refused at the door
        self.findings.codes[name, "sent"] += 1
        self.findings.cases += 1
        call = self._calls[name](body, timeout=_PATIENCE, metadata=self._metadata)
        self._waiting.append((name, body, time.monotonic(), call))
        self._drain(_IN_FLIGHT)

    def _drain(self, left: int) -> None:
        while len(self._waiting) > left:
            name, body, began, call = self._waiting.popleft()
            code, details = _ended(call, self._wanted[name].server_streaming)
            self.findings.codes[name, code] += 1
            if code in BUGS:
                self.findings.bugs.append({"method": name, "code": code, "details": details, "body": body.hex()[:2000]})
            if time.monotonic() - began > _PATIENCE + 2 * _IN_FLIGHT * 0.1 + 1:
                self.findings.late += 1
        if not self._waiting:
            self.findings.dead = self.findings.dead or not self._alive()

    def _alive(self) -> bool:
        try:
            told = health_pb2_grpc.HealthStub(self._channel).Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
        except grpc.RpcError:
            return False
        return told.status == health_pb2.HealthCheckResponse.SERVING and self._process.is_running()

    def _megabytes(self) -> float:
        return self._process.memory_info().rss / 1e6

    def _caller(self, name: str, method: MethodDescriptor) -> Callable[..., object]:
        if method.server_streaming:
            return self._channel.unary_stream(name)
        return self._channel.unary_unary(name).future


def _ended(call: object, streams: bool) -> tuple[str, str]:
    """Code and details, once a call is over."""
    try:
        for _ in call if streams else [call.result()]:
            pass
    except (grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError):
        pass
    return call.code().name, call.details() or ""
