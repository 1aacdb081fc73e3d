"""Where questions about policies and knobs are asked: one at a time, and answered in a process of its own."""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from router.errors import Overloaded, RouterError
from router.evaluation.question import MOST, Question, Return
from router.settings import CandidateSettings, Settings
from router.terms import TenantSettings

P = ParamSpec("P")
T = TypeVar("T")


def _answered(settings: Settings, question: Question) -> dict[str, Any]:
    """In the other process, which alone loads what answering takes."""
    from router.evaluation.run import answered  # noqa: PLC0415

    return answered(settings, question)


def _returns(settings: Settings, question: Question, since: float) -> list[Return]:
    """In the other process."""
    from router.evaluation.run import returns  # noqa: PLC0415

    return returns(settings, question, since)


def _end_with_the_router() -> None:
    """In the other process: a router that is killed closes nothing, and what waits for its next question would wait for ever."""
    router = multiprocessing.parent_process()
    assert router

    def wait() -> None:
        router.join()
        os._exit(1)

    threading.Thread(target=wait, name="router-watch", daemon=True).start()


class Desk:
    """Answers questions in a process of its own, one at a time, so that calls do not wait for the arithmetic. Close it when done.

    `settings` may be replaced at any time.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._busy = asyncio.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def offered(self) -> tuple[Collection[str], Collection[str]]:
        """Names of the plans and of the policies that there are."""
        return self.settings.plans, self.settings.policies

    def judge_for(self, terms: Mapping[str, TenantSettings]) -> None:
        """Have these tenants from now on."""
        self.settings = self.settings.model_copy(update={"tenants": terms})

    async def ask(self, tenant: str, knobs: dict[str, object], decisions: int = 0, **about: Any) -> dict[str, Any]:  # noqa: ANN401 - of a Question
        """Of this tenant's policy with other knobs, for a caller; raises Overloaded while anything else is being answered."""
        if self._busy.locked():
            raise Overloaded("another evaluation is under way: ask again when it is done")
        return await self.answer(Question(candidate=CandidateSettings(knobs=knobs), tenant=tenant, most=decisions or MOST, **about))

    async def answer(self, question: Question) -> dict[str, Any]:
        """As `run.answered`, when it is this question's turn."""
        return await self._done(_answered, question)

    async def returns(self, question: Question, since: float) -> list[Return]:
        """As `run.returns`, when it is this question's turn."""
        return await self._done(_returns, question, since)

    async def _done(self, work: Callable[Concatenate[Settings, P], T], *about: P.args, **named: P.kwargs) -> T:
        async with self._busy:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._process(), partial(work, self.settings, *about, **named))
            except BrokenProcessPool as error:
                self.close()
                raise RouterError(f"the evaluation's process ended: {error}") from error

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            spawning = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=spawning, initializer=_end_with_the_router, max_tasks_per_child=1)
        return self._pool

    def close(self) -> None:
        """End its process."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
