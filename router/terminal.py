"""What all commands share: consoles, options, settings, exit codes, and what is made of errors."""

import asyncio
import inspect
import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from typer.core import TyperGroup

from router.channel import Service
from router.errors import DeadlineExceeded, RouterError
from router.settings import Settings

EXITS = {
    0: "It was done.",
    1: "It was done, and the result is a no: `health` found nobody serving, `evaluate` a log that cannot tell.",
    2: "The words of the command are not in order.",
    3: "Not now: a service, a worker, Redis, storage or time is wanting. Trying again may help.",
    4: "Refused: credentials are missing, not good, or do not allow it.",
    5: "What was given is not in order: a question, a file, a setting.",
    6: "There is nothing of that name.",
    7: "Not as things stand: an artifact is damaged, a guarantee or a floor out of reach, a log too short, somebody else was first.",
    8: "A budget or a limit is used up.",
    9: "A bug of ours.",
    130: "It was interrupted (`serve` drains, and exits with 0).",
    143: "It was asked to end, by SIGTERM.",
}
"""What a command exits with, for scripts."""
SHORT = {
    0: "done",
    1: "the answer is no",
    2: "usage",
    3: "not now",
    4: "refused",
    5: "bad input",
    6: "no such name",
    7: "not as things stand",
    8: "used up",
    9: "a bug",
}
"""The same in few words."""
_CODES = {
    "UNAVAILABLE": 3,
    "DEADLINE_EXCEEDED": 3,
    "CANCELLED": 3,
    "UNAUTHENTICATED": 4,
    "PERMISSION_DENIED": 4,
    "INVALID_ARGUMENT": 5,
    "NOT_FOUND": 6,
    "FAILED_PRECONDITION": 7,
    "ALREADY_EXISTS": 7,
    "ABORTED": 7,
    "RESOURCE_EXHAUSTED": 8,
}
_CA = "PEM file of who signs the service's certificate; `system`: those this machine trusts. TLS is used with it."
_NOBODY = "`rheostat serve` starts a service; --address, or RHEOSTAT_ADDRESS, says where one is."
_REMEDIES = {"UNAVAILABLE": _NOBODY, "DEADLINE_EXCEEDED": DeadlineExceeded.remedy, "UNIMPLEMENTED": "The service is of another version."}
_SETTINGS = "Mend the file or the variable; `rheostat config check FILE` tries a file, docs/reference/settings.md has all settings."
_WORDS = "With --help the command says what it takes."
_JSON: ContextVar[bool] = ContextVar("json", default=False)
T = TypeVar("T")
_WIDE = None if sys.stdout.isatty() else 160  # columns, where nobody's terminal says
out, err = Console(width=_WIDE), Console(stderr=True, width=_WIDE)


def _note_json(wanted: bool) -> bool:
    """So that errors are JSON too."""
    _JSON.set(wanted)
    return wanted


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON; an error too, on standard error.", callback=_note_json, is_eager=True)]


def exit_code(code: str) -> int:
    """What a command exits with for an error of this gRPC code."""
    return _CODES.get(code, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a command says when it fails: a cause, and what to do about it."""

    reason: str
    code: str
    message: str
    next: str

    @classmethod
    def of(cls, error: RouterError) -> "Failure":
        """One of our own."""
        return cls(reason=error.reason, code=error.code, message=error.message, next=error.remedy)

    @classmethod
    def told(cls, failure: grpc.aio.AioRpcError) -> "Failure":
        """What a service refused; or nobody was there to refuse it."""
        from router.status import error_of  # noqa: PLC0415 - when something goes wrong only

        if error := error_of(failure):
            return cls.of(error)
        code = failure.code().name
        return cls(reason=code, code=code, message=failure.details() or "", next=_REMEDIES.get(code, RouterError.remedy))

    @classmethod
    def settings(cls, error: ValidationError) -> "Failure":
        """All that is wrong with them."""
        told = "\n".join(f"settings: {'.'.join(map(str, one['loc'])) or 'all'}: {one['msg']}" for one in error.errors())
        return cls(reason="INVALID_SETTINGS", code="INVALID_ARGUMENT", message=told, next=_SETTINGS)

    def show(self) -> int:
        """Print it on standard error; the exit code."""
        number = exit_code(self.code)
        if _JSON.get():
            print(json.dumps({"error": {**asdict(self), "exit": number}}), file=sys.stderr)
        else:
            err.print(f"[red]{self.reason}:[/red] ", end="")
            err.print(self.message, style="red", markup=False, highlight=False)
            err.print(f"Next: {self.next}", markup=False, highlight=False)
        return number


class Commands(TyperGroup):
    """A group of commands that tells of words that are not in order as JSON, where --json is among them."""

    def main(self, args: Sequence[str] | None = None, *words: Any, **given: Any) -> Any:  # noqa: ANN401 - as typer has it
        """Run one, and exit."""
        if "--json" not in (sys.argv[1:] if args is None else args):
            return super().main(args, *words, **given)
        try:
            sys.exit(super().main(args, **given | {"standalone_mode": False}) or 0)
        except typer.TyperException as error:
            told = {"reason": "USAGE", "code": "INVALID_ARGUMENT", "message": error.format_message(), "next": _WORDS, "exit": error.exit_code}
            print(json.dumps({"error": told}), file=sys.stderr)
            sys.exit(error.exit_code)


def _service(
    address: Annotated[str, typer.Option(help="gRPC address of a running service.", envvar="RHEOSTAT_ADDRESS")] = "127.0.0.1:50051",
    key: Annotated[str, typer.Option(help="API key or token to call with.", envvar="RHEOSTAT_KEY", show_default=False)] = "",
    ca: Annotated[str, typer.Option(help=_CA, envvar="RHEOSTAT_CA", show_default=False)] = "",
    cert: Annotated[Path | None, typer.Option(help="PEM file of a certificate to call with.", envvar="RHEOSTAT_CERT", exists=True)] = None,
    cert_key: Annotated[Path | None, typer.Option(help="PEM file of its key.", envvar="RHEOSTAT_CERT_KEY", exists=True)] = None,
) -> Service:
    """Which service a command calls, and as whom."""
    return Service(address=address, key=key, ca=ca, certificate=cert, certificate_key=cert_key)


def calling(command: Callable[..., None]) -> Callable[..., None]:
    """A command that calls a running service: for its argument `service`, it gets the options that say which, and as whom."""
    own, shared = inspect.signature(command).parameters, inspect.signature(_service).parameters

    @wraps(command)
    def called(**given: Any) -> None:  # noqa: ANN401 - whatever the options take
        service = _service(**{name: given.pop(name) for name in shared})
        command(service=service, **given)

    both = [one for name, one in own.items() if name != "service"] + list(shared.values())
    called.__signature__ = inspect.Signature([one.replace(kind=one.KEYWORD_ONLY) for one in both])  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in both}
    return called


def read_settings(**given: Any) -> Settings:  # noqa: ANN401 - whatever the settings take
    """Those in force; exits where they are not in order."""
    with explained():
        return Settings(**given)
    raise AssertionError("unreachable: what is explained exits")


@contextmanager
def explained() -> Iterator[None]:
    """Turns what a user can mend into a cause, a next step and the exit code for it."""
    try:
        yield
    except ValidationError as error:
        failure = Failure.settings(error)
    except RouterError as error:
        failure = Failure.of(error)
    except grpc.aio.AioRpcError as error:
        failure = Failure.told(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        code = "NOT_FOUND" if isinstance(error, FileNotFoundError) else "FAILED_PRECONDITION"
        failure = Failure(reason="FILE", code=code, message=str(error), next="Look whether the file or folder is there, and may be read or written.")
    except yaml.YAMLError as error:
        failure = Failure(reason="INVALID_SETTINGS", code="INVALID_ARGUMENT", message=f"this is no YAML: {error}", next=_SETTINGS)
    except ValueError as error:
        failure = Failure(reason="INVALID_INPUT", code="INVALID_ARGUMENT", message=str(error), next=_WORDS)
    else:
        return
    raise typer.Exit(failure.show())


def run(work: Coroutine[None, None, T]) -> T:
    """What it gives; exits where a user has something to mend."""
    with explained():
        return asyncio.run(work)
    raise AssertionError("unreachable: what is explained exits")
