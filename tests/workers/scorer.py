"""A small reward-model server: real HTTP over loopback."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Scorer:
    """Scores a text by how full of digits it is; `status` and `reply` are ways to fail."""

    status: int = 200
    reply: object = None
    orders: list[dict] = field(default_factory=list)

    def answer(self, order):
        if self.reply is not None:
            return self.reply
        texts = order.get("texts", order.get("input"))
        scores = [sum(letter.isdigit() for letter in text) / max(1, len(text)) for text in texts]
        if "input" in order:
            return {"data": [{"index": place, "data": [0.0, score]} for place, score in enumerate(scores)]}
        if order["query"].startswith("rank"):
            return [{"index": place, "score": score} for place, score in sorted(enumerate(scores), key=lambda pair: -pair[1])]
        return {"scores": scores}

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        self.orders.append(json.loads(await reader.readexactly(length)) | {"head": head})
        body = json.dumps(self.answer(self.orders[-1])).encode()
        kind = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        writer.write(kind % (self.status, len(body)) + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def served(scorer):
    """Its URL."""
    listener = await asyncio.start_server(scorer.serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/score"
