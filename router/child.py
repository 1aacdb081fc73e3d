"""Child processes of our own: started again when they die, ended with us."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger("rheostat.child")
_REST = 0.5  # seconds between a death and the next start


@asynccontextmanager
async def kept_running(name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> AsyncIterator[asyncio.Task[None]]:
    """The task that keeps the command running; it fails if the command cannot be started at all. At exit the child is asked to end, and awaited."""
    keeper = asyncio.create_task(_keep(name, command, env), name=f"keep-{name}")
    try:
        yield keeper
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper


async def _keep(name: str, command: Sequence[str], env: Mapping[str, str] | None) -> None:
    while True:
        # Its own session: Ctrl-C is for the router, which still needs its children while it drains.
        process = await asyncio.create_subprocess_exec(*command, env=env, start_new_session=True, stdout=asyncio.subprocess.DEVNULL)
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        log.error("child_died", child=name, returncode=process.returncode)
        await asyncio.sleep(_REST)
