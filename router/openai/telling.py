"""What a caller is told, in OpenAI's shapes, with what is ours in an object `rheostat`: written by these models, and published from them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Told(BaseModel):
    """Something told."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Spent(Told):
    """What was spent. All tokens are charged, whatever became of them."""

    prompt_tokens: int
    kept_tokens: int
    discarded_tokens: int
    cancelled_tokens: int
    scored_tokens: int
    samples: int
    calls: int
    cost_microdollars: int
    seconds: float
    joules: float


class Purchase(Told):
    """What one stage bought."""

    plan: str
    usage: Spent


class Receipt(Told):
    """How an answer came about, and what it cost."""

    decision_id: str
    """For ReportOutcome and ExplainDecision."""
    confidence: float | None
    """Probability that the answer is right; none where it was withheld."""
    answer: str | None
    """What was read out of the text as the answer."""
    plan: str | None
    """Whose answer it is."""
    ending: str
    """Why the request ended: `stopped`, `abstained`, `deadline`, `budget`, `stages` or `degraded`."""
    degraded: list[str]
    """Reasons of what did not work as usual."""
    cache_hit: str | None
    """How an answer that was paid for before came to be given again: `exact`, `semantic`, `joined` or `repeated`."""
    usage: Spent
    stages: list[Purchase]
    ignored: list[str]
    """What was asked and is not obeyed."""
    trace: dict[str, Any] | None = None
    """Where it was asked for: what each stage was offered, why it chose, and what it bought, as ExplainDecision tells it."""


class Stage(Told):
    """Something was decided or bought."""

    decision_id: str
    stage: int
    action: str
    """`buy`, `stop` or `abstain`."""
    plan: str
    reason: str
    bought: bool
    """Whether this tells what the purchase gave, and not that it begins."""
    confidence: float | None
    """Probability that the answer in hand is right."""


class PromptDetails(Told):
    """Of the tokens read."""

    cached_tokens: int = 0


class CompletionDetails(Told):
    """Of the tokens that are not in the answer's own samples."""

    reasoning_tokens: int = 0
    discarded_tokens: int
    cancelled_tokens: int
    scored_tokens: int
    """Read by verifiers."""


class Usage(Told):
    """`total_tokens` is all that was charged: read, kept, discarded, cancelled and scored."""

    prompt_tokens: int
    completion_tokens: int
    """Those of samples that were used."""
    total_tokens: int
    prompt_tokens_details: PromptDetails = PromptDetails()
    completion_tokens_details: CompletionDetails


class Message(Told):
    """The answer; or, where it was withheld, why."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None


class ChatChoice(Told):
    """The one there is."""

    index: Literal[0] = 0
    message: Message
    finish_reason: Literal["stop"] = "stop"
    logprobs: None = None


class ChatCompletion(Told):
    """An answered conversation."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    rheostat: Receipt


class Delta(Told):
    """What is added."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None


class ChunkChoice(Told):
    """The one there is."""

    index: Literal[0] = 0
    delta: Delta
    finish_reason: Literal["stop"] | None = None


class ChatCompletionChunk(Told):
    """One event of a conversation that is being answered. Its `rheostat` tells of a stage or, with the answer, is the receipt."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    rheostat: Stage | Receipt | None = None


class TextChoice(Told):
    """The one there is; `content_filter` where the answer was withheld."""

    index: Literal[0] = 0
    text: str
    finish_reason: Literal["stop", "content_filter"] | None = None
    logprobs: None = None


class Completion(Told):
    """An answered prompt, or one event of it."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | None = None
    rheostat: Stage | Receipt | None = None


class Model(Told):
    """What may be named as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: Literal["rheostat"] = "rheostat"
    kind: Literal["profile", "plan"]
    """Knobs under a name, or one plan and no other."""


class ModelList(Told):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class Fault(Told):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    """The field that is wrong."""
    code: str
    """The reason, as ErrorInfo has it, such as BUDGET_EXHAUSTED."""


class Failed(Told):
    """The shape of every error."""

    error: Fault
