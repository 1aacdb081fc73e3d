"""The application of deploy/ray with two more backends: one that takes its time and writes down what it spent, one that takes none."""

import os
from pathlib import Path
from typing import Any

from ray import serve

from router.on_ray import Worker
from router.ports import Spent
from router.settings import Settings
from router.types import Call, Sample
from tests.load.instant import Instant
from tests.workers.toy import Toy
from workers.backends import backends


@backends.register("toy")
class Slow(Toy):
    """Takes 20 ms a token. The file `spent` gets a line for every sample that has ended, however it ended: its tokens, and its process."""

    def __init__(self, spent: str) -> None:
        super().__init__(pace=0.02, even=True)
        self._spent = Path(spent)

    async def sample(self, call: Call, spent: Spent) -> Sample:
        try:
            return await super().sample(call, spent)
        finally:
            with self._spent.open("a") as file:
                file.write(f"{spent.prompt + spent.completion} {os.getpid()}\n")


@backends.register("instant")
class Quick(Instant):
    """Answers at once."""

    async def prepare(self) -> None: ...

    async def close(self) -> None: ...


class ToyWorker(Worker):
    """A replica whose process knows them."""


def application(args: dict[str, Any]) -> serve.Application:
    told = Settings(**args).model_dump_json(include={"worker", "plans"})
    return serve.deployment(name="worker")(ToyWorker).bind(told)
