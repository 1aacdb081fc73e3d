"""Continuous batching for a small Llama: sequences join, are cancelled and leave between any two tokens; one thread per model.

`transformers.generate` decodes a closed batch: nothing can join it, and one sample cannot be stopped. This loop keeps the key-value cache of
all running sequences in one compact block, so that a step costs one forward pass whatever the sequences are.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import torch
from torch import Tensor
from torch.nn import functional as F

from router.types import Finish, Halt
from workers.reasoner.model import Llama, finish, load_model, project
from workers.reasoner.prompt import BAD, END, GOOD
from workers.reasoner.tokenizer import load_tokenizer, token_bytes, token_id

log = structlog.get_logger("rheostat.engine")
_PREFILL_TOKENS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one sequence gave; the tuples, one entry per token written, are those of `Sample`."""

    text: str
    tokens: int
    prompt_tokens: int
    finish: Finish
    logprobs: tuple[float, ...]
    top_logprobs: tuple[tuple[float, ...], ...] = ()
    pieces: tuple[str, ...] = ()
    drawn_logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a sequence is to be drawn; names as in `Call`."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_logprobs: int = 0
    pieces: bool = False
    suppress: tuple[str, ...] = ()
    halt: Halt | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """One sequence under way."""

    ids: list[int]
    wish: Wish
    max_tokens: int
    stop: tuple[bytes, ...]
    banned: tuple[tuple[int, ...], ...]
    random: random.Random
    on_done: Callable[[Generation], None]
    on_token: Callable[[int], None] | None
    written: list[int] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    logprobs: list[float] = field(default_factory=list)
    top_logprobs: list[tuple[float, ...]] = field(default_factory=list)
    drawn_logprobs: list[float] = field(default_factory=list)
    cancelled: bool = False

    @property
    def halted(self) -> bool:
        """Whether its own halting rule is met."""
        return self.wish.halt is not None and self.wish.halt.met(self.top_logprobs)

    def shut_out(self) -> list[int]:
        """Tokens that would complete a suppressed word now."""
        return [word[-1] for word in self.banned if tuple(self.written[len(self.written) - len(word) + 1 :]) == word[:-1]]

    def result(self, end: Finish, spell: Sequence[bytes]) -> Generation:
        """The sequence as it stands; `spell` has the bytes of each token."""
        return Generation(
            text=self.text.decode(errors="replace"),
            tokens=len(self.logprobs),
            prompt_tokens=len(self.ids),
            finish=end,
            logprobs=tuple(self.logprobs),
            top_logprobs=tuple(self.top_logprobs),
            pieces=tuple(spell[token].decode(errors="replace") for token in self.written) if self.wish.pieces else (),
            drawn_logprobs=tuple(self.drawn_logprobs),
        )


@dataclass(slots=True, kw_only=True, eq=False)
class _Reading:
    """Texts to be read together; `last`, the hidden state after each, is there once `ready` is set."""

    rows: list[list[int]]
    ready: threading.Event = field(default_factory=threading.Event)
    last: list[Tensor] = field(default_factory=list)


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
    """One loaded model, on a torch device, and the thread that decodes with it. All methods may be called from any thread."""

    def __init__(self, directory: Path, *, slots: int = 64, device: str = "cpu") -> None:
        """Raises RuntimeError for a device that is not there."""
        self._device = torch.device(device)
        self.model = load_model(directory).to(self._device)
        self.tokenizer = load_tokenizer(directory)
        self._bytes = token_bytes(self.tokenizer)
        self._end, self._good, self._bad = (token_id(self.tokenizer, name) for name in (END, GOOD, BAD))
        self._slots = slots
        with self._device:
            self._block = _Block(self.model, slots)
        self._running: list[Ticket] = []
        self._next: list[int] = []  # the token each running sequence feeds into the next step
        self._waiting: deque[Ticket] = deque()
        self._reading: deque[_Reading] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"engine-{directory.name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        prompt: str,
        prefix: str = "",
        *,
        wish: Wish,
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
            wish=wish,
            max_tokens=min(wish.max_tokens, room),
            stop=tuple(one.encode() for one in wish.stop),
            banned=tuple(self._spellings(wish.suppress)),
            random=random.Random(wish.seed),
            on_done=on_done,
            on_token=on_token,
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
        rows = [self._encode(prompt, text) + ([] if text.endswith("\n") else [self._end]) for text in texts]
        found = []
        for last, tokens in self._read(rows):
            pair = self.model.logits(last)[[self._good, self._bad]].softmax(-1)
            found.append((float(pair[0]), tokens))
        return found

    def hidden(self, prompt: str, prefix: str = "") -> tuple[list[float], int]:
        """The last hidden state after reading a prompt and a prefix, and the tokens read; blocks."""
        ((last, tokens),) = self._read([self._encode(prompt, prefix)])
        return last.tolist(), tokens

    def _read(self, rows: Sequence[list[int]]) -> list[tuple[Tensor, int]]:
        """The last hidden state of each row, and how many of its tokens were read: as many as the model has places for."""
        if not rows:
            return []
        job = _Reading(rows=[row[: self.model.shape.max_position_embeddings] for row in rows])
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._reading.append(job)
            self._wake.notify()
        job.ready.wait()
        if not job.last:
            raise RuntimeError("the engine was closed while reading")
        return [(last, len(row)) for last, row in zip(job.last, job.rows, strict=True)]

    def count(self, text: str) -> int:
        """Tokens in a text."""
        return len(self.tokenizer.encode(text).ids)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Cancel what is under way and end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _encode(self, prompt: str, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(prompt).ids
        return ids + self.tokenizer.encode(text).ids if text else ids

    def _spellings(self, words: Sequence[str]) -> Iterator[tuple[int, ...]]:
        """Token sequences of words, as they stand, capitalised or not, and after a space."""
        for word in {form for one in words for form in (one, one.lower(), one.capitalize())}:
            for text in (word, f" {word}"):
                yield tuple(self.tokenizer.encode(text).ids)

    def _loop(self) -> None:
        try:
            with self._device, torch.inference_mode():  # tensors made here are made there
                while self._turn():
                    pass
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """However the thread ends, nobody is left waiting."""
        with self._wake:
            self._closed = True
        for ticket in (*self._running, *self._waiting):
            self._tell(ticket, Finish.CANCELLED)
        for job in self._reading:
            job.ready.set()

    def _turn(self) -> bool:
        """One round: wait for work, drop the cancelled, read, admit, decode one token each. False when closed."""
        with self._wake:
            while not (self._closed or self._running or self._waiting or self._reading):
                self._wake.wait()
            if self._closed:
                return False
            gone = [ticket for ticket in self._waiting if ticket.cancelled]
            joining = [ticket for ticket in self._waiting if not ticket.cancelled]
            free = self._slots - len(self._running)
            self._waiting = deque(joining[free:])
            reading = list(self._reading)
            self._reading.clear()
        for ticket in gone:
            self._tell(ticket, Finish.CANCELLED)
        for index in reversed(range(len(self._running))):
            if self._running[index].cancelled:
                self._leave(index, Finish.CANCELLED)
        if reading:
            self._study(reading)
        if joining[:free]:
            self._join(joining[:free])
        if self._running:
            self._step()
        return True

    def _study(self, jobs: list[_Reading]) -> None:
        """Read what is only to be read; equal rows once."""
        rows = [row for job in jobs for row in job.rows]
        states: dict[tuple[int, ...], Tensor] = {}
        for part in _parts(sorted({tuple(row) for row in rows}, key=len)):
            hidden = self.model(_padded(part, self._end))
            last = hidden[torch.arange(len(part)), torch.tensor([len(row) - 1 for row in part])]
            states.update(zip(part, last, strict=True))
        for job in jobs:
            job.last = [states[tuple(row)] for row in job.rows]
            job.ready.set()

    def _join(self, tickets: list[Ticket]) -> None:
        """Read the prompts of new sequences, each different one once, and draw their first tokens."""
        places: dict[tuple[int, ...], list[Ticket]] = {}
        for ticket in tickets:
            places.setdefault(tuple(ticket.ids), []).append(ticket)
        for part in _parts(sorted(places, key=len)):
            hidden, keys = self._prefill(_padded(part, self._end))
            last = hidden[torch.arange(len(part)), torch.tensor([len(row) - 1 for row in part])]
            owners = [(index, ticket) for index, row in enumerate(part) for ticket in places[row]]
            first = len(self._running)
            source = torch.tensor([index for index, _ in owners])
            self._block.rows[:, :, first : first + len(owners), :, : keys.shape[4]] = keys[:, :, source]
            self._block.lengths[first : first + len(owners)] = torch.tensor([len(ticket.ids) for _, ticket in owners])
            self._running.extend(ticket for _, ticket in owners)
            self._next.extend(0 for _ in owners)
            self._advance(first, self.model.logits(last[source]))

    def _prefill(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
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
        natural = logits.log_softmax(-1)
        tokens, drawn_from = _draw(logits, tickets)
        logprobs, drawn = natural.gather(1, tokens[:, None])[:, 0].tolist(), tokens.tolist()
        for index, ticket in enumerate(tickets):
            if ticket.wish.top_logprobs:
                ticket.top_logprobs.append(tuple(natural[index].topk(min(ticket.wish.top_logprobs, natural.shape[1])).values.tolist()))
            if ticket.wish.pieces:
                ticket.drawn_logprobs.append(float(drawn_from[index, drawn[index]].log()))
        for index in reversed(range(len(tickets))):
            end = self._append(tickets[index], drawn[index], logprobs[index])
            self._next[first + index] = drawn[index]
            if end is not None:
                self._leave(first + index, end)

    def _append(self, ticket: Ticket, token: int, logprob: float) -> Finish | None:
        ticket.logprobs.append(logprob)
        ticket.written.append(token)
        if ticket.on_token is not None:
            ticket.on_token(len(ticket.logprobs))
        if token == self._end:
            return Finish.END
        piece = self._bytes[token]
        ticket.text += piece
        reach = len(piece) + max((len(stop) for stop in ticket.stop), default=0)
        if any(stop in ticket.text[-reach:] for stop in ticket.stop):
            return Finish.STOP
        if ticket.halted:
            return Finish.HALTED
        return Finish.LENGTH if len(ticket.logprobs) >= ticket.max_tokens else None

    def _leave(self, index: int, end: Finish) -> None:
        """Take a sequence out; the last one takes its row, so that the block stays compact."""
        ticket, last = self._running[index], len(self._running) - 1
        if index != last:
            self._block.move(last, index)
            self._running[index], self._next[index] = self._running[last], self._next[last]
        self._running.pop()
        self._next.pop()
        self._tell(ticket, end)

    def _tell(self, ticket: Ticket, end: Finish) -> None:
        """Whoever asked may be gone, with its event loop; the others go on."""
        try:
            ticket.on_done(ticket.result(end, self._bytes))
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


def _draw(logits: Tensor, tickets: Sequence[Ticket]) -> tuple[Tensor, Tensor]:
    """One token per row by inverting the cumulative distribution at the ticket's own random number; the likeliest at temperature 0.

    A sample so depends on its own seed only, not on what else is in the batch. Also gives the distributions drawn from, (rows, vocabulary).
    """
    for index, ticket in enumerate(tickets):
        if ticket.banned and (out := ticket.shut_out()):
            logits[index, out] = float("-inf")
    heat = torch.tensor([ticket.wish.temperature for ticket in tickets])[:, None]
    probabilities = (logits / heat.clamp_min(1e-4)).softmax(-1)
    nucleus = torch.tensor([ticket.wish.top_p for ticket in tickets])[:, None]
    if bool((nucleus < 1).any()):
        ranked, order = probabilities.sort(dim=-1, descending=True)
        ranked[:, 1:][(ranked.cumsum(-1) - ranked >= nucleus)[:, 1:]] = 0.0  # the likeliest always stays
        probabilities = torch.zeros_like(probabilities).scatter(1, order, ranked)
        probabilities /= probabilities.sum(-1, keepdim=True)
    cumulative = probabilities.double().cumsum(-1)
    point = torch.tensor([ticket.random.random() for ticket in tickets], dtype=torch.double)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, point, right=True)[:, 0].clamp_max(logits.shape[1] - 1)
    return torch.where(heat[:, 0] > 0, drawn, logits.argmax(-1)), probabilities
