"""A pool: one model ready to be sampled from."""

from dataclasses import dataclass

from router.ports import Backend, Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One model ready to be sampled from, with the verifier that scores what it writes.

    `joules_per_token` is an estimate: the power the machine draws at work, divided by the tokens per second it reads and writes.
    """

    backend: Backend
    verifier: Verifier | None = None
    joules_per_token: float = 0.0
    model: str = ""  # for telemetry and Describe

    @property
    def capabilities(self) -> frozenset[str]:
        """What strategies may need of it."""
        return self.backend.capabilities | ({"score"} if self.verifier else frozenset())

    async def close(self) -> None:
        """Close the backend and the verifier."""
        await self.backend.close()
        if self.verifier:
            await self.verifier.close()
