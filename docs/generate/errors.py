"""Every error that a caller can get, from the errors themselves."""

import inspect

from docs.generate.markdown import MADE, table
from router.errors import RouterError
from router.terminal import exit_code
from router.web.refusal import HTTP

_HEAD = """# Errors

Over gRPC an error is a status with `google.rpc.ErrorInfo` among its details: domain `rheostat`, one of these reasons, and metadata.
Where trying again may help there is `google.rpc.RetryInfo`, where fields are wrong `google.rpc.BadRequest`. To OpenAI's clients the reason is
`error.code`. A command prints reason, message and next step, and [exits](commands.md#exit-codes) with the number in the last column.

"""


def page() -> str:
    """A line for each, those that can be mended by the caller first."""
    kinds = sorted(RouterError.__subclasses__(), key=lambda kind: (HTTP.get(kind.code, 500), kind.reason))
    return MADE + _HEAD + table(("reason", "gRPC", "HTTP", "what happened", "what to do", "exit"), map(_row, (*kinds, RouterError)))


def _row(kind: type[RouterError]) -> tuple[str, ...]:
    return f"`{kind.reason}`", f"`{kind.code}`", str(HTTP.get(kind.code, 500)), _first(kind), kind.remedy, str(exit_code(kind.code))


def _first(kind: type[RouterError]) -> str:
    """What happened. RouterError itself is what nobody has thought of."""
    return (inspect.getdoc(kind) or "") if kind is not RouterError else "Something that nobody has thought of; the service's log has it."
