"""OpenAI's words from and to the messages of `rheostat.v1`."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict
from rheostat.v1 import answer_pb2, decision_pb2, query_pb2, router_service_pb2, usage_pb2

from router.errors import InvalidQuery
from router.openai import telling
from router.openai.asking import ChatRequest, CompletionRequest, Extras, Limits
from router.openai.profiles import OWN, KnobSettings

DONE = b"data: [DONE]\n\n"
_ENDING = "ENDING_"


def query_to_pb(asked: ChatRequest | CompletionRequest, profiles: Mapping[str, KnobSettings]) -> router_service_pb2.AnswerQueryRequest:
    """What is asked of the service; a model that is no profile is a plan. Raises InvalidQuery for a plan that is to be among others."""
    extras = asked.rheostat
    return router_service_pb2.AnswerQueryRequest(
        query=query_pb2.Query(
            tenant=extras.tenant,
            id=extras.id,
            messages=[query_pb2.Message(role=f"ROLE_{speaker.upper()}", content=text) for speaker, text in asked.conversation],
            task=f"TASK_{extras.task.upper()}",
            budget=_budget(extras.budget),
            knobs=_knobs(asked.model, extras, profiles),
            seed=asked.seed,
        )
    )


def _knobs(model: str, extras: Extras, profiles: Mapping[str, KnobSettings]) -> query_pb2.Knobs | None:
    stated = (profiles[model].stated() if model in profiles else {}) | extras.stated()
    if model != OWN and model not in profiles:
        if extras.plans:
            raise InvalidQuery("name plans, or one plan as the model: not both", field="rheostat.plans")
        stated["plans"] = (model,)
    named: dict[str, Any] = {"value_microdollars" if name == "value" else name: value for name, value in stated.items()}
    return query_pb2.Knobs(**named) if named else None


def _budget(limits: Limits) -> query_pb2.Budget | None:
    named = limits.model_dump(exclude_none=True)
    return query_pb2.Budget(**named) if named else None


def trace_of(explained: router_service_pb2.ExplainDecisionResponse) -> dict[str, Any]:
    """As JSON has it."""
    return MessageToDict(explained, preserving_proto_field_name=True)


class Form(Protocol):
    """The shape of the responses to one request: of a conversation, or of a prompt."""

    def __init__(self, asked: Any) -> None: ...  # noqa: ANN401 - its own kind of request

    def whole(self, final: answer_pb2.FinalAnswer, trace: dict[str, Any] | None) -> telling.Told:
        """The response, where it is not streamed."""

    def began(self, decision_id: str) -> Iterator[telling.Told]:
        """What comes before anything is known."""

    def stage(self, stage: answer_pb2.StageEvent) -> telling.Told:
        """Something was decided or bought."""

    def ended(self, final: answer_pb2.FinalAnswer, trace: dict[str, Any] | None) -> Iterator[telling.Told]:
        """The answer, the end and, where it was asked for, the usage."""


class _Form:
    prefix = ""

    def __init__(self, asked: ChatRequest | CompletionRequest) -> None:
        self._asked = asked
        self._created = int(time.time())

    def _named(self, decision_id: str) -> dict[str, Any]:
        return {"id": f"{self.prefix}-{decision_id}", "created": self._created, "model": self._asked.model}

    @property
    def _tells_usage(self) -> bool:
        return bool(self._asked.stream_options and self._asked.stream_options.include_usage)

    def _receipt(self, final: answer_pb2.FinalAnswer, trace: dict[str, Any] | None) -> telling.Receipt:
        there = final.HasField("answer")
        hit = answer_pb2.CacheHit.Name(final.receipt.cache_hit).removeprefix("CACHE_HIT_").lower()
        return telling.Receipt(
            decision_id=final.decision_id,
            confidence=final.answer.confidence if there else None,
            answer=final.answer.answer if there else None,
            plan=final.answer.plan if there else None,
            ending=answer_pb2.Ending.Name(final.ending).removeprefix(_ENDING).lower(),
            degraded=list(final.degraded),
            cache_hit=hit if final.receipt.cached else None,
            usage=_spent(final.receipt.usage),
            stages=[telling.Purchase(plan=one.plan, usage=_spent(one.usage)) for one in final.receipt.stages],
            ignored=self._asked.ignored,
            trace=trace,
        )


class ChatForm(_Form):
    """The shapes of /v1/chat/completions."""

    prefix = "chatcmpl"

    def whole(self, final: answer_pb2.FinalAnswer, trace: dict[str, Any] | None) -> telling.ChatCompletion:
        """The response, where it is not streamed."""
        return telling.ChatCompletion(
            **self._named(final.decision_id),
            choices=[telling.ChatChoice(message=telling.Message(content=_text(final), refusal=_refusal(final)))],
            usage=_usage(final.receipt.usage),
            rheostat=self._receipt(final, trace),
        )

    def began(self, decision_id: str) -> Iterator[telling.ChatCompletionChunk]:
        """Who is going to speak."""
        yield self._chunk(decision_id, telling.Delta(role="assistant"))

    def stage(self, stage: answer_pb2.StageEvent) -> telling.ChatCompletionChunk:
        """Something was decided or bought."""
        return self._chunk(stage.decision_id, telling.Delta(), rheostat=_stage(stage))

    def ended(self, final: answer_pb2.FinalAnswer, trace: dict[str, Any] | None) -> Iterator[telling.ChatCompletionChunk]:
        """The answer with the receipt, the end, the usage."""
        delta = telling.Delta(content=_text(final), refusal=_refusal(final))
        yield self._chunk(final.decision_id, delta, rheostat=self._receipt(final, trace))
        end = telling.ChunkChoice(delta=telling.Delta(), finish_reason="stop")
        yield telling.ChatCompletionChunk(**self._named(final.decision_id), choices=[end])
        if self._tells_usage:
            yield telling.ChatCompletionChunk(**self._named(final.decision_id), choices=[], usage=_usage(final.receipt.usage))

    def _chunk(self, decision_id: str, delta: telling.Delta, rheostat: telling.Stage | telling.Receipt | None = None) -> telling.ChatCompletionChunk:
        return telling.ChatCompletionChunk(**self._named(decision_id), choices=[telling.ChunkChoice(delta=delta)], rheostat=rheostat)


class TextForm(_Form):
    """The shapes of /v1/completions."""

    prefix = "cmpl"

    def whole(self, final: answer_pb2.FinalAnswer, trace: dict[str, Any] | None) -> telling.Completion:
        """The response, where it is not streamed."""
        return telling.Completion(
            **self._named(final.decision_id), choices=[_choice(final)], usage=_usage(final.receipt.usage), rheostat=self._receipt(final, trace)
        )

    def began(self, decision_id: str) -> Iterator[telling.Completion]:
        """Nothing."""
        yield from ()

    def stage(self, stage: answer_pb2.StageEvent) -> telling.Completion:
        """Something was decided or bought."""
        return telling.Completion(**self._named(stage.decision_id), choices=[telling.TextChoice(text="")], rheostat=_stage(stage))

    def ended(self, final: answer_pb2.FinalAnswer, trace: dict[str, Any] | None) -> Iterator[telling.Completion]:
        """The answer with the receipt, and the usage."""
        yield telling.Completion(**self._named(final.decision_id), choices=[_choice(final)], rheostat=self._receipt(final, trace))
        if self._tells_usage:
            yield telling.Completion(**self._named(final.decision_id), choices=[], usage=_usage(final.receipt.usage))


def event(told: telling.Told) -> bytes:
    """An event of a stream; what does not apply to it is left out."""
    return b"data: " + told.model_dump_json(exclude_none=True).encode() + b"\n\n"


def _choice(final: answer_pb2.FinalAnswer) -> telling.TextChoice:
    text = _text(final)
    return telling.TextChoice(text=text or "", finish_reason="content_filter" if text is None else "stop")


def _text(final: answer_pb2.FinalAnswer) -> str | None:
    return final.answer.text if final.HasField("answer") else None


def _refusal(final: answer_pb2.FinalAnswer) -> str | None:
    """Words for an answer that is not given."""
    if final.HasField("answer"):
        return None
    if final.ending == answer_pb2.ENDING_ABSTAINED:
        return "No answer is given: none is likely enough to be right."
    return f"No answer is given: the request ended ({answer_pb2.Ending.Name(final.ending).removeprefix(_ENDING).lower()}) before one was there."


def _stage(event: answer_pb2.StageEvent) -> telling.Stage:
    decision = event.decision
    return telling.Stage(
        decision_id=event.decision_id,
        stage=event.index,
        action=decision_pb2.Action.Name(decision.action).removeprefix("ACTION_").lower(),
        plan=decision.plan,
        reason=decision.reason,
        bought=event.HasField("outcome"),
        confidence=event.best.confidence if event.HasField("best") else None,
    )


def _spent(usage: usage_pb2.Usage) -> telling.Spent:
    return telling.Spent(**{name: getattr(usage, name) for name in telling.Spent.model_fields})


def _usage(usage: usage_pb2.Usage) -> telling.Usage:
    details = telling.CompletionDetails(
        discarded_tokens=usage.discarded_tokens, cancelled_tokens=usage.cancelled_tokens, scored_tokens=usage.scored_tokens
    )
    lost = usage.discarded_tokens + usage.cancelled_tokens + usage.scored_tokens
    return telling.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.kept_tokens,
        total_tokens=usage.prompt_tokens + usage.kept_tokens + lost,
        completion_tokens_details=details,
    )
