"""Any server that speaks OpenAI's completions or chat API: vLLM, or a hosted one."""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import structlog

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.telemetry import inject
from router.types import Call, Finish, Sample, Style, Vector
from workers.backends import backends
from workers.probing import missing
from workers.prompts import Prompts
from workers.reply import Reply

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types import Completion
    from openai.types.chat import ChatCompletionChunk

log = structlog.get_logger("rheostat.backend")
_CLAIMED = frozenset({"logprobs", "top_logprobs", "halt", "cancel"})
_VLLM = {"include_stop_str_in_output": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}


@backends.register("openai")
class OpenAI:
    """An OpenAI-compatible server, streamed, so that a cancelled sample is stopped and its tokens are known.

    `api` is "completions" or "chat"; `prompts` says how a model is asked (see `workers.prompts.Prompts`). `vllm` asks for what only vLLM has: stop
    strings left in the text, suppressed words, the usage so far with every piece, and in a chat the continuation of an answer. Without it the
    server cannot say which stop string was met, so strategies that need steps are refused, and a cancelled sample is charged its prompt's bytes
    as tokens. Whether the server really does what it claims is tried out at the start: what it silently ignores is not a capability.

    The key is read from the environment variable `api_key_env`. `timeout` is seconds without any piece arriving. A call that failed for a
    passing reason before anything was written is made again up to `retries` times.
    """

    broken = False  # a server that is gone may come back

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api: Literal["completions", "chat"] = "completions",
        prompts: str | Mapping[str, str] = "bundled",
        style: Mapping[str, str] | None = None,
        vllm: bool = True,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 2,
    ) -> None:
        import openai  # noqa: PLC0415 - only workers that use it install it

        if api not in ("completions", "chat"):
            raise ValueError(f"openai: api is completions or chat, not {api!r}")
        self._prompts = Prompts(prompts)
        self._client = openai.AsyncOpenAI(base_url=base_url, api_key=os.environ.get(api_key_env, "none"), timeout=timeout, max_retries=retries)
        self._model = model
        self._chat = api == "chat"
        self._vllm = vllm
        able = _CLAIMED | (frozenset({"stop", "suppress"}) if vllm else frozenset())
        self._able = able | (frozenset({"prefix"}) if vllm or not self._chat else frozenset())
        self.style: Style = replace(self._prompts.style, **style) if style else self._prompts.style

    @property
    def capabilities(self) -> frozenset[str]:
        """What the server claims, less what `prepare` found it to ignore."""
        return self._able | {f"skill:{name}" for name in self._prompts.skills}

    def count(self, call: Call) -> int:
        """No more than the bytes sent, plus what a tokenizer and a chat template may put around them: the server's own are not here."""
        sent = (
            sum(len(turn.content.encode()) + 64 for turn in self._prompts.turns(call)) if self._chat else len(self._prompts.text(call).encode()) + 2
        )
        return sent + len(call.prefix.encode())

    async def prepare(self) -> None:
        """Try out what the server claims. One that cannot be reached is believed until the next start."""
        try:
            lacks = await missing(self, self._able)
        except BackendUnavailable as error:
            log.warning("backend_not_probed", model=self._model, error=error.message)
            return
        if lacks:
            log.warning("backend_lacks", model=self._model, capabilities=sorted(lacks))
        self._able -= lacks

    async def sample(self, call: Call, spent: Spent) -> Sample:
        """See `Backend.sample`."""
        import httpx2  # noqa: PLC0415
        import openai  # noqa: PLC0415

        started, reply = time.monotonic(), Reply(call)
        spent.prompt = self.count(call)  # until the server says
        try:
            async with self._ordered(call) as pieces:
                async for piece in pieces:
                    _add(reply, piece, spent)
                    if reply.over:
                        break
        except openai.BadRequestError as error:
            spent.prompt = 0
            raise InvalidQuery(error.message) from error
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:  # ValueError: a piece that is no JSON, or no UTF-8
            spent.prompt = spent.prompt if spent.completion else 0
            raise BackendUnavailable(f"{self._model}: {error}") from error
        if reply.finish is None:
            raise BackendUnavailable(f"{self._model}: the stream ended before the sample did")
        return reply.sample(spent, time.monotonic() - started)

    async def hidden(self, call: Call, spent: Spent) -> Vector:
        """Servers do not tell."""
        raise BackendUnavailable(f"{self._model}: a server tells no hidden states")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @asynccontextmanager
    async def _ordered(self, call: Call) -> "AsyncIterator[AsyncStream[Completion] | AsyncStream[ChatCompletionChunk]]":
        common: dict[str, Any] = {
            "model": self._model,
            "max_tokens": call.max_tokens,
            "temperature": call.temperature,
            "top_p": call.top_p,
            "stop": list(call.stop) or None,
            "seed": call.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        extra: dict[str, Any] = dict(_VLLM) if self._vllm else {}
        if call.suppress and self._vllm:
            extra["bad_words"] = list(call.suppress)
        order = self._chat_order(call, extra) if self._chat else {"prompt": self._prompts.text(call) + call.prefix, "logprobs": call.top_logprobs}
        create = self._client.chat.completions.create if self._chat else self._client.completions.create
        async with await create(**common, **order, extra_body=extra or None, extra_headers=dict(inject())) as pieces:
            yield pieces

    def _chat_order(self, call: Call, extra: dict[str, Any]) -> dict[str, Any]:
        turns = [{"role": turn.role, "content": turn.content} for turn in self._prompts.turns(call)]
        if call.prefix:
            turns.append({"role": "assistant", "content": call.prefix})
            extra |= {"add_generation_prompt": False, "continue_final_message": True}
        return {"messages": turns, "logprobs": True, "top_logprobs": call.top_logprobs}


def _add(reply: Reply, piece: "Completion | ChatCompletionChunk", spent: Spent) -> None:
    """One more piece; the server's own counts where it gives them, else one token per log-probability."""
    for choice in piece.choices:
        text, logprobs, tops = _told(choice)
        reply.add(text, logprobs, tops)
        spent.completion += len(logprobs) or bool(text)
        if choice.finish_reason is not None:
            reply.end(choice.finish_reason)
    if piece.usage is not None:
        spent.prompt, spent.completion = piece.usage.prompt_tokens, piece.usage.completion_tokens
    if reply.finish is None and spent.completion > reply.call.max_tokens:  # a server that ignores the limit
        reply.cut(Finish.LENGTH)


def _told(choice: Any) -> tuple[str, list[float], list[list[float]]]:  # noqa: ANN401 - of either API
    """The text of a choice, and per token its log-probability and those of the likeliest tokens."""
    delta = getattr(choice, "delta", None)
    text = (choice.text if delta is None else delta.content) or ""
    found = choice.logprobs
    if found is None:
        return text, [], []
    if delta is not None:
        rows = found.content or []
        return text, [row.logprob for row in rows], [[top.logprob for top in row.top_logprobs] for row in rows if row.top_logprobs]
    chosen = [value for value in found.token_logprobs or () if value is not None]
    return text, chosen, [list(row.values()) for row in found.top_logprobs or () if row]
