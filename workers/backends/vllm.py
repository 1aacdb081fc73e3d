"""vLLM's engine in this process: the strategy runs beside it, with no HTTP between."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.telemetry import inject
from router.types import Call, Sample, Style, Vector
from workers.backends import backends
from workers.probing import missing
from workers.prompts import Prompts
from workers.reasoner.prompt import skills_of
from workers.reasoner.tokenizer import load_tokenizer
from workers.reply import Reply

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import CompletionOutput, RequestOutput

_ABLE = frozenset({"prefix", "stop", "logprobs", "top_logprobs", "suppress", "halt", "cancel"})


@backends.register("vllm")
class Vllm:
    """A vLLM engine (`AsyncLLM`) that this worker owns, for the model in `model` (a folder, or a name it can load).

    `prompts` says how the model is asked (see `workers.prompts.Prompts`); with other prompts than the bundled reasoners' and a tokenizer that has
    a chat template, they are put into it. `engine` are arguments of `vllm.AsyncEngineArgs`. With `max_logprobs: -1` among them the engine tells
    whole distributions, and so what a token was drawn with (`pieces`): for small vocabularies. A sample that is cancelled is aborted in the engine.
    """

    def __init__(
        self,
        *,
        model: str,
        prompts: str | Mapping[str, str] = "bundled",
        style: Mapping[str, str] | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            from vllm import AsyncEngineArgs  # noqa: PLC0415 - an extra of its own
            from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
        except ImportError as error:
            raise ValueError(f"vllm: vLLM is not installed here ({error}); see `make vllm`") from error
        self._prompts = Prompts(prompts)
        self.style: Style = replace(self._prompts.style, **style) if style else self._prompts.style
        options = {"enable_prefix_caching": True, **_of_platform(), **(engine or {})}
        self._engine: AsyncLLM = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **options))
        self._tokenizer = self._engine.get_tokenizer()
        self._plain = load_tokenizer(Path(model)) if self._prompts.templates == "bundled" else None
        self._name = Path(model).name
        whole = options.get("max_logprobs") == -1
        self._able = _ABLE | (frozenset({"pieces"}) if whole else frozenset()) | {f"skill:{name}" for name in self._skills(Path(model))}

    @property
    def capabilities(self) -> frozenset[str]:
        """What the engine claims, less what `prepare` found it not to do."""
        return self._able

    @property
    def broken(self) -> bool:
        """Whether the engine's own process has died."""
        return bool(self._engine.errored)

    async def prepare(self) -> None:
        """Try out what the engine claims; this also warms it up."""
        self._able -= await missing(self, self._able)

    def count(self, call: Call) -> int:
        """Exact."""
        return len(self._ids(call))

    async def sample(self, call: Call, spent: Spent) -> Sample:
        """See `Backend.sample`. Leaving the engine's stream aborts the request."""
        started, reply, written = time.monotonic(), _VllmReply(call, self._tokenizer), 0
        ids = self._ids(call)
        spent.prompt = len(ids)
        try:
            async with aclosing(self._drawn(call, ids)) as outputs:
                async for output in outputs:
                    piece = output.outputs[0]
                    written += len(piece.token_ids)
                    spent.completion = written
                    reply.take(piece)
                    if reply.over:
                        break
        except ValueError as error:
            spent.prompt = spent.completion = 0
            raise InvalidQuery(f"{self._name}: {error}") from error
        except Exception as error:  # the engine's own errors have no common base; a dead engine is one of them
            raise BackendUnavailable(f"{self._name}: {error}") from error
        if reply.finish is None:
            raise BackendUnavailable(f"{self._name}: the engine ended before the sample did")
        return reply.sample(spent, time.monotonic() - started)

    async def hidden(self, call: Call, spent: Spent) -> Vector:
        """The engine tells none while it generates."""
        raise BackendUnavailable(f"{self._name}: a generating vLLM engine tells no hidden states")

    async def close(self) -> None:
        """End the engine and its processes."""
        self._engine.shutdown()
        del self._engine  # it ends itself once more when collected, which must not happen while the interpreter goes down

    def _skills(self, folder: Path) -> tuple[str, ...]:
        """What the bundled model in a folder has learned; other models are trusted with every template."""
        bundled = self._prompts.templates == "bundled" and (folder / "config.json").exists()
        return skills_of(folder) if bundled else self._prompts.skills

    def _ids(self, call: Call) -> list[int]:
        """Token ids of prompt and prefix; in the bundled format each by itself, as the reasoners were trained."""
        if self._prompts.templates == "bundled":
            return [*self._encode(self._prompts.text(call)), *(self._encode(call.prefix) if call.prefix else ())]
        if not getattr(self._tokenizer, "chat_template", None):
            return self._encode(self._prompts.text(call) + call.prefix)
        turns = [{"role": turn.role, "content": turn.content} for turn in self._prompts.turns(call)]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return self._encode(text + call.prefix)

    def _encode(self, text: str) -> list[int]:
        return list(self._plain.encode(text).ids if self._plain else self._tokenizer.encode(text, add_special_tokens=False))

    async def _drawn(self, call: Call, ids: list[int]) -> "AsyncGenerator[RequestOutput, None]":
        from vllm import TokensPrompt  # noqa: PLC0415

        prompt, trace = TokensPrompt(prompt_token_ids=ids), dict(inject()) or None
        async with aclosing(self._engine.generate(prompt, _parameters(call), uuid4().hex, trace_headers=trace)) as outputs:
            async for output in outputs:
                yield output


class _VllmReply(Reply):
    """Pieces as the engine's outputs tell them, with what each token was drawn with where whole distributions are told."""

    def __init__(self, call: Call, tokenizer: Any) -> None:  # noqa: ANN401 - vLLM's
        super().__init__(call)
        self._tokenizer = tokenizer
        self.pieces: list[str] = []
        self.drawn: list[float] = []

    def take(self, piece: "CompletionOutput") -> None:
        """One more output."""
        rows = piece.logprobs or []
        pairs = list(zip(piece.token_ids, rows, strict=False))
        self.add(piece.text, [row[token].logprob for token, row in pairs], [[one.logprob for one in row.values()] for _, row in pairs])
        if self.call.pieces:
            self.pieces += [self._tokenizer.decode([token], skip_special_tokens=True) for token in piece.token_ids]
            self.drawn += [_drawn_with(self.call, row, token) for token, row in pairs]
        if piece.finish_reason is not None:
            self.end(piece.finish_reason)

    def sample(self, spent: Spent, seconds: float) -> Sample:
        """The sample, once it has ended."""
        return replace(super().sample(spent, seconds), pieces=tuple(self.pieces), drawn_logprobs=tuple(self.drawn))


def _of_platform() -> dict[str, Any]:
    """On a CPU prompts are read whole.

    vLLM 0.32 dies of a seeded sample whose prompt is read in parts: it sets the generator's offset back, and a CPU's has none.
    """
    from vllm.platforms import current_platform  # noqa: PLC0415

    return {"enable_chunked_prefill": False} if current_platform.is_cpu() else {}


def _parameters(call: Call) -> "SamplingParams":
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

    return SamplingParams(
        max_tokens=call.max_tokens,
        temperature=call.temperature,
        top_p=call.top_p,
        stop=list(call.stop) or None,
        include_stop_str_in_output=True,
        seed=call.seed,
        logprobs=-1 if call.pieces else call.top_logprobs,
        bad_words=list(call.suppress) or None,
        output_kind=RequestOutputKind.DELTA,
    )


def _drawn_with(call: Call, row: Mapping[int, Any], token: int) -> float:
    """Log-probability of a token under the distribution it was drawn from: the model's own, told whole, at the call's temperature and nucleus."""
    if not call.temperature:
        return 0.0
    heated = np.array([one.logprob for one in row.values()]) / call.temperature
    heated -= heated.max()
    chances = np.exp(heated) / np.exp(heated).sum()
    order = np.argsort(-chances)
    kept = order[np.concatenate(([0.0], chances[order].cumsum()[:-1])) < call.top_p]
    place = list(row).index(token)
    return float(np.log(chances[place] / chances[kept].sum()))
