"""What a call can end with, but for an answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"


class RheostatError(Exception):
    """The call failed. `code` is gRPC's, `reason` ours (such as BUDGET_EXHAUSTED; the code's name where the service said none).

    `retry_after` are seconds after which trying again may help, None where it does not; `violations` are pairs of a field and what is wrong with it.
    """

    def __init__(self, code: grpc.StatusCode, message: str, status: status_pb2.Status | None = None) -> None:
        self.code, self.message, self.reason = code, message, code.name
        self.metadata: dict[str, str] = {}
        self.retry_after: float | None = None
        self.violations: list[tuple[str, str]] = []
        for detail in status.details if status else ():
            self._take(detail)
        super().__init__(f"{self.reason}: {message}")

    def _take(self, detail: Any) -> None:  # noqa: ANN401 - google.protobuf.Any
        info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            self.reason, self.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            self.retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        elif detail.Unpack(bad):
            self.violations = [(one.field, one.description) for one in bad.field_violations]


@contextmanager
def explained() -> Iterator[None]:
    """Turns what gRPC raises into RheostatError."""
    try:
        yield
    except grpc.RpcError as failure:
        raise _error_of(failure) from failure


def _error_of(failure: Any) -> RheostatError:  # noqa: ANN401 - grpc.RpcError, which tells nothing, with the methods of a call
    """What a failed call means."""
    status = None
    for name, value in failure.trailing_metadata() or ():
        if name == _DETAILS:
            status = status_pb2.Status.FromString(value)
    return RheostatError(failure.code(), failure.details() or "", status)
