"""A small server of embeddings: real HTTP over loopback, from a thread of its own."""

import json
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DIM = 8


@dataclass
class Embedder:
    """Gives each text a direction of its own, last text first; `status`, `reply` and `pause` are ways to fail."""

    status: int = 200
    reply: object = None
    pause: float = 0.0
    orders: list[dict] = field(default_factory=list)

    def answer(self, order):
        if self.reply is not None:
            return self.reply
        rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIM).tolist() for text in order["input"]]
        return {"object": "list", "data": [{"index": place, "embedding": row} for place, row in enumerate(rows)][::-1]}


@contextmanager
def served(embedder):
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            order = json.loads(self.rfile.read(int(self.headers["content-length"])))
            embedder.orders.append(order | {"path": self.path, "authorization": self.headers["authorization"]})
            time.sleep(embedder.pause)
            body = json.dumps(embedder.answer(order)).encode()
            self.send_response(embedder.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()
