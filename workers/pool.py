"""A pool: one model ready to be sampled from."""

from dataclasses import dataclass

from router.ports import Backend, Sandbox, Verifier
from router.turnstile import Turnstile
from workers.energy import UNKNOWN, Energy


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
