"""The seams. Each contract stands in its docstring; the family's conformance test in `tests/contract` holds every plug-in to it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from router.types import (
    Answer,
    Budget,
    Call,
    Candidate,
    Decision,
    Evidence,
    Features,
    Knobs,
    Outcome,
    Plan,
    Prediction,
    Query,
    Record,
    Sample,
    Score,
    Usage,
    Vector,
)


class Encoder(Protocol):
    """Text to vector. Pure; rows of unit length in the order given, shape (texts, dim); an empty text gives zeros."""

    @property
    def dim(self) -> int:
        """Width of a row."""

    @property
    def version(self) -> str:
        """Changes whenever the same text may give another vector."""

    def encode(self, texts: Sequence[str]) -> Vector:
        """Encode; never raises on any text."""


class Describer(Protocol):
    """Query to features: an encoder's vector and cheap features together."""

    def describe(self, query: Query) -> Features:
        """Pure and quick; never raises on any text."""


class Predictor(Protocol):
    """Query and evidence to forecasts. Pure and quick (well under a millisecond); never raises on finite features."""

    @property
    def version(self) -> str:
        """Names the fitted artifact."""

    def predict(self, features: Features, evidence: Evidence, plans: Sequence[Plan]) -> Prediction:
        """One forecast per plan, in order; buying never makes the forecast worse than the answer in hand."""

    def best(self, features: Features, evidence: Evidence) -> Answer | None:
        """The answer most likely right among all that the evidence holds; None when none could be read."""


class Policy(Protocol):
    """Forecasts to a choice. Pure given the generator: same arguments and same generator state, same decision.

    `Decision.propensity` is exact: the probability, over the generator, that this action is chosen for these arguments. Only plans whose
    worst case fits `budget` are offered by the pipeline; with no plan offered the choice is Stop or Abstain.
    """

    @property
    def version(self) -> str:
        """Names the policy and its parameters."""

    def decide(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs, rng: np.random.Generator) -> Decision:
        """Buy one of `plans`, Stop (needs an answer in hand) or Abstain."""


@dataclass(slots=True, kw_only=True)
class Spent:
    """One sample's tokens so far. The backend writes it, the executor charges it: a cancelled or failed sample is charged like any other."""

    prompt: int = 0
    completion: int = 0


class Backend(Protocol):
    """Sells one sample. Cancelling the awaiting task stops the generation; raises RouterError only."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do beyond plain sampling: `prefix` (continue a text), `stop` (stop strings, kept in the text), `logprobs`."""

    def count(self, call: Call) -> int:
        """The most prompt tokens, prefix included, that this call may be charged."""

    async def sample(self, call: Call, spent: Spent) -> Sample:
        """Draw one sample; `text` excludes the prefix and includes a stop string that was met. `spent` is right when this ends, however it ends."""

    async def close(self) -> None:
        """Let go of threads and connections."""


class Verifier(Protocol):
    """Scores candidates or prefixes, each in [0, 1], higher is better. Cancellable; raises RouterError only."""

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """The most tokens that scoring these texts may read."""

    async def score(self, query: Query, texts: Sequence[str]) -> Sequence[Score]:
        """One score per text, in order."""

    async def close(self) -> None:
        """Let go of threads and connections."""


class Tools(Protocol):
    """A strategy's whole world. Budget, deadline, metering and cancellation are enforced here, never in a strategy."""

    @property
    def rng(self) -> np.random.Generator:
        """The generator of this execution alone."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Every candidate kept so far, those that this same plan gave at earlier stages first; each has its text's score, if it was scored."""

    async def sample(
        self,
        query: Query,
        *,
        prefix: str = "",
        stop: Sequence[str] = (),
        temperature: float = 0.8,
        max_tokens: int = 256,
        skill: str = "solve",
    ) -> Sample:
        """Buy one sample. Cuts `max_tokens` to what the budget still pays for; raises BudgetExhausted when that is nothing."""

    async def score(self, query: Query, texts: Sequence[str]) -> Sequence[float]:
        """Score texts with the pool's verifier; charged."""

    def keep(self, query: Query, samples: Sequence[Sample]) -> None:
        """Report one attempt, written by these samples one after the other: it is in the outcome even if the strategy is then cut short."""


class Strategy(Protocol):
    """An inference-time strategy: constructor arguments are its hyper-parameters, state lives in `run` alone.

    BudgetExhausted may simply pass through `run`, and the deadline cancels it: the executor then chooses from what was kept.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities of the pool's backend, and `score` where it needs a verifier."""

    async def run(self, query: Query, tools: Tools) -> str:
        """Spend through `tools` until satisfied; the reason for stopping."""

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Index of the answer to give, None when none can be read. Pure, and blind to the candidates' order."""


class Executor(Protocol):
    """Runs one plan. Cancelling the awaiting task cancels every outstanding sample, and what they had spent is still reported to `meter`."""

    async def execute(self, query: Query, plan: Plan, evidence: Evidence, budget: Budget, meter: "Meter") -> Outcome:
        """The outcome, also when budget or deadline cut it short; raises BackendUnavailable when nothing could be run."""


class Meter(Protocol):
    """Receives what is spent while it is spent, so that a cut-off execution is charged as well. The charges add up to the outcome's usage."""

    def charge(self, usage: Usage) -> None:
        """Add to what this stage has spent. The last charge may move tokens from kept to discarded: a negative count there is in order."""


class Journal(Protocol):
    """The decision log. A returned `write` means the rows are on disk; ids make rewriting harmless."""

    async def write(self, records: Sequence[Record]) -> None:
        """Durably append; raises JournalUnavailable when that is not possible."""

    def read(self, decision_id: str) -> AsyncIterator[Record]:
        """Rows of one decision, oldest first."""


class Ledger(Protocol):
    """Who may spend what. Atomic across processes."""

    @property
    def degraded(self) -> bool:
        """True while it works on its own, cut off from the other processes."""

    async def reserve(self, tenant: str, hold_id: str, cost: int, ttl: float) -> None:
        """Hold the worst case, in micro-dollars; raises BudgetExhausted. Repeating a hold id changes nothing."""

    async def settle(self, tenant: str, hold_id: str, cost: int) -> None:
        """Turn a hold into what was used and refund the rest. Repeating it changes nothing."""


class Cache(Protocol):
    """Answers already paid for, within one tenant."""

    async def get(self, key: str) -> bytes | None:
        """The stored value, or None; a cache that cannot be reached is a miss."""

    async def put(self, key: str, value: bytes) -> None:
        """Store with the configured time to live."""
