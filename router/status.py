"""What went wrong as `google.rpc.Status`, with its details, and back."""

from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from router.errors import BudgetExhausted, InvalidQuery, InvalidTerms, RouterError, error_named
from router.redaction import masked

DOMAIN = "rheostat"
MOST_VIOLATIONS = 16  # trailers are small: more would make the client see another error than this one


def status_of(error: RouterError) -> status_pb2.Status:
    """ErrorInfo always; RetryInfo where trying again may help; QuotaFailure when it is about money; BadRequest when it is about fields."""
    metadata = {name: masked(value) for name, value in error.metadata.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if error.retry_after is not None:
        details.append(
            error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=round(error.retry_after % 1 * 1e9), seconds=int(error.retry_after)))
        )
    if isinstance(error, BudgetExhausted):
        subject = f"tenant:{error.metadata.get('tenant', '')}"
        details.append(
            error_details_pb2.QuotaFailure(violations=[error_details_pb2.QuotaFailure.Violation(subject=subject, description=error.message)])
        )
    if isinstance(error, InvalidTerms):
        details.append(_bad_request(error.violations))
    return _status(code_pb2.Code.Value(error.code), error.message, details)


def refusal(violations: Iterable[tuple[str, str]]) -> status_pb2.Status:
    """INVALID_ARGUMENT with a BadRequest that names the fields; `violations` are pairs of field path and description."""
    kept = list(violations)[:MOST_VIOLATIONS]
    info = error_details_pb2.ErrorInfo(reason=InvalidQuery.reason, domain=DOMAIN)
    message = "; ".join(f"{field}: {description}" for field, description in kept[:3])
    return _status(code_pb2.INVALID_ARGUMENT, message, [info, _bad_request(kept)])


def _bad_request(violations: Iterable[tuple[str, str]]) -> error_details_pb2.BadRequest:
    fields = [error_details_pb2.BadRequest.FieldViolation(field=field, description=told) for field, told in list(violations)[:MOST_VIOLATIONS]]
    return error_details_pb2.BadRequest(field_violations=fields)


def error_of(failure: grpc.aio.AioRpcError) -> RouterError | None:
    """The error that the other side's `status_of` told of; None when the status is not one of ours."""
    status = rpc_status.from_call(failure)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if not detail.Unpack(info):
            detail.Unpack(retry)
    if info.domain != DOMAIN:
        return None
    error = error_named(info.reason, failure.details() or "", **info.metadata)
    error.retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if retry.HasField("retry_delay") else None
    return error


def _status(code: int, message: str, details: Iterable[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=masked(message))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
