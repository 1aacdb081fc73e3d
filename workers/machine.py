"""The machine: runs a strategy's coroutine without an event loop, by asking for orders and telling their results.

A strategy reads like any asynchronous function, yet every step it takes is decided by the order in which results are told: the same results in the
same order give the same run. So the executor owns concurrency, and a recorded run replays offline (ask/tell as in treequest, Inoue et al. 2025,
arXiv 2503.04412, but for whole strategies).
"""

from collections import deque
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from router.errors import RouterError

T = TypeVar("T")
Strand = Coroutine[Any, Any, T]


class Order(Generic[T]):
    """Something that only the outside can give. Awaiting it in a strategy asks for it."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, T]:
        result: T = yield self
        return result


class Job:
    """One coroutine under way, and the crowd it belongs to."""

    __slots__ = ("coroutine", "crowd", "number", "place")

    def __init__(self, coroutine: Strand[Any], crowd: "Crowd[Any] | None", place: int) -> None:
        self.coroutine = coroutine
        self.crowd = crowd
        self.place = place
        self.number = -1  # of the order it waits for


class Crowd(Generic[T], AsyncIterator[tuple[int, T]]):
    """Jobs side by side, at most `width` at a time. Iterating gives (place, result) as they end; leaving the `with` block drops the others.

    A job that fails with a RouterError is left out; that error is raised at the end if no job succeeded. Any other error is raised at once.
    """

    def __init__(self, machine: "Machine", jobs: Iterable[Strand[T]], width: int = 0) -> None:
        self._machine = machine
        self._coming = iter(jobs)
        self._width = width
        self._begun = 0
        self._running: dict[Job, None] = {}
        self._ended: deque[tuple[int, T | Exception]] = deque()
        self._error: RouterError | None = None
        self._succeeded = False
        self.waiter: Job | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.drop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, T]:
        while self._ended or self._running:
            if not self._ended:
                await _Wait(self)
            place, result = self._ended.popleft()
            if not isinstance(result, Exception):
                self._succeeded = True
                return place, result
            if not isinstance(result, RouterError):
                raise result
            self._error = self._error or result
        if self._error and not self._succeeded:
            raise self._error
        raise StopAsyncIteration

    def drop(self) -> None:
        """Give up what is still running."""
        self._coming = iter(())
        for job in list(self._running):
            self._machine.drop(job)
        self._running.clear()

    def ended(self, job: Job, result: T | Exception) -> None:
        """One job's end; the machine says so."""
        self._running.pop(job, None)
        self._ended.append((job.place, result))
        self._start()

    def _start(self) -> None:
        while not self._width or len(self._running) < self._width:
            coroutine = next(self._coming, None)
            if coroutine is None:
                return
            job = Job(coroutine, self, self._begun)
            self._begun += 1
            self._running[job] = None
            self._machine.resume(job)


class _Wait(Order[None]):
    """Until a job of the crowd has ended; the machine knows it is not for the outside."""

    __slots__ = ("crowd",)

    def __init__(self, crowd: Crowd[Any]) -> None:
        self.crowd = crowd


class Machine:
    """Runs one coroutine, and whatever crowds it starts."""

    def __init__(self) -> None:
        self._ready: deque[tuple[Job, object]] = deque()
        self._waiting: dict[int, Job] = {}
        self._asked: list[tuple[int, Order[Any]]] = []
        self._dropped: list[int] = []
        self._count = 0
        self._main: Job | None = None
        self._result: object = None

    def start(self, coroutine: Strand[Any]) -> None:
        """The coroutine to run; once."""
        self._main = Job(coroutine, None, 0)
        self.resume(self._main)

    def ask(self) -> list[tuple[int, Order[Any]]]:
        """Run as far as possible; the orders that came up since the last time, numbered from 0 on. None are left when `finished`."""
        while self._ready:
            self._step(*self._ready.popleft())
        asked, self._asked = self._asked, []
        unheard = dict(asked)  # what is given up before anybody heard of it is no drop
        self._dropped = [number for number in self._dropped if number not in unheard]
        return [(number, order) for number, order in asked if number in self._waiting]

    def tell(self, number: int, result: object) -> bool:
        """The result of an order, or an Exception to be raised where it is awaited. False for one that was dropped meanwhile: it is ignored."""
        job = self._waiting.pop(number, None)
        if job is not None:
            self.resume(job, result)
        return job is not None

    def dropped(self) -> list[int]:
        """Orders given up since the last time: nobody waits for them any more."""
        dropped, self._dropped = self._dropped, []
        return dropped

    @property
    def finished(self) -> bool:
        """Whether the coroutine has ended."""
        return self._main is None

    def result(self) -> Any:  # noqa: ANN401 - whatever the coroutine gave
        """What the coroutine returned; raises what it raised."""
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def close(self) -> None:
        """End the coroutine where it stands, with all its crowds."""
        if self._main is not None:
            main, self._main = self._main, None
            self.drop(main)

    def resume(self, job: Job, value: object = None) -> None:
        """Let a job go on with a value, or with an Exception."""
        self._ready.append((job, value))

    def drop(self, job: Job) -> None:
        """Give one job up: its `finally` blocks run, and drop its own crowds in turn."""
        self._ready = deque(one for one in self._ready if one[0] is not job)
        if self._waiting.pop(job.number, None) is not None:
            self._dropped.append(job.number)
        job.coroutine.close()

    def _step(self, job: Job, value: object) -> None:
        try:
            awaited = job.coroutine.throw(value) if isinstance(value, Exception) else job.coroutine.send(value)
        except StopIteration as end:
            self._end(job, end.value)
            return
        except Exception as error:  # a job's error is its crowd's, or the run's
            self._end(job, error)
            return
        if isinstance(awaited, _Wait):
            awaited.crowd.waiter = job
            return
        job.number = self._count
        self._waiting[self._count] = job
        self._asked.append((self._count, awaited))
        self._count += 1

    def _end(self, job: Job, result: object) -> None:
        if job.crowd is None:
            self._main, self._result = None, result
            return
        job.crowd.ended(job, result)
        if (waiter := job.crowd.waiter) is not None:
            job.crowd.waiter = None
            self.resume(waiter)


async def together(crowd: Crowd[T]) -> list[T]:
    """The results of all jobs of a crowd that succeeded, in the order in which they were begun; raises an error of theirs if none did."""
    with crowd:
        found = [pair async for pair in crowd]
    return [result for _, result in sorted(found, key=lambda pair: pair[0])]
