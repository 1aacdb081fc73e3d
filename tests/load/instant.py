"""A worker with the bundled pools' names whose models answer at once: what is left is the service's own time. Takes the address to listen on,
the seconds a sample takes, and how many are drawn at once."""

import asyncio
import sys
from dataclasses import dataclass, field

from router.interceptors import Interceptor
from router.ports import Spent
from router.settings import Settings
from router.telemetry import Telemetry
from router.turnstile import Turnstile
from router.types import Call, Finish, Query, Sample, Style
from tests.workers.toy import SKILLED
from workers.executor import LocalExecutor, Pool
from workers.server import WorkerServer


@dataclass
class Instant:
    """A backend that answers at once, or after `pace` seconds."""

    pace: float = 0.0
    capabilities: frozenset[str] = SKILLED
    style: Style = field(default_factory=Style)
    broken: bool = False

    def count(self, call: Call) -> int:
        return 10

    async def sample(self, call: Call, spent: Spent) -> Sample:
        spent.prompt, spent.completion = 10, 5
        if self.pace:
            await asyncio.sleep(self.pace)
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


async def serve(address: str, pace: float, slots: int) -> None:
    """Each pool draws `slots` samples at once; 0 is as many as are asked for."""
    pools = {
        name: Pool(backend=Instant(pace), verifier=Content(), model=name, turnstile=Turnstile(slots, 4_096) if slots else None)
        for name in Settings().worker.pools
    }
    server = WorkerServer(LocalExecutor(pools=pools), address, [Interceptor(Telemetry())])
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    where, pace, slots = (*sys.argv[1:], "0", "0")[:3]
    asyncio.run(serve(where, float(pace), int(slots)))
