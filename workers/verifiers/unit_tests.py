"""Programs that must pass tests."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from router.ports import Sandbox, Spent
from router.types import Query
from workers.parts.programs import source
from workers.sandbox import ProcessSandbox
from workers.verifiers import verifiers


@verifiers.register("unit_tests")
@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTests:
    """The share of tests that a program passes. Each test runs after the program in a sandbox of its own, and passes if it ends without an error.

    `tests` maps a question to its tests, each a piece of Python such as `assert add(1, 2) == 3`; a question without tests scores 0. `seconds` and
    `megabytes` limit each run; at most `width` run at a time.
    """

    tests: Mapping[str, Sequence[str]]
    seconds: float = 5.0
    megabytes: int = 512
    width: int = 4
    steps: ClassVar[bool] = False
    _sandbox: Sandbox = field(init=False, repr=False, compare=False)
    _gate: asyncio.Semaphore = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sandbox", ProcessSandbox(seconds=self.seconds, megabytes=self.megabytes))
        object.__setattr__(self, "_gate", asyncio.Semaphore(self.width))

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """Nothing: no model reads them."""
        return 0

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """See `Verifier.score`."""
        tests = self.tests.get(query.text, ())
        async with asyncio.TaskGroup() as group:
            runs = [[group.create_task(self._passes(text, test)) for test in tests] for text in texts]
        return [sum(one.result() for one in each) / max(1, len(each)) for each in runs]

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _passes(self, text: str, test: str) -> bool:
        async with self._gate:
            run = await self._sandbox.run(f"{source(text)}\n{test}\nprint('passed, to the end')")
        return run.ending == "done" and run.output.endswith("passed, to the end\n")
