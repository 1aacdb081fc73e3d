"""Several purchases side by side, where one that fails ends only itself; and waiting that cannot be cut short."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from router.errors import RouterError

T = TypeVar("T")


async def together(work: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Results of those that succeeded, in order; raises an error of theirs if none did. Cancelling this cancels all of them."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_attempt(one)) for one in work]
    ended = [task.result() for task in tasks]
    results = [one for one in ended if not isinstance(one, RouterError)]
    errors = [one for one in ended if isinstance(one, RouterError)]
    if errors and not results:
        raise errors[0]
    return results


async def outlast(work: "asyncio.Future[T]") -> None:
    """Wait for the end of `work` even when cancelled meanwhile; for a caller that is being cancelled, and will be once this returns."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    if not work.cancelled():
        work.exception()  # nobody is left to hear of it, and asyncio complains of errors that nobody looked at


async def _attempt(work: Callable[[], Awaitable[T]]) -> T | RouterError:
    try:
        return await work()
    except RouterError as error:
        return error
