"""What all commands share: consoles, options, settings, and what is made of errors."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from pydantic import ValidationError
from rich.console import Console

from router.channel import Service
from router.errors import RouterError
from router.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_CA = "PEM file of who signs the service's certificate; `system`: those this machine trusts. TLS is used with it."
T = TypeVar("T")
_WIDE = None if sys.stdout.isatty() else 160  # columns, where nobody's terminal says
out, err = Console(width=_WIDE), Console(stderr=True, width=_WIDE)


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
    """Turns what a user can mend into one line and exit code 1."""
    try:
        yield
    except ValidationError as error:
        for one in error.errors():
            err.print(f"[red]settings: {'.'.join(map(str, one['loc'])) or 'all'}: {one['msg']}[/red]")
    except RouterError as error:
        err.print(f"[red]{error.reason}: {error.message}[/red]")
    except grpc.aio.AioRpcError as error:
        err.print(f"[red]{error.code().name}: {error.details()}[/red]")
    except (FileNotFoundError, ValueError) as error:
        err.print(f"[red]{error}[/red]")
    else:
        return
    raise typer.Exit(1)


def run(work: Coroutine[None, None, T]) -> T:
    """What it gives; exits where a user has something to mend."""
    with explained():
        return asyncio.run(work)
    raise AssertionError("unreachable: what is explained exits")
