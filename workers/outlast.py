"""Waiting that cannot be cut short."""

import asyncio
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def outlast(work: "asyncio.Future[T]") -> None:
    """Wait for the end of `work` even when cancelled meanwhile; for a caller that is being cancelled, and will be once this returns."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    if not work.cancelled():
        work.exception()  # nobody is left to hear of it, and asyncio complains of errors that nobody looked at
