"""A pool: one model ready to be sampled from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from router.ports import Backend, Sandbox, Verifier
from router.turnstile import Turnstile
from workers.energy import UNKNOWN, Energy


@dataclass(slots=True)
class Outstanding:
    """Samples that are drawn or wait, and the tokens that they may read and write."""

    samples: int = 0
    tokens: int = 0

    @contextmanager
    def sample(self, tokens: int) -> Iterator[None]:
        """One more, of at most so many tokens, until exit."""
        self.samples, self.tokens = self.samples + 1, self.tokens + tokens
        try:
            yield
        finally:
            self.samples, self.tokens = self.samples - 1, self.tokens - tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One model ready to be sampled from, the verifier that scores what it writes, and the sandbox that runs its programs.

    `energy` tells what its tokens take.
    """

    backend: Backend
    verifier: Verifier | None = None
    sandbox: Sandbox | None = None
    energy: Energy = UNKNOWN
    model: str = ""  # for telemetry and Describe
    turnstile: Turnstile | None = None  # samples at once; None: as many as are asked for
    outstanding: Outstanding = field(default_factory=Outstanding)

    @property
    def capabilities(self) -> frozenset[str]:
        """What strategies may need of it."""
        verified = {"score", *(("steps",) if self.verifier.steps else ())} if self.verifier else set()
        return self.backend.capabilities | verified | ({"run"} if self.sandbox else set())

    @property
    def broken(self) -> bool:
        """Whether its backend has failed for good."""
        return self.backend.broken

    async def close(self) -> None:
        """Close the backend and the verifier."""
        await self.backend.close()
        if self.verifier:
            await self.verifier.close()
