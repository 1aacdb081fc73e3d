"""The nouns. Frozen values only; numpy and the standard library are all this module knows.

Units: money is micro-dollars (int where it is charged, float where it is expected), prices are micro-dollars per token (which is dollars per
million tokens), durations are seconds (float), tokens are ints, probabilities and qualities lie in [0, 1].
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Task(StrEnum):
    """What kind of answer is wanted; a hint for answer extraction."""

    FREE = "free"
    MATH = "math"
    CHOICE = "choice"
    CODE = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = "user"
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Ceilings on what may be spent; None is no ceiling. `calls` are samples and verifier calls together, `seconds` is wall time."""

    tokens: int | None = None
    cost: int | None = None
    samples: int | None = None
    calls: int | None = None
    seconds: float | None = None

    def less(self, usage: "Usage") -> "Budget":
        """What is left after `usage`, never below zero."""
        left = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Budget(**{name: None if most is None else max(0, most - getattr(usage, name)) for name, most in left.items()})

    def tighter(self, other: "Budget") -> "Budget":
        """The lower of two ceilings, each by each."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__}
        return Budget(**{name: min((one for one in pair if one is not None), default=None) for name, pair in pairs.items()})


class Amount(NamedTuple):
    """What may be spent, or was: micro-dollars and tokens. The ledger holds, charges and refunds both together."""

    cost: int
    tokens: int = 0

    def covers(self, other: "Amount") -> bool:
        """Whether `other` is no more, in either."""
        return self.cost >= other.cost and self.tokens >= other.tokens

    def plus(self, other: "Amount") -> "Amount":
        """Both together."""
        return Amount(self.cost + other.cost, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """A tenant's, or one request's, trade of quality against cost."""

    value: float = 5_000.0  # micro-dollars one right answer is worth
    abstain_below: float = 0.0  # confidence under which the answer is withheld
    risk: float = 1.0  # share of the answers given that may be wrong; an answer that cannot be given within it is withheld
    seconds: float = float("inf")  # within which an answer is wanted
    exploration: float = 0.0  # share of decisions drawn uniformly among the allowed ones
    max_stages: int = 4
    plans: tuple[str, ...] = ()  # ids allowed; empty: all
    policy: str = ""  # name of a configured policy; empty: the service's default
    cache: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a tenant wants who names no value of a right answer: the value is learned from this, while it is used.

    `floor`: the mean quality, in (0, 1], to be had at the least cost. `cap`: micro-dollars that may be spent in every `window` seconds, counted from
    the beginning of 1970, for the most quality. Raises ValueError, which names the field that is wrong.
    """

    floor: float | None = None
    cap: int | None = None
    window: float = 86_400.0

    def __post_init__(self) -> None:
        if (self.floor is None) == (self.cap is None):
            raise ValueError("an objective is either a floor or a cap")
        if self.floor is not None and not 0 < self.floor <= 1:
            raise ValueError(f"floor must lie in (0, 1], not {self.floor}")
        if self.cap is not None and not 0 < self.cap < float("inf"):
            raise ValueError(f"cap must be positive and finite, not {self.cap}")
        if not 0 < self.window < float("inf"):
            raise ValueError(f"window must be positive and finite, not {self.window}")

    @property
    def kind(self) -> str:
        """`floor` or `cap`."""
        return "floor" if self.cap is None else "cap"


class Standing(NamedTuple):
    """Where a tenant's objective stands. A share that does not apply is 0."""

    value: float  # micro-dollars a right answer is worth now
    spent: float  # share of the cap spent in this window
    deficit: float  # right answers by which recent requests together fell short of the floor; negative: they had more


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One request for an answer. `deadline` is seconds on the service's monotonic clock."""

    id: str
    messages: tuple[Message, ...]
    tenant: str = "default"
    task: Task = Task.FREE
    deadline: float = float("inf")
    budget: Budget = Budget()
    knobs: Knobs = Knobs()
    seed: int | None = None
    weight: float = 1.0  # its share of a pool that is busy, beside others'
    traced: bool = False  # whether outcomes are to hold their trace, which has every text in it
    body: str = ""  # digest of what was asked, where the id is the caller's own: the same id again is a repetition, or a mistake

    @property
    def text(self) -> str:
        """The last thing the user said: what is embedded, answered and cached."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Micro-dollars per token read, written and scored."""

    prompt: float = 0.0
    completion: float = 0.0
    scored: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One entry of the catalogue: which pool runs which strategy, with what options, inside which ceiling.

    `helpers` are other pools that the strategy may sample from, with their prices.
    """

    id: str
    pool: str
    strategy: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    budget: Budget = Budget()
    price: Price = Price()
    helpers: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def worst(self) -> Amount:
        """What one execution may come to; what has no ceiling counts as nothing."""
        return Amount(self.budget.cost or 0, self.budget.tokens or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What is known of a query before anything is bought: encoder vector and named cheap features side by side."""

    vector: Vector
    names: tuple[str, ...]
    version: str


class Forecast(NamedTuple):
    """What buying one plan next is predicted to give: P(right afterwards) with its interval, and its expected price.

    A tuple, since every decision makes one for each plan, and a frozen dataclass takes five times as long to make.
    """

    plan: str
    success: float
    low: float
    high: float
    tokens: float
    cost: float
    seconds: float
    tokens_high: float = 0.0  # nine purchases in ten stay under it; 0 where nothing is known
    seconds_high: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Onward:
    """What the evidence of each of n plans will tell, for looking one decision ahead.

    `ratios[p, y, k]` is the k-th quantile of the log-likelihood ratio by which plan p's evidence moves the belief in its answer when that answer is
    wrong (y = 0) or right (y = 1), shape (n, 2, k). `rescue[p, q]` is P(q turns out right | p's answer was wrong), shape (n, n).
    """

    ratios: NDArray[np.float64]
    rescue: NDArray[np.float64]


_NO_CONTEXT = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Forecasts for every plan on offer and for the answer in hand (0 when there is none).

    `novelty`, in [0, 1], is the share of the queries learned from that are more usual than this one. `context` (c,) is what else tells queries
    apart, in few numbers of about one size, for what is learned between two fits of the predictor; its width is the same for every query.
    """

    in_hand: float
    forecasts: tuple[Forecast, ...]
    version: str
    onward: Onward | None = field(default=None, compare=False, repr=False)
    novelty: float = 0.0
    context: Vector = field(default_factory=lambda: _NO_CONTEXT, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What more samples of one plan would give: `success[n - 1]` is P(right) of n of them, `saturation` the number of samples worth most."""

    plan: str
    success: tuple[float, ...]
    saturation: int


class Fate(StrEnum):
    """What became of a sample's tokens; all of them are charged."""

    KEPT = "kept"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a model's worked answers look: what ends a step, what opens the answer, and what makes it think again."""

    step: str = "\n"
    answer: str = "Answer:"
    again: str = "Wait"


class Finish(StrEnum):
    """Why a sample ended. LENGTH and HALTED mean truncated: never to be treated as finished."""

    STOP = "stop"  # a stop string was met
    END = "end"  # the model ended by itself
    LENGTH = "length"
    HALTED = "halted"  # the call's own halting rule was met
    CANCELLED = "cancelled"

    @property
    def whole(self) -> bool:
        """Whether the text is as long as the model meant it, or was asked to make it."""
        return self in (Finish.STOP, Finish.END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Stop writing once the mean confidence of the last `window` tokens is under `below` (DeepConf, arXiv 2508.15260, section 3.2).

    The confidence of a token is the mean of minus the log-probabilities of its likeliest alternatives, as many as the call asks for.
    """

    window: int
    below: float

    def met(self, top_logprobs: Sequence[Sequence[float]]) -> bool:
        """Whether a text whose tokens had these likeliest alternatives is to be stopped."""
        if len(top_logprobs) < self.window:
            return False
        return -sum(sum(one) / len(one) for one in top_logprobs[-self.window :]) / self.window < self.below


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An order for one sample: `prefix` is text the assistant has already written and must continue.

    `skill` is what is asked of the model, and `texts` what it is to do that with: a draft to check, two to compare. `top_logprobs` asks for the
    likeliest tokens at each place, `pieces` for the text of each token and the log-probabilities it was drawn with; `suppress` are words that must
    not be written.
    """

    messages: tuple[Message, ...]
    prefix: str = ""
    max_tokens: int = 256
    temperature: float = 0.8
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    skill: str = "solve"
    texts: tuple[str, ...] = ()
    top_logprobs: int = 0
    pieces: bool = False
    suppress: tuple[str, ...] = ()
    halt: Halt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The unit a backend sells. `text` is what was written after the call's prefix.

    The other tuples hold one entry per token written, the closing one included: `logprobs` natural logs under the model's own distribution,
    `top_logprobs` those of the likeliest tokens, highest first, `pieces` the tokens' texts, `drawn_logprobs` the logs under the distribution
    drawn from (temperature and nucleus applied). They are empty where they were not asked for, or the backend has none.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Finish
    logprobs: tuple[float, ...] = ()
    seconds: float = 0.0
    top_logprobs: tuple[tuple[float, ...], ...] = ()
    pieces: tuple[str, ...] = ()
    drawn_logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of a program: what it printed, and why it ended (`done`, `error`, `time`, `memory`, `output`)."""

    output: str
    ending: str
    seconds: float = 0.0


class EnergySource(StrEnum):
    """How joules are known: by a model of the machine's power, or by its meter."""

    ESTIMATED = "estimated"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was spent. `cost` is micro-dollars, rounded up; `seconds` is wall time; `energy` says how `joules` are known."""

    prompt_tokens: int = 0
    kept_tokens: int = 0
    discarded_tokens: int = 0
    cancelled_tokens: int = 0
    scored_tokens: int = 0
    samples: int = 0
    calls: int = 0
    cost: int = 0
    seconds: float = 0.0
    joules: float = 0.0
    energy: EnergySource = EnergySource.ESTIMATED

    @property
    def tokens(self) -> int:
        """Every token, whatever became of it."""
        return self.prompt_tokens + self.kept_tokens + self.discarded_tokens + self.cancelled_tokens + self.scored_tokens

    @property
    def amount(self) -> Amount:
        """What of it is charged."""
        return Amount(self.cost, self.tokens)

    def __add__(self, other: "Usage") -> "Usage":
        """Joules are measured only if all of them are; none are of no source."""
        mixed = EnergySource.ESTIMATED if self.joules else other.energy
        energy = self.energy if self.energy is other.energy or not other.joules else mixed
        return Usage(energy=energy, **dict(zip(_SPENT, map(operator.add, _spent(self), _spent(other)), strict=True)))

    def since(self, earlier: "Usage") -> "Usage":
        """What was spent after `earlier`."""
        return Usage(energy=self.energy, **dict(zip(_SPENT, map(operator.sub, _spent(self), _spent(earlier)), strict=True)))


_SPENT = tuple(name for name in Usage.__dataclass_fields__ if name != "energy")
_spent: Callable[[Usage], tuple[float, ...]] = operator.attrgetter(*_SPENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One attempted solution: its text, the answer read from it (None if none was), its score, its fate, and what writing it cost.

    `score` is the verifier's or the strategy's own rating, in [0, 1]. `tokens` counts those written, `cost` is micro-dollars; what several
    candidates share counts in each.
    """

    text: str
    answer: str | None
    finish: Finish
    tokens: int
    logprob: float  # mean per token; 0 when the backend gave none
    score: float | None = None
    fate: Fate = Fate.KEPT
    cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What executing one plan gave. `answer` is None when no candidate could be read.

    `trace` replays the execution, where the query asked for it (see `workers.replay`).
    """

    plan: str
    answer: str | None
    text: str
    candidates: tuple[Candidate, ...]
    usage: Usage
    stop_reason: str
    pool: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What this query has shown so far: the outcome of every stage, oldest first."""

    outcomes: tuple[Outcome, ...] = ()

    @property
    def stage(self) -> int:
        """How many plans were bought."""
        return len(self.outcomes)

    @property
    def bought(self) -> frozenset[str]:
        """Ids of the plans bought."""
        return frozenset(outcome.plan for outcome in self.outcomes)

    @property
    def answered(self) -> bool:
        """Whether any answer could be read."""
        return any(outcome.answer is not None for outcome in self.outcomes)

    def plus(self, outcome: Outcome) -> "Evidence":
        """With one more outcome."""
        return Evidence(outcomes=(*self.outcomes, outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with its calibrated probability of being right."""

    text: str
    answer: str
    confidence: float
    plan: str


class Action(StrEnum):
    """What a policy may do at a stage."""

    BUY = "buy"
    STOP = "stop"
    ABSTAIN = "abstain"


_ENDINGS = {Action.STOP.value: Action.STOP, Action.ABSTAIN.value: Action.ABSTAIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One choice. `propensity` is the exact probability with which it was drawn; `explored` says that another one was preferred.

    `scores` holds the value, in micro-dollars, of every choice that was open: a plan id, `stop` or `abstain`; `chances` those of the ones that might
    be drawn.
    """

    action: Action
    plan: str = ""
    propensity: float
    scores: Mapping[str, float]
    chances: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    explored: bool
    policy: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """All that a policy might do here: what each open choice is worth in micro-dollars, and the chance that it is taken; chances sum to 1.

    Drawing is done here and nowhere else, so what is logged as a propensity is what was drawn from, whatever the policy.
    """

    scores: Mapping[str, float]
    chances: Mapping[str, float]
    preferred: str
    policy: str
    reason: str

    def draw(self, rng: np.random.Generator) -> Decision:
        """One of them; the generator is asked only where there is more than one that may come."""
        chosen, chance = self.preferred, self.chances[self.preferred]
        if chance < 1:
            chosen = self._drawn(float(rng.random()))
            chance = self.chances[chosen]
        explored = chosen != self.preferred
        action = _ENDINGS.get(chosen, Action.BUY)
        return Decision(
            action=action,
            plan=chosen if action is Action.BUY else "",
            propensity=chance,
            scores=self.scores,
            chances=self.chances,
            explored=explored,
            policy=self.policy,
            reason=f"explored instead of {self.preferred}" if explored else self.reason,
        )

    def _drawn(self, at: float) -> str:
        for name, chance in self.chances.items():
            at -= chance
            if at < 0:
                return name
        return self.preferred  # rounding left a little over


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What a decision turned out to be worth. `at` is Unix seconds, `cost` micro-dollars where the caller carried the plan out and tells."""

    decision_id: str
    value: float
    source: Literal["verifier", "user", "judge", "unit_test"]
    at: float
    stage: int | None = None  # rate the answer of this stage's plan; None: the answer given
    cost: int = 0


class CacheHit(StrEnum):
    """How an answer that had been paid for before came to be given again."""

    NONE = ""
    EXACT = "exact"  # the same question on the same terms
    SEMANTIC = "semantic"  # other words for what is taken to be the same question
    JOINED = "joined"  # another request for the same was under way
    REPEATED = "repeated"  # the same request again


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a request cost, stage by stage."""

    usage: Usage
    stages: tuple[tuple[str, Usage], ...] = ()
    hit: CacheHit = CacheHit.NONE

    @property
    def cached(self) -> bool:
        """Whether the answer had been paid for before."""
        return self.hit is not CacheHit.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The answer to PlanQuery: what would be bought first, and why. Nothing is spent."""

    decision_id: str
    prediction: Prediction
    decision: Decision
    value: float = 0.0  # micro-dollars a right answer was worth in it
    curves: tuple[Curve, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allocation:
    """What to buy for n queries.

    `chosen` (n,) is the place of each query's plan, -1 for none. `success` is the expected number of right answers, `cost` their expected
    micro-dollars together. `price` is the success that the last micro-dollar buys, the Lagrange multiplier of the budget: one over it is the value
    of a right answer at which each query alone would be given as much; 0 where every query has its best plan of those that fit the budget. No
    allocation within the budget has more success than `bound`.
    """

    chosen: NDArray[np.int64]
    success: float
    cost: float
    price: float
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """The answer to PlanBatch: what is to be bought for each query, in order, and what that comes to."""

    planned: tuple[Planned, ...]
    allocation: Allocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One turn of the loop, told while it happens: what was decided and, once it is there, what was bought.

    Sent twice for a purchase: first without `outcome`, when the decision is made, then with it. `best` is the best answer so far.
    """

    decision_id: str
    index: int
    prediction: Prediction
    decision: Decision
    outcome: Outcome | None = None
    best: Answer | None = None


Ending = Literal["stopped", "abstained", "deadline", "budget", "stages", "degraded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The end of a request. `answer` is None when the service abstained; `ending` says why it ended."""

    decision_id: str
    answer: Answer | None
    receipt: Receipt
    ending: Ending
    degraded: tuple[str, ...] = ()  # what did not work as usual, e.g. "STORE_UNAVAILABLE"


SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The flat log row: one per stage, one more for the ending of a request, one per reward. Columns are append-only.

    `id` makes writing idempotent: `<decision id>/<stage>`, `<decision id>/<stage>/<reward source>`. The state columns (`in_hand`, `answer`,
    `features`) are what the decision saw; the outcome columns are what it bought. A reward rates what its stage's plan answered, or with stage -1 the
    answer given. Retraining reads these rows and nothing else.
    """

    schema_version: int = SCHEMA_VERSION  # of these columns
    id: str  # of the row; see above
    kind: Literal["stage", "reward"]  # a stage of a request, its ending too, or a reward
    decision_id: str  # of the request; what `ReportOutcome` names
    tenant: str  # who asked
    at: float  # seconds since 1970 when it was decided, or reported
    trace_id: str = ""  # of the trace that the request belonged to, in hexadecimal
    stage: int = 0  # number of the stage, from 0; of a reward the stage that it rates, or -1
    task: str = ""  # kind of answer that was wanted: math, choice, code, free
    prompt: str = ""  # as the tenant's retention allows: text, or its hash
    features: tuple[float, ...] = ()  # what the encoder made of the conversation, and cheap counts
    feature_version: str = ""  # of the encoders that made them
    in_hand: float = 0.0  # probability that the answer then in hand was right
    answer: str = ""  # answer in hand when deciding; after the last stage, the answer given
    action: str = ""  # buy, stop or abstain
    plan: str = ""  # bought at this stage; empty at an ending
    propensity: float = 1.0  # exact probability with which the choice was drawn
    explored: bool = False  # whether exploration made the choice
    offered: tuple[str, ...] = ()  # choices that were open: plans, `stop`, `abstain`
    scores: tuple[float, ...] = ()  # value of each choice offered, in `offered` order
    success: tuple[float, ...] = ()  # P(right) of each choice offered
    policy: str = ""  # name and version of who decided
    predictor: str = ""  # version of who forecast
    reason: str = ""  # of the choice, in words
    outcome_answer: str = ""  # what the bought plan itself answered
    outcome_answers: tuple[str, ...] = ()  # of each candidate kept; empty where none could be read
    outcome_scores: tuple[float, ...] = ()  # of each candidate kept; NaN where none was formed
    outcome_logprobs: tuple[float, ...] = ()  # mean per token of each candidate kept
    stop_reason: str = ""  # why the run ended; at an ending how: answered, abstained, cached
    prompt_tokens: int = 0  # read by the model
    kept_tokens: int = 0  # written for samples that were used
    discarded_tokens: int = 0  # written for samples that were not
    cancelled_tokens: int = 0  # written for samples that were stopped
    scored_tokens: int = 0  # read by verifiers that are models
    calls: int = 0  # samples, scorings and program runs
    cost: int = 0  # micro-dollars that were charged; of a reward what the caller says that the plan cost
    seconds: float = 0.0  # that the run took
    reward: float | None = None  # in [0, 1]; none in rows of stages
    reward_source: str = ""  # who said so: verifier, user, judge, unit_test
    samples: int = 0  # samples drawn
    trace: str = ""  # of the bought plan, where the tenant's retention is `full`
    outcome_tokens: tuple[int, ...] = ()  # written for each candidate kept
    costs: tuple[float, ...] = ()  # micro-dollars forecast for each choice offered, in `offered` order
    context: tuple[float, ...] = ()  # what a policy that learns online tells queries apart by
    chances: tuple[float, ...] = ()  # with which each choice offered might have been drawn, in `offered` order
    arm: str = ""  # who decided, where a share of requests goes elsewhere than configured: `candidate` or `control`
    value: float = 0.0  # micro-dollars a right answer was worth in this decision
    joules: float = 0.0  # energy of the run
    energy: str = ""  # how the joules are known: `estimated` or `measured`
    inherited: tuple[str, ...] = ()  # ids of the rows whose purchases the request began with, oldest first; they were paid for before
