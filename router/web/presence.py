"""Whether anybody waits for what is being done."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request

_Done = TypeVar("_Done")


class ClientGone(Exception):
    """Nobody is waiting any more."""


async def while_there(request: Request, work: Awaitable[_Done]) -> _Done:
    """What the work gives; raises ClientGone, and ends the work, where the client goes first."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        gone.cancel()
        working.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
