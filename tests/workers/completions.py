"""A small server that speaks OpenAI's completions and chat APIs: real HTTP and server-sent events, over loopback."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle

from workers.backends import backends


@dataclass
class Server:
    """Writes `words` one by one, each one token; `status` (for the first `failures` orders), `cut`, `garbage` and `endless` are ways to fail.

    It heeds stop strings, suppressed words, a prompt's continuation and the number of likeliest tokens, but for what it `ignores`.
    """

    words: tuple[str, ...] = ("3 + 4", " = 7\n", "Answer: 7")
    reason: str = "stop"
    pace: float = 0.0
    status: int = 200
    cut: int | None = None
    garbage: bytes = b""
    failures: int = 1_000
    endless: bool = False
    ignores: frozenset[str] = frozenset()
    orders: list[dict] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            self.orders.append(json.loads(await reader.readexactly(length)) | {"path": head.split()[1], "traceparent": headers.get("traceparent")})
            await self.reply(reader, writer)
        except ConnectionError:
            self.gone.set()
        finally:
            writer.close()

    async def reply(self, reader, writer):
        if self.status != 200 and len(self.orders) <= self.failures:
            body = json.dumps({"error": {"message": "no such thing"}}).encode()
            writer.write(b"HTTP/1.1 %d No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (self.status, len(body)) + body)
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        order = self.orders[-1]
        running = order["stream_options"].get("continuous_usage_stats")
        whole = self.solution(order)
        words = whole if self.endless else whole[: order["max_tokens"]]
        for count, word in enumerate(cycle(words) if self.endless else words[: self.cut], start=1):
            self.send(writer, [self.choice(order, word)], count if running else None)
            await writer.drain()
            if await self.hung_up(reader):
                return
        if self.garbage:
            writer.write(b"data: " + self.garbage + b"\n\n")
        if self.cut is None:
            reason = "length" if len(words) == order["max_tokens"] else self.reason
            self.send(writer, [self.choice(order, "", reason)], None)
            self.send(writer, [], len(words) + (reason == "stop"))
            writer.write(b"data: [DONE]\n\n")

    def solution(self, order) -> list[str]:
        """The words that are still to be written."""
        words, prompt = list(self.words), order.get("prompt") or ""
        if "messages" in order and order["messages"][-1]["role"] == "assistant":
            prompt = order["messages"][-1]["content"]
        written = max((count for count in range(1, len(words)) if prompt.endswith("".join(words[:count]))), default=0)
        words = words if "prefix" in self.ignores else words[written:]
        if "suppress" not in self.ignores:
            words = [word for word in words if word.strip() not in order.get("bad_words", ())]
        for place, word in enumerate(words):
            if "stop" not in self.ignores and any(stop in word for stop in order.get("stop") or ()):
                cut = min(word.index(stop) + len(stop) for stop in order["stop"] if stop in word)
                return [*words[:place], word[:cut]]
        return words

    def choice(self, order, word, reason=None):
        """One piece of either API."""
        top = 0 if "top_logprobs" in self.ignores else order.get("top_logprobs", order.get("logprobs"))
        likely = {word: -0.5} | {f"{word}{place}": -1.0 - place for place in range(top)}
        told = bool(word) and "logprobs" not in self.ignores
        if "prompt" in order:
            rows = {"token_logprobs": [-0.5], "tokens": [word], "top_logprobs": [likely] if top else None}
            return {"index": 0, "text": word, "finish_reason": reason, "logprobs": rows if told else None}
        tops = [{"token": token, "logprob": value, "bytes": None} for token, value in likely.items()][:top]
        rows = {"content": [{"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": tops}]}
        return {"index": 0, "delta": {"content": word}, "finish_reason": reason, "logprobs": rows if told else None}

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
        chat = "chat" in self.orders[-1]["path"]
        event = {
            "id": "c",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": 1,
            "model": "m",
            "choices": choices,
            "usage": usage,
        }
        writer.write(b"data: " + json.dumps(event).encode() + b"\n\n")


@asynccontextmanager
async def backend_of(server, **options):
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    backend = backends.build("openai", {"base_url": f"http://127.0.0.1:{port}/v1", "model": "m", "retries": 0, **options})
    async with listener:
        yield backend
        await backend.close()
