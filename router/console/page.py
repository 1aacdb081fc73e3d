"""The console's page: files that the build has written, served as they are."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

ASSETS = Path(__file__).parent / "assets"
_SAFE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
"""Nothing comes from elsewhere, and nothing is sent there."""


class _Files(StaticFiles):
    """The page itself is asked for again each time; the rest has names that change with what is in it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        found = await super().get_response(path, scope)
        page = found.headers.get("content-type", "").startswith("text/html")
        found.headers.update(_SAFE | {"cache-control": "no-cache" if page else "public, max-age=31536000, immutable"})
        return found


def routes() -> list[BaseRoute]:
    """Under `/console/`; the root leads there."""
    return [Route("/", _home), Route("/console", _home), Mount("/console", _Files(directory=ASSETS, html=True))]


async def _home(_: Request) -> Response:
    return RedirectResponse("/console/")
