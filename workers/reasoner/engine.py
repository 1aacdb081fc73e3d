"""Continuous batching for a small Llama: sequences join, are cancelled and leave between any two tokens; one thread per model.

`transformers.generate` decodes a closed batch: nothing can join it, and one sample cannot be stopped. This loop keeps the key-value cache of
all running sequences in one compact block, so that a step costs one forward pass whatever the sequences are.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import torch
from torch import Tensor
from torch.nn import functional as F

from router.types import Finish
from workers.reasoner.model import Llama, finish, load_model, project
from workers.reasoner.prompt import BAD, END, GOOD
from workers.reasoner.tokenizer import load_tokenizer, token_bytes, token_id

log = structlog.get_logger("rheostat.engine")
_PREFILL_TOKENS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one sequence gave; `logprobs` are natural logs under the model's own distribution, one per token written."""

    text: str
    tokens: int
    prompt_tokens: int
    logprobs: tuple[float, ...]
    finish: Finish


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """One sequence under way."""

    ids: list[int]
    max_tokens: int
    temperature: float
    top_p: float
    stop: tuple[bytes, ...]
    random: random.Random
    on_done: Callable[[Generation], None]
    on_token: Callable[[int], None] | None
    prompt_tokens: int = 0
    text: bytearray = field(default_factory=bytearray)
    logprobs: list[float] = field(default_factory=list)
    cancelled: bool = False

    def result(self, end: Finish) -> Generation:
        """The sequence as it stands."""
        return Generation(
            text=self.text.decode(errors="replace"),
            tokens=len(self.logprobs),
            prompt_tokens=self.prompt_tokens,
            logprobs=tuple(self.logprobs),
            finish=end,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class _Scoring:
    """Texts to be judged together; `values` is there once `ready` is set."""

    rows: list[list[int]]
    ready: threading.Event = field(default_factory=threading.Event)
    values: list[float] = field(default_factory=list)


class _Block:
    """Keys and values of all running sequences: row i of every layer belongs to the i-th of them."""

    def __init__(self, model: Llama, slots: int) -> None:
        shape = model.shape
        size = (shape.num_hidden_layers, 2, slots, shape.num_attention_heads, shape.max_position_embeddings, shape.head_size)
        self.rows = torch.zeros(size)
        self.lengths = torch.zeros(slots, dtype=torch.long)

    def move(self, source: int, target: int) -> None:
        """Overwrite row `target` with row `source`."""
        length = int(self.lengths[source])
        self.rows[:, :, target, :, :length] = self.rows[:, :, source, :, :length]
        self.lengths[target] = length


class Engine:
    """One loaded model and the thread that decodes with it. All methods may be called from any thread."""

    def __init__(self, directory: Path, *, slots: int = 64) -> None:
        self.model = load_model(directory)
        self.tokenizer = load_tokenizer(directory)
        self._bytes = token_bytes(self.tokenizer)
        self._end, self._good, self._bad = (token_id(self.tokenizer, name) for name in (END, GOOD, BAD))
        self._slots = slots
        self._block = _Block(self.model, slots)
        self._running: list[Ticket] = []
        self._next: list[int] = []  # the token each running sequence feeds into the next step
        self._waiting: deque[Ticket] = deque()
        self._scoring: deque[_Scoring] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"engine-{directory.name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        prompt: str,
        prefix: str = "",
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int | None = None,
        on_done: Callable[[Generation], None],
        on_token: Callable[[int], None] | None = None,
    ) -> Ticket:
        """Start one sequence. ValueError if prompt and prefix are empty or leave no room.

        `on_done` is called once, `on_token` with the count after each token; both from the engine's thread, which they must not hold up.
        """
        ids = self._encode(prompt, prefix)
        room = self.model.shape.max_position_embeddings - len(ids)
        if not ids or room < 1:
            raise ValueError(f"{len(ids)} tokens do not fit the model's {self.model.shape.max_position_embeddings}, with one to write")
        ticket = Ticket(
            ids=ids,
            max_tokens=min(max_tokens, room),
            temperature=temperature,
            top_p=top_p,
            stop=tuple(one.encode() for one in stop),
            random=random.Random(seed),
            on_done=on_done,
            on_token=on_token,
            prompt_tokens=len(ids),
        )
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._waiting.append(ticket)
            self._wake.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Stop a sequence before its next token; its `on_done` is called with what it had."""
        with self._wake:
            ticket.cancelled = True
            self._wake.notify()

    def score(self, prompt: str, texts: Sequence[str]) -> list[tuple[float, int]]:
        """P(everything so far is right) for each text, and the tokens read; blocks. For reward models.

        A text that ends in a line break is a prefix of worked steps; any other is a finished solution.
        """
        if not texts:
            return []
        rows = [self._encode(prompt, text) + ([] if text.endswith("\n") else [self._end]) for text in texts]
        job = _Scoring(rows=[row[: self.model.shape.max_position_embeddings] for row in rows])
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._scoring.append(job)
            self._wake.notify()
        job.ready.wait()
        if not job.values:
            raise RuntimeError("the engine was closed while scoring")
        return [(value, len(row)) for value, row in zip(job.values, job.rows, strict=True)]

    def count(self, text: str) -> int:
        """Tokens in a text."""
        return len(self.tokenizer.encode(text).ids)

    def close(self) -> None:
        """Cancel what is under way and end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _encode(self, prompt: str, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(prompt).ids
        return ids + self.tokenizer.encode(text).ids if text else ids

    def _loop(self) -> None:
        try:
            with torch.inference_mode():
                while self._turn():
                    pass
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """However the thread ends, nobody is left waiting."""
        with self._wake:
            self._closed = True
        for ticket in (*self._running, *self._waiting):
            _tell(ticket, Finish.CANCELLED)
        for job in self._scoring:
            job.ready.set()

    def _turn(self) -> bool:
        """One round: wait for work, drop the cancelled, score, admit, decode one token each. False when closed."""
        with self._wake:
            while not (self._closed or self._running or self._waiting or self._scoring):
                self._wake.wait()
            if self._closed:
                return False
            gone = [ticket for ticket in self._waiting if ticket.cancelled]
            joining = [ticket for ticket in self._waiting if not ticket.cancelled]
            free = self._slots - len(self._running)
            self._waiting = deque(joining[free:])
            scoring = list(self._scoring)
            self._scoring.clear()
        for ticket in gone:
            _tell(ticket, Finish.CANCELLED)
        for index in reversed(range(len(self._running))):
            if self._running[index].cancelled:
                self._leave(index, Finish.CANCELLED)
        if scoring:
            self._score(scoring)
        if joining[:free]:
            self._join(joining[:free])
        if self._running:
            self._step()
        return True

    def _score(self, jobs: list[_Scoring]) -> None:
        rows = [row for job in jobs for row in job.rows]
        values: dict[tuple[int, ...], float] = {}
        for part in _parts(sorted({tuple(row) for row in rows}, key=len)):
            hidden = self.model(_padded(part, self._end))
            last = hidden[torch.arange(len(part)), torch.tensor([len(row) - 1 for row in part])]
            pair = self.model.logits(last)[:, [self._good, self._bad]].softmax(-1)[:, 0]
            values.update(zip(part, pair.tolist(), strict=True))
        for job in jobs:
            job.values = [values[tuple(row)] for row in job.rows]
            job.ready.set()

    def _join(self, tickets: list[Ticket]) -> None:
        """Read the prompts of new sequences, each different one once, and draw their first tokens."""
        places: dict[tuple[int, ...], list[Ticket]] = {}
        for ticket in tickets:
            places.setdefault(tuple(ticket.ids), []).append(ticket)
        for part in _parts(sorted(places, key=len)):
            hidden, keys = self._read(_padded(part, self._end))
            last = hidden[torch.arange(len(part)), torch.tensor([len(row) - 1 for row in part])]
            owners = [(index, ticket) for index, row in enumerate(part) for ticket in places[row]]
            first = len(self._running)
            source = torch.tensor([index for index, _ in owners])
            self._block.rows[:, :, first : first + len(owners), :, : keys.shape[4]] = keys[:, :, source]
            self._block.lengths[first : first + len(owners)] = torch.tensor([len(ticket.ids) for _, ticket in owners])
            self._running.extend(ticket for _, ticket in owners)
            self._next.extend(0 for _ in owners)
            self._advance(first, self.model.logits(last[source]))

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states and the (layers, 2, batch, heads, length, head_size) keys and values of whole prompts."""
        batch, length = tokens.shape
        cos, sin = self.model.cos[:length], self.model.sin[:length]
        x = self.model.model.embed_tokens(tokens)
        kept = []
        for layer in self.model.model.layers:
            q, k, v = project(layer, x, self.model.shape, cos, sin)
            kept.append(torch.stack((k, v)))
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = finish(layer, x, attended.transpose(1, 2).reshape(batch, length, -1))
        return self.model.model.norm(x), torch.stack(kept)

    def _step(self) -> None:
        """One more token for every running sequence."""
        count = len(self._running)
        rows = torch.arange(count)
        lengths = self._block.lengths[:count]
        longest = int(lengths.max()) + 1
        cos, sin = self.model.cos[lengths][:, None, None], self.model.sin[lengths][:, None, None]
        seen = (torch.arange(longest)[None] <= lengths[:, None])[:, None, None]
        x = self.model.model.embed_tokens(torch.tensor(self._next)[:, None])
        for index, layer in enumerate(self.model.model.layers):
            q, k, v = project(layer, x, self.model.shape, cos, sin)
            keys, values = self._block.rows[index, 0], self._block.rows[index, 1]
            keys[rows, :, lengths] = k[:, :, 0]
            values[rows, :, lengths] = v[:, :, 0]
            attended = F.scaled_dot_product_attention(q, keys[:count, :, :longest], values[:count, :, :longest], attn_mask=seen)
            x = finish(layer, x, attended.transpose(1, 2).reshape(count, 1, -1))
        self._block.lengths[:count] += 1
        self._advance(0, self.model.logits(self.model.model.norm(x)[:, 0]))

    def _advance(self, first: int, logits: Tensor) -> None:
        """Draw the next token of the sequences from `first` on, and let those that are finished leave."""
        tickets = self._running[first:]
        tokens = _draw(logits, tickets)
        logprobs = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].tolist()
        drawn = tokens.tolist()
        for index in reversed(range(len(tickets))):
            end = self._append(tickets[index], drawn[index], logprobs[index])
            self._next[first + index] = drawn[index]
            if end is not None:
                self._leave(first + index, end)

    def _append(self, ticket: Ticket, token: int, logprob: float) -> Finish | None:
        ticket.logprobs.append(logprob)
        if ticket.on_token is not None:
            ticket.on_token(len(ticket.logprobs))
        if token == self._end:
            return Finish.END
        piece = self._bytes[token]
        ticket.text += piece
        reach = len(piece) + max((len(stop) for stop in ticket.stop), default=0)
        if any(stop in ticket.text[-reach:] for stop in ticket.stop):
            return Finish.STOP
        return Finish.LENGTH if len(ticket.logprobs) >= ticket.max_tokens else None

    def _leave(self, index: int, end: Finish) -> None:
        """Take a sequence out; the last one takes its row, so that the block stays compact."""
        ticket, last = self._running[index], len(self._running) - 1
        if index != last:
            self._block.move(last, index)
            self._running[index], self._next[index] = self._running[last], self._next[last]
        self._running.pop()
        self._next.pop()
        _tell(ticket, end)


def _tell(ticket: Ticket, end: Finish) -> None:
    """Whoever asked may be gone, with its event loop; the others go on."""
    try:
        ticket.on_done(ticket.result(end))
    except Exception:  # the caller's own code: what it raises is not the engine's to judge
        log.exception("on_done_failed")


def _parts(rows: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Rows of rising length in groups whose padded size stays bounded."""
    parts: list[list[tuple[int, ...]]] = [[]]
    for row in rows:
        if parts[-1] and (len(parts[-1]) + 1) * len(row) > _PREFILL_TOKENS:
            parts.append([])
        parts[-1].append(row)
    return parts


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *(filler for _ in range(length - len(row)))] for row in rows])


def _draw(logits: Tensor, tickets: Sequence[Ticket]) -> Tensor:
    """One token per row by inverting the cumulative distribution at the ticket's own random number; the likeliest at temperature 0.

    A sample so depends on its own seed only, not on what else is in the batch.
    """
    heat = torch.tensor([ticket.temperature for ticket in tickets])[:, None]
    probabilities = (logits / heat.clamp_min(1e-4)).softmax(-1)
    nucleus = torch.tensor([ticket.top_p for ticket in tickets])[:, None]
    if bool((nucleus < 1).any()):
        ranked, order = probabilities.sort(dim=-1, descending=True)
        ranked[:, 1:][(ranked.cumsum(-1) - ranked >= nucleus)[:, 1:]] = 0.0  # the likeliest always stays
        probabilities = torch.zeros_like(probabilities).scatter(1, order, ranked)
    cumulative = probabilities.double().cumsum(-1)
    point = torch.tensor([ticket.random.random() for ticket in tickets], dtype=torch.double)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, point, right=True)[:, 0].clamp_max(logits.shape[1] - 1)
    return torch.where(heat[:, 0] > 0, drawn, logits.argmax(-1))
