"""Every error that a caller can get, from the errors themselves."""

import inspect

from docs.generate.markdown import MADE, table
from router.errors import RouterError
from router.openai.failures import http_status
from router.terminal import exit_code

_HEAD = """# Errors

Over gRPC an error is a status with `google.rpc.ErrorInfo` among its details: domain `rheostat`, one of these reasons, and metadata.
Where trying again may help there is `google.rpc.RetryInfo`, where fields are wrong `google.rpc.BadRequest`. To OpenAI's clients the reason is
`error.code`. A command prints reason, message and next step, and [exits](commands.md#exit-codes) with the number in the last column.

"""


def page() -> str:
    """A line for each, those that can be mended by the caller first."""
    kinds = sorted(RouterError.__subclasses__(), key=lambda kind: (http_status(kind.code), kind.reason))
    return MADE + _HEAD + table(("reason", "gRPC", "HTTP", "what happened", "what to do", "exit"), map(_row, (*kinds, RouterError)))


def _row(kind: type[RouterError]) -> tuple[str, ...]:
    return f"`{kind.reason}`", f"`{kind.code}`", str(http_status(kind.code)), _first(kind), kind.remedy, str(exit_code(kind.code))


def _first(kind: type[RouterError]) -> str:
    """What happened. RouterError itself is what nobody has thought of."""
    return (inspect.getdoc(kind) or "") if kind is not RouterError else "Something that nobody has thought of; the service's log has it."
