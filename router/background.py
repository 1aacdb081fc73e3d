"""Work that goes on while something is open."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_PATIENCE = 0.5  # seconds until who has not ended is told again


@asynccontextmanager
async def background(**work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks by name, cancelled at exit until each has ended, as a read from Redis may swallow a cancellation."""
    tasks = [asyncio.create_task(one, name=name) for name, one in work.items()]
    try:
        yield
    finally:
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_PATIENCE)
