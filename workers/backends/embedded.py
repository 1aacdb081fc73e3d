"""A bundled reasoner, decoded in this process."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.types import Call, Finish, Sample, Style, Vector
from workers.backends import backends
from workers.outlast import outlast
from workers.prompts import bundled
from workers.reasoner.prompt import skills_of

if TYPE_CHECKING:
    from workers.reasoner.engine import Generation, Ticket, Wish

_ABLE = frozenset({"prefix", "stop", "logprobs", "top_logprobs", "pieces", "suppress", "halt", "hidden", "cancel"})


@backends.register("embedded")
class Embedded:
    """One of the bundled reasoners (a folder with a Hugging Face Llama), on a torch `device`; `slots` samples are decoded at a time."""

    style = Style()

    def __init__(self, *, directory: str | Path, slots: int = 64, device: str = "cpu") -> None:
        from workers.reasoner.engine import Engine  # noqa: PLC0415 - torch is not in the base install

        try:
            self._engine = Engine(Path(directory), slots=slots, device=device)
        except (RuntimeError, AssertionError) as error:  # torch raises either
            raise BackendUnavailable(f"the device {device!r} cannot be used: {error}") from error
        self.capabilities = _ABLE | {f"skill:{name}" for name in skills_of(Path(directory))}

    @property
    def broken(self) -> bool:
        """Whether the engine's thread has died."""
        return not self._engine.alive

    async def prepare(self) -> None:
        """The model was loaded when this was made."""

    def count(self, call: Call) -> int:
        """Exact."""
        return self._engine.count(bundled(call)) + (self._engine.count(call.prefix) if call.prefix else 0)

    async def sample(self, call: Call, spent: Spent) -> Sample:
        """See `Backend.sample`. A cancelled sample stops before its next token, and this waits for that: what it wrote is then known."""
        started = time.monotonic()
        done: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        ticket = self._submit(call, done)
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            self._engine.cancel(ticket)
            await outlast(done)  # one decoding step
            _note(done.result(), spent)
            raise
        generation = done.result()
        _note(generation, spent)
        if generation.finish is Finish.CANCELLED:
            raise BackendUnavailable("the engine was closed")
        return Sample(
            text=generation.text,
            prompt_tokens=spent.prompt,
            completion_tokens=spent.completion,
            finish=generation.finish,
            logprobs=generation.logprobs,
            seconds=time.monotonic() - started,
            top_logprobs=generation.top_logprobs,
            pieces=generation.pieces,
            drawn_logprobs=generation.drawn_logprobs,
        )

    async def hidden(self, call: Call, spent: Spent) -> Vector:
        """See `Backend.hidden`."""
        try:
            state, spent.prompt = await asyncio.to_thread(self._engine.hidden, bundled(call), call.prefix)
        except RuntimeError as error:
            raise BackendUnavailable(str(error)) from error
        return np.array(state, np.float32)

    async def close(self) -> None:
        """End the engine's thread."""
        await asyncio.to_thread(self._engine.close)

    def _wish(self, call: Call) -> "Wish":
        from workers.reasoner.engine import Wish  # noqa: PLC0415 - torch is not in the base install

        return Wish(**{name: getattr(call, name) for name in Wish.__dataclass_fields__})

    def _submit(self, call: Call, done: "asyncio.Future[Generation]") -> "Ticket":
        def deliver(generation: "Generation") -> None:
            done.get_loop().call_soon_threadsafe(done.set_result, generation)

        try:
            return self._engine.submit(bundled(call), call.prefix, wish=self._wish(call), on_done=deliver)
        except ValueError as error:
            raise InvalidQuery(str(error)) from error
        except RuntimeError as error:
            raise BackendUnavailable(str(error)) from error


def _note(generation: "Generation", spent: Spent) -> None:
    """A sample that never left the queue has read nothing: reading the prompt gives the first token."""
    spent.completion = generation.tokens
    spent.prompt = generation.prompt_tokens if generation.tokens else 0
