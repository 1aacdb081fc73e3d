"""What a caller may ask in OpenAI's words: read by these models, and published from them.

Fields stand in three groups: those that are obeyed; those that say how one sample is to be drawn, which is a plan's affair, so they are accepted and
named in the response's `rheostat.ignored`; and those that ask for what is not done here, which are refused unless they ask for nothing.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from router.openai.profiles import OWN, KnobSettings

_MOST = 2**63 - 1
_LONGEST = 100_000  # characters of one message, as the contract has it
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


Text = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
Whole = Annotated[int, Field(gt=0, le=_MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class Part(BaseModel):
    """Something asked. Types are as they should be, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class Limits(Part):
    """Ceilings on what the request may spend."""

    tokens: Whole | None = None
    """Tokens read, written and scored, whatever becomes of them."""
    cost_microdollars: Whole | None = None
    samples: Whole | None = None
    calls: Whole | None = None
    """Samples, scorings and program runs together."""
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Wall time of one purchase."""


class Extras(KnobSettings):
    """What OpenAI has no words for (`extra_body={"rheostat": ...}`): knobs, which come before the profile's, and the rest of a query."""

    model_config = ConfigDict(strict=True, title="RheostatAsked")

    id: str = Field("", max_length=64)
    """The caller's own id of the request: within a day the same id again is a repetition, and is paid for once."""
    tenant: str = Field("", max_length=64)
    """For whom it is asked, where no credentials are asked for, or they are an administrator's; else the tenant is that of the credentials."""
    task: Literal["free", "math", "choice", "code"] = "free"
    """What kind of answer is wanted."""
    deadline: float | None = Field(None, gt=0, le=86_400)
    """Seconds after which nobody waits any more."""
    budget: Limits = Limits()
    trace: bool = False
    """Whether to give, in `rheostat.trace`, how the answer came about, stage by stage."""


class TextPart(Part):
    """A piece of a message."""

    type: Literal["text"]
    text: str = Field(max_length=_LONGEST)


Content = Annotated[
    Annotated[str, Field(max_length=_LONGEST), Tag("whole")] | Annotated[list[TextPart], Field(min_length=1, max_length=64), Tag("parts")],
    Discriminator(lambda given: "parts" if isinstance(given, list) else "whole"),
]


class Turn(Part):
    """One message. What the service gave as an answer, or as a refusal, can be sent back as it is."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | None = None
    """Text, whole or in parts."""
    refusal: str | None = Field(None, max_length=_LONGEST)
    """Of the assistant, in the place of content."""
    name: str | None = Field(None, max_length=64)
    """Ignored."""
    annotations: None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None

    @property
    def text(self) -> str:
        """All of it."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or self.refusal or ""

    @property
    def speaker(self) -> str:
        """`system`, `user` or `assistant`."""
        return _ROLES[self.role]


class StreamOptions(Part):
    """How to stream."""

    include_usage: bool = False
    """Whether a last event says what was used."""
    include_obfuscation: bool = False
    """Ignored: nothing is streamed token by token."""


class TextFormat(Part):
    """The only format of a response."""

    type: Literal["text"]


class Asked(Part):
    """What both kinds of requests have in common."""

    ignorable: ClassVar[tuple[str, ...]] = (
        *("temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "max_completion_tokens", "reasoning_effort", "verbosity"),
        *("user", "safety_identifier", "prompt_cache_key", "metadata", "service_tier", "store", "parallel_tool_calls"),
    )

    model: str = Field(min_length=1, max_length=64)
    """`rheostat`, the name of a profile, or the id of a plan; see /v1/models."""
    stream: bool | None = None
    """Whether to tell of the stages while they happen; the answer comes whole, once it is chosen."""
    stream_options: StreamOptions | None = None
    seed: int | None = Field(None, ge=0, le=2**64 - 1)
    """Fixes what is random."""
    rheostat: Extras = Extras()

    temperature: float | None = Field(None, ge=0, le=2)
    """Ignored, as are all fields up to `user`: how samples are drawn is the plan's affair."""
    top_p: Share | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    max_tokens: Whole | None = None
    """Ignored: see `rheostat.budget`."""
    user: str | None = Field(None, max_length=512)
    """Ignored."""

    n: Literal[1] | None = None
    """One answer is given."""
    stop: None = None
    logit_bias: None = None

    @property
    def ignored(self) -> list[str]:
        """What was asked and is not obeyed."""
        return [name for name in self.ignorable if getattr(self, name, None) is not None]


class ChatRequest(Asked):
    """A conversation to be answered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": OWN, "messages": [{"role": "user", "content": "What is 2 + 2?"}]}]})

    messages: list[Turn] = Field(min_length=1, max_length=32)
    """The last is the user's."""

    max_completion_tokens: Whole | None = None
    """Ignored, as are all fields up to `parallel_tool_calls`."""
    reasoning_effort: str | None = Field(None, max_length=64)
    verbosity: str | None = Field(None, max_length=64)
    safety_identifier: str | None = Field(None, max_length=512)
    prompt_cache_key: str | None = Field(None, max_length=512)
    metadata: dict[str, str] | None = Field(None, max_length=16)
    service_tier: str | None = Field(None, max_length=64)
    store: bool | None = None
    parallel_tool_calls: bool | None = None

    response_format: TextFormat | None = None
    """Text is all there is."""
    modalities: tuple[Literal["text"]] | None = None
    """Text is all there is."""
    logprobs: Literal[False] | None = None
    """There are none: an answer is chosen among many."""
    top_logprobs: None = None
    audio: None = None
    function_call: None = None
    functions: None = None
    prediction: None = None
    tool_choice: None = None
    tools: None = None
    web_search_options: None = None

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """Who said what."""
        return [(turn.speaker, turn.text) for turn in self.messages]


class CompletionRequest(Asked):
    """A prompt to be answered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": OWN, "prompt": "What is 2 + 2?"}]})

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    """One text."""

    best_of: Literal[1] | None = None
    """How many samples are drawn is for the plan to say."""
    echo: Literal[False] | None = None
    logprobs: None = None
    suffix: None = None

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """Who said what."""
        return [("user", self.prompt if isinstance(self.prompt, str) else self.prompt[0])]
