"""The sandbox: runs programs that models wrote in processes of their own that can harm nothing (see `jail`)."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from router.errors import BackendUnavailable
from router.types import Run

_JAIL = Path(__file__).with_name("jail.py")
_ENDINGS = {0: "done", 77: "memory", -signal.SIGXCPU: "time", -signal.SIGXFSZ: "output", -signal.SIGKILL: "time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSandbox:
    """A new Python process for every program: `seconds` of processor and of wall time, `megabytes` of memory, `characters` of output, no network,
    no other process, and no file but in a folder that is gone afterwards.
    """

    seconds: float = 5.0
    megabytes: int = 512
    characters: int = 10_000

    async def run(self, program: str) -> Run:
        """See `Sandbox.run`."""
        started = time.monotonic()
        with _folder() as folder:
            output, ending = await self._ran(program, folder)
        return Run(output=output, ending=ending, seconds=time.monotonic() - started)

    async def _ran(self, program: str, folder: str) -> tuple[str, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-B", str(_JAIL), folder, str(max(1, round(self.seconds))), str(self.megabytes)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise BackendUnavailable(f"no process can be started: {error}") from error
        try:
            async with asyncio.timeout(self.seconds + 1):
                return await self._heard(process, program)
        except TimeoutError:
            return "", "time"
        finally:
            _end(process)
            await process.wait()

    async def _heard(self, process: asyncio.subprocess.Process, program: str) -> tuple[str, str]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(program.encode(errors="replace"))
        process.stdin.close()
        heard = b""
        while len(heard) <= self.characters and (piece := await process.stdout.read(65_536)):
            heard += piece
        text = heard[: self.characters].decode(errors="replace")
        if len(heard) > self.characters:
            return text, "output"
        return text, _ENDINGS.get(await process.wait(), "error")


@contextmanager
def _folder() -> Iterator[str]:
    """A folder that the program may write in, whoever it runs as."""
    with tempfile.TemporaryDirectory(prefix="rheostat-run-", ignore_cleanup_errors=True) as folder:
        path = Path(folder).resolve()
        path.chmod(0o777)  # it holds nothing, and is gone in a moment
        yield str(path)


def _end(process: asyncio.subprocess.Process) -> None:
    """Whatever it started goes with it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
