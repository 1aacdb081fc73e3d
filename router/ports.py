"""The seams. Each contract stands in its docstring; the family's conformance test in `tests/contract` holds every plug-in to it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from router.types import (
    Allocation,
    Amount,
    Answer,
    Budget,
    Call,
    Candidate,
    Choices,
    Curve,
    Evidence,
    Features,
    Final,
    Halt,
    Knobs,
    Outcome,
    Plan,
    Prediction,
    Query,
    Record,
    Run,
    Sample,
    Standing,
    Style,
    Usage,
    Vector,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Encoder(Protocol):
    """Text to vector. Pure, and from any thread; rows of unit length in the order given, shape (texts, dim); an empty text gives zeros."""

    @property
    def dim(self) -> int:
        """Width of a row."""

    @property
    def version(self) -> str:
        """Changes whenever the same text may give another vector."""

    @property
    def quick(self) -> bool:
        """Whether a text takes well under a millisecond, so that the event loop may wait for it; otherwise a thread does."""

    def encode(self, texts: Sequence[str]) -> Vector:
        """Encode; never raises on any text. Raises a RouterError where what does the work is elsewhere, and fails."""


class Describer(Protocol):
    """Query to features: an encoder's vector and cheap features together."""

    async def describe(self, query: Query) -> Features:
        """Pure; never raises on any text. Raises a RouterError where its encoder does."""


class Predictor(Protocol):
    """Query and evidence to forecasts. Pure and quick (well under a millisecond); never raises on finite features."""

    @property
    def version(self) -> str:
        """Names the fitted artifact."""

    def predict(self, features: Features, evidence: Evidence, plans: Sequence[Plan]) -> Prediction:
        """One forecast per plan, in order; buying never makes the forecast worse than the answer in hand."""

    def best(self, features: Features, evidence: Evidence) -> Answer | None:
        """The answer most likely right among all that the evidence holds; None when none could be read."""

    def curves(self, prediction: Prediction, plans: Sequence[Plan], value: float) -> tuple[Curve, ...]:
        """How success grows with the samples of these plans, where they draw any and enough is known of them.

        `prediction` is its own, with nothing bought; `value` is micro-dollars one right answer is worth.
        """

    def bar(self, risk: float) -> float:
        """The least confidence at which answers may be given so that at most a share `risk` of them is wrong; above 1 where none may be."""


class Policy(Protocol):
    """Forecasts to the chances of every choice. Pure: same arguments, same chances. Nothing is drawn here: `Choices.draw` does that.

    Only plans whose worst case fits the budget are offered by the pipeline; with no plan offered the choice is Stop or Abstain.
    """

    @property
    def version(self) -> str:
        """Names the policy, its parameters and what it has learned."""

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """Over buying one of `plans`, Stop (needs an answer in hand) and Abstain."""


@dataclass(slots=True, kw_only=True)
class Spent:
    """One call's tokens so far. Backend or verifier writes it, the executor charges it: what was cancelled or failed is charged like any other."""

    prompt: int = 0
    completion: int = 0


class Allocate(Protocol):
    """One budget over many queries known in advance."""

    def __call__(self, success: NDArray[np.float64], cost: NDArray[np.float64], budget: float) -> Allocation:
        """From P(right) and expected micro-dollars of each query's plans, (n, plans) both; raises InvalidQuery. Pure."""


class Backend(Protocol):
    """Sells one sample. Cancelling the awaiting task stops the generation; raises RouterError only."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do beyond plain sampling.

        `prefix` (continue a text), `stop` (stop strings, kept in the text), `logprobs`, `top_logprobs`, `pieces` (tokens' texts and the
        log-probabilities they were drawn with), `suppress`, `halt`, `cancel` (a sample that nobody waits for stops), `hidden` (its `hidden` may
        be called), and `skill:NAME` for each skill of its model beyond `solve`.
        """

    @property
    def style(self) -> Style:
        """How its model's worked answers look."""

    @property
    def broken(self) -> bool:
        """Whether it has failed for good: its process is to end, so that whoever keeps that starts a new one."""

    async def prepare(self) -> None:
        """Get ready, once, before anything is sampled: `capabilities` is then what it can really do, not what it claims."""

    def count(self, call: Call) -> int:
        """The most prompt tokens, prefix included, that this call may be charged."""

    async def sample(self, call: Call, spent: Spent) -> Sample:
        """Draw one sample; `text` excludes the prefix and includes a stop string that was met. `spent` is right when this ends, however it ends."""

    async def hidden(self, call: Call, spent: Spent) -> Vector:
        """The model's last hidden state after reading the call's prompt and prefix, shape (width,). With the capability `hidden` only."""

    async def close(self) -> None:
        """Let go of threads and connections."""


class Verifier(Protocol):
    """Scores candidates or prefixes, each in [0, 1], higher is better. Cancellable; raises RouterError only."""

    @property
    def steps(self) -> bool:
        """Whether it can judge a beginning of a solution, not only a whole one."""

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """The most tokens that scoring these texts may read."""

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """One score per text, in order. `spent` is right when this ends, however it ends; what cannot be stopped half-way is spent from the start."""

    async def close(self) -> None:
        """Let go of threads and connections."""


class Sandbox(Protocol):
    """Runs programs that nobody has read, where they can harm nothing. Cancellable; raises RouterError only."""

    async def run(self, program: str) -> Run:
        """Run Python source to its end or its limits."""


class Crowd(Protocol[T_co]):
    """Jobs of a strategy side by side. `async for` gives (place, result) as they end; leaving the `with` block drops, and so cancels, the others.

    A job that fails with a RouterError is left out; it is raised at the end if no job succeeded.
    """

    def __enter__(self) -> Self:
        """Start the jobs."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Drop what is still running."""

    def __aiter__(self) -> AsyncIterator[tuple[int, T_co]]:
        """Results as they come."""


class Tools(Protocol):
    """A strategy's whole world. Budget, deadline, metering, concurrency and cancellation are enforced behind it, never in a strategy.

    A strategy may await these and nothing else, so that a run depends on nothing but the results told and their order.
    """

    @property
    def rng(self) -> np.random.Generator:
        """The generator of this execution alone."""

    @property
    def style(self) -> Style:
        """How the pool's worked answers look."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Every candidate kept so far, those that earlier stages drew from this same pool first; each has its text's score, if it was scored."""

    @property
    def earlier(self) -> int:
        """How many of them are from earlier stages."""

    async def sample(
        self,
        query: Query,
        *,
        prefix: str = "",
        stop: Sequence[str] = (),
        temperature: float = 0.8,
        top_p: float = 1.0,
        max_tokens: int = 256,
        skill: str = "solve",
        texts: Sequence[str] = (),
        top_logprobs: int = 0,
        pieces: bool = False,
        suppress: Sequence[str] = (),
        halt: Halt | None = None,
        pool: str = "",
        seed: int | None = None,
    ) -> Sample:
        """Buy one sample, from a helper pool if one is named; see `Call` for the rest.

        The n-th order has the n-th seed of `rng`, unless it is given one: that of a stream of its own (`rng.spawn`), say, where the order of
        samples must not matter.
        Cuts `max_tokens` to what the budget still pays for; raises BudgetExhausted when that is nothing.
        """

    async def score(self, query: Query, texts: Sequence[str]) -> Sequence[float]:
        """Score texts with the pool's verifier; charged. Each score is its text's candidates' from then on."""

    async def hidden(self, query: Query, *, prefix: str = "") -> Vector:
        """The model's last hidden state after reading the query and the prefix; charged as a prompt."""

    async def run(self, program: str) -> Run:
        """Run Python source in the pool's sandbox."""

    async def left(self) -> Budget:
        """What this execution may still spend, time until the deadline included."""

    def keep(self, query: Query, samples: Sequence[Sample], *, text: str | None = None, answer: str | None = None) -> int:
        """Report one attempt, written by these samples one after the other; its place among `candidates`.

        It is in the outcome even if the strategy is then cut short. `text` is the whole of it where more than the samples' texts went into it,
        `answer` the answer where it is not to be read from the text.
        """

    def use(self, *samples: Sample) -> None:
        """Say that these samples served a purpose other than being an attempt: their tokens are kept, not discarded."""

    def rate(self, place: int, score: float) -> None:
        """Give the candidate at this place the strategy's own score, in [0, 1]."""

    def discard(self, place: int) -> None:
        """Take the vote from the candidate at this place: it stays in the outcome, its tokens count as discarded."""

    def read(self, query: Query, sample: Sample, *, text: str | None = None) -> str | None:
        """The canonical answer in a sample, or in a text that ends with it; None when there is none or the sample was truncated."""

    def crowd(self, jobs: Iterable[Coroutine[Any, Any, T]], width: int = 0) -> Crowd[T]:
        """Run jobs side by side, at most `width` at a time (0: all), taken from `jobs` as room arises."""

    async def together(self, jobs: Iterable[Coroutine[Any, Any, T]], width: int = 0) -> list[T]:
        """The results of the jobs that succeeded, in order; raises an error of theirs if none did."""


class Strategy(Protocol):
    """An inference-time strategy: constructor arguments are its hyper-parameters, state lives in `run` alone.

    BudgetExhausted may simply pass through `run`, and the deadline ends it: the executor then chooses from what was kept.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities: of the pool's backend, `score` and `steps` of its verifier, `run` of its sandbox, `helper` where it samples from another."""

    @property
    def spends(self) -> str:
        """What a run buys at most, in words and its own hyper-parameters, for people who choose."""

    async def run(self, query: Query, tools: Tools) -> str:
        """Spend through `tools` until satisfied; the reason for stopping."""

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Index of the answer to give, None when none can be read. Pure, and blind to the candidates' order."""


class Executor(Protocol):
    """Runs one plan. Cancelling the awaiting task cancels every outstanding sample, and what they had spent is still reported to `meter`."""

    async def execute(self, query: Query, plan: Plan, evidence: Evidence, budget: Budget, meter: "Meter", *, spare: "Spare | None" = None) -> Outcome:
        """The outcome, also when budget or deadline cut it short; raises BackendUnavailable when nothing could be run, Overloaded when it is busy.

        `spare` says whether the plan's worst case is paid for a second time, for a second run beside one that straggles.
        """

    def serves(self, plan: Plan) -> bool:
        """Whether there is anybody now who could run it."""


Spare = Callable[[], Awaitable[bool]]


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

    async def reserve(self, tenant: str, hold_id: str, amount: Amount, ttl: float, least: Amount | None = None) -> Amount:
        """Hold the worst case or, where a budget gets tight, `least` (None: the worst case); what is held. Raises BudgetExhausted and RateLimited.

        Repeating a hold id changes nothing, unless more is wanted than it holds: then it grows to that if there is as much.
        """

    async def settle(self, tenant: str, hold_id: str, amount: Amount) -> None:
        """Turn a hold into what was used and refund the rest. Repeating it changes nothing."""


class Pacer(Protocol):
    """Learns what a right answer is worth to one tenant who names a floor or a cap instead. `at` is Unix seconds.

    What it knows counts at once in its own router; `merge` brings it together with what other routers know, each event exactly once.
    """

    def value(self, at: float) -> float:
        """Micro-dollars that a right answer is worth in a decision now."""

    def foresee(self, prediction: Prediction, stages: int) -> None:
        """Take note of what can be bought for a query in so many stages; raises Unreachable where the floor is more than recent queries allow."""

    def reserve(self, cost: float, at: float) -> None:
        """A purchase begins that is expected to cost so much."""

    def update(self, *, cost: float, quality: float | None, at: float, held: float = 0.0) -> None:
        """A request ended: what it cost, the belief in its answer (0: it abstained, None: it failed), and all that was reserved for it."""

    def rate(self, *, reward: float, belief: float, at: float) -> None:
        """An answer that was believed in so far turned out to be worth this."""

    def merge(self, shared: bytes) -> bytes:
        """Take in what the routers share, empty if nothing; what they are to share instead, the same where this one has nothing to add."""

    def standing(self, at: float) -> Standing:
        """For people and dashboards."""


class Visit(Protocol):
    """One request at the cache, from its beginning to its end. Entering may wait for another request that is about to bring the same answer.

    Raises RequestIdReused, and DeadlineExceeded where it waited in vain. Leaving makes way for those who wait for this one.
    """

    found: Final | None
    """What is to be given and was paid for before; its decision id is empty, unless it repeats a request."""
    bought: tuple[tuple[str, Outcome], ...]
    """All that was bought for this question, oldest first, with the ids of its rows in the log. What is added is kept, however the request ends."""
    seeks: bool
    """Whether the answer to the same question in other words would do."""

    async def __aenter__(self) -> Self:
        """Look, and wait."""

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave."""

    async def near(self, features: Features) -> Final | None:
        """The answer to the nearest question, where what is known of such answers allows to give it."""

    async def keep(self, final: Final, features: Features | None = None) -> None:
        """Whatever is to be kept of the end of the request, before anybody hears of it; `features` where the answer was got and not found."""


class Cache(Protocol):
    """What was paid for before, within one tenant or among those who share. A cache that cannot be reached has nothing."""

    def visit(self, query: Query, catalogue: Mapping[str, Plan], predictor: str) -> Visit:
        """One request's visit; `predictor` names the versions of all that would decide."""
