"""A link: a stretch of network of our own, that can be cut, stopped up and slowed down."""

import asyncio
from contextlib import suppress


class Link:
    """Passes bytes between whoever connects to `port` on loopback and a Unix socket or a port, as its state allows."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._clear = asyncio.Event()
        self._clear.set()
        self._refuses = False
        self.delay = 0.0
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_up(self) -> None:
        """Let nothing through; connections stay, as when a cable is pulled."""
        self._clear.clear()

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self._refuses = True
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        """As new."""
        self._refuses, self.delay = False, 0.0
        self._clear.set()

    async def close(self) -> None:
        self.mend()
        self.cut()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refuses:
                return
            there, back = await self._reach()
            self._open |= {writer, back}
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer), return_exceptions=True)
            self._open -= {writer, back}
            back.close()
        except OSError:
            pass  # nobody is there: it is as if the other side had refused
        finally:
            writer.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.startswith("unix:"):
            return await asyncio.open_unix_connection(self._target.removeprefix("unix:"))
        host, _, port = self._target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._clear.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.close()
