"""Which names this server answers to: pages of other sites cannot have a browser ask by a name of theirs that leads here."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from router.openai import failures

OURS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Hosts:
    """An application behind these names; none: behind any."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or not self._names or _name(request := Request(scope)) in self._names:
            return await self._app(scope, receive, send)
        refused = HTTPException(403, "without credentials this service answers to the names of its own machine only")
        response = await failures.on_http_error(request, refused)
        return await response(scope, receive, send)


def _name(request: Request) -> str:
    host, colon, port = request.headers.get("host", "").rpartition(":")
    return host if port.isdigit() else f"{host}{colon}{port}"
