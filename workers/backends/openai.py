"""Any server that speaks OpenAI's completions API: vLLM, or a hosted one."""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.types import Call, Finish, Sample
from workers.backends import backends
from workers.prompts import bundled, templated

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types import Completion

_VLLM = {"include_stop_str_in_output": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}


@backends.register("openai")
class OpenAI:
    """An OpenAI-compatible server (`/completions`, streamed, so that a cancelled sample is stopped and its tokens are known).

    `templates` holds a prompt per skill, with `{conversation}` where the conversation goes; none: the bundled reasoners' own format.
    `vllm` asks for what only vLLM has: stop strings left in the text, and the usage so far with every piece. Without it the server cannot say
    which stop string was met, so strategies that need steps are refused, and a cancelled sample is charged its prompt's bytes as tokens.
    The key is read from the environment variable `api_key_env`. `timeout` is seconds without any piece arriving.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        templates: Mapping[str, str] | None = None,
        vllm: bool = True,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
    ) -> None:
        import openai  # noqa: PLC0415 - only workers that use it install it

        self.capabilities = frozenset({"prefix", "logprobs", "cancel"} | ({"stop"} if vllm else set()))
        self._client = openai.AsyncOpenAI(base_url=base_url, api_key=os.environ.get(api_key_env, "none"), timeout=timeout, max_retries=0)
        self._model = model
        self._templates = templates
        self._vllm = vllm

    def count(self, call: Call) -> int:
        """No more than the bytes sent, plus what a tokenizer may put before them: the server's own tokenizer is not here."""
        return len(self._prompt(call).encode()) + 2

    async def sample(self, call: Call, spent: Spent) -> Sample:
        """See `Backend.sample`."""
        import httpx2  # noqa: PLC0415
        import openai  # noqa: PLC0415

        started, reply = time.monotonic(), _Reply(call.stop)
        spent.prompt = self.count(call)  # until the server says
        try:
            async with await self._order(call) as pieces:
                async for piece in pieces:
                    reply.add(piece, spent)
        except openai.BadRequestError as error:
            spent.prompt = 0
            raise InvalidQuery(error.message) from error
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:  # ValueError: a piece that is no JSON
            spent.prompt = spent.prompt if spent.completion else 0
            raise BackendUnavailable(f"{self._model}: {error}") from error
        if reply.finish is None:
            raise BackendUnavailable(f"{self._model}: the stream ended before the sample did")
        return Sample(
            text=reply.text,
            prompt_tokens=spent.prompt,
            completion_tokens=spent.completion,
            finish=reply.finish,
            logprobs=tuple(reply.logprobs),
            seconds=time.monotonic() - started,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _prompt(self, call: Call) -> str:
        return (bundled(call) if self._templates is None else templated(call, self._templates)) + call.prefix

    async def _order(self, call: Call) -> "AsyncStream[Completion]":
        return await self._client.completions.create(
            model=self._model,
            prompt=self._prompt(call),
            max_tokens=call.max_tokens,
            temperature=call.temperature,
            top_p=call.top_p,
            stop=list(call.stop) or None,
            seed=call.seed,
            logprobs=0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body=_VLLM if self._vllm else None,
        )


class _Reply:
    """A sample as its pieces arrive."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self.text = ""
        self.logprobs: list[float] = []
        self.finish: Finish | None = None
        self._stop = stop

    def add(self, piece: "Completion", spent: Spent) -> None:
        """One more piece; the server's own counts where it gives them, else one token per log-probability."""
        for choice in piece.choices:
            self.text += choice.text
            new = [value for value in (choice.logprobs.token_logprobs or ()) if value is not None] if choice.logprobs else []
            self.logprobs += new
            spent.completion += len(new) or bool(choice.text)
            if choice.finish_reason is not None:
                self.finish = self._ending(choice.finish_reason)
        if piece.usage is not None:
            spent.prompt, spent.completion = piece.usage.prompt_tokens, piece.usage.completion_tokens

    def _ending(self, reason: str) -> Finish:
        """`stop` is said both of a stop string and of the model's own end; only `length` is unmistakable."""
        if reason == "length":
            return Finish.LENGTH
        return Finish.STOP if self._stop and self.text.endswith(self._stop) else Finish.END
