"""A worker with the bundled pools' names whose models answer at once: what is left is the service's own time. Takes the address to listen on."""

import asyncio
import sys
from dataclasses import dataclass

from router.interceptors import Interceptor
from router.ports import Spent
from router.settings import Settings
from router.telemetry import Telemetry
from router.types import Call, Finish, Query, Sample, Style
from tests.workers.toy import SKILLED
from workers.executor import LocalExecutor, Pool
from workers.server import WorkerServer


class Instant:
    """A backend that answers at once."""

    capabilities = SKILLED
    style = Style()

    def count(self, call: Call) -> int:
        return 10

    async def sample(self, call: Call, spent: Spent) -> Sample:
        spent.prompt, spent.completion = 10, 5
        return Sample(text="Answer: 5", prompt_tokens=10, completion_tokens=5, finish=Finish.END, logprobs=(-0.1,) * 5)


@dataclass
class Content:
    """A verifier that likes everything."""

    steps: bool = True

    def count(self, query: Query, texts: list[str]) -> int:
        return len(texts)

    async def score(self, query: Query, texts: list[str], spent: Spent) -> list[float]:
        spent.prompt = len(texts)
        return [0.9] * len(texts)


async def serve(address: str) -> None:
    pools = {name: Pool(backend=Instant(), verifier=Content(), model=name) for name in Settings().worker.pools}
    server = WorkerServer(LocalExecutor(pools=pools), address, [Interceptor(Telemetry())])
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
