"""A small server that speaks OpenAI's completions API: real HTTP and server-sent events, over loopback."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from workers.backends import backends


@dataclass
class Server:
    """Writes `words` one by one, each one token; `status`, `cut` and `garbage` are ways to fail."""

    words: tuple[str, ...] = ("3 + 4", " = 7\n", "Answer: 7")
    reason: str = "stop"
    pace: float = 0.0
    status: int = 200
    cut: int | None = None
    garbage: bool = False
    orders: list[dict] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            self.orders.append(json.loads(await reader.readexactly(length)))
            await self.reply(reader, writer)
        except ConnectionError:
            self.gone.set()
        finally:
            writer.close()

    async def reply(self, reader, writer):
        if self.status != 200:
            body = json.dumps({"error": {"message": "no such thing"}}).encode()
            writer.write(b"HTTP/1.1 %d No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (self.status, len(body)) + body)
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        order = self.orders[-1]
        running = order["stream_options"].get("continuous_usage_stats")
        words = self.words[: order["max_tokens"]]
        for count, word in enumerate(words[: self.cut], start=1):
            choice = {"index": 0, "text": word, "finish_reason": None, "logprobs": {"token_logprobs": [-0.5], "tokens": [word]}}
            self.send(writer, [choice], count if running else None)
            await writer.drain()
            if await self.hung_up(reader):
                return
        if self.garbage:
            writer.write(b"data: {not json\n\n")
        if self.cut is None:
            reason = "length" if len(words) == order["max_tokens"] else self.reason
            self.send(writer, [{"index": 0, "text": "", "finish_reason": reason, "logprobs": None}], None)
            self.send(writer, [], len(words) + (reason == "stop"))
            writer.write(b"data: [DONE]\n\n")

    async def hung_up(self, reader) -> bool:
        try:
            async with asyncio.timeout(self.pace or 0.0001):
                await reader.read(1)
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        self.gone.set()
        return True

    def send(self, writer, choices, completion):
        usage = None if completion is None else {"prompt_tokens": 11, "completion_tokens": completion, "total_tokens": 11 + completion}
        event = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
        writer.write(b"data: " + json.dumps(event).encode() + b"\n\n")


@asynccontextmanager
async def backend_of(server, **options):
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    backend = backends.build("openai", {"base_url": f"http://127.0.0.1:{port}/v1", "model": "m", **options})
    async with listener:
        yield backend
        await backend.close()
