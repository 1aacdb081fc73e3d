"""Train the bundled reasoners from a seed: the shared tokenizer, then `nano`, `small` and `large`. Resumes where it was stopped.

`large` learns every skill; the drafts it learns to check and mend are samples of `small`.
"""

import itertools
import math
import random
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from workers.reasoner.model import Layer, Llama, Shape, save_model
from workers.reasoner.prompt import END, Skill
from workers.reasoner.rollouts import attempts_of
from workers.reasoner.skills import Attempt, Example, examples
from workers.reasoner.tokenizer import load_tokenizer, token_id, train_tokenizer

MODELS = Path(__file__).parent / "models"
VOCABULARY = 1024
BATCH_TOKENS = 4096
LONGEST = 768  # tokens; longer examples are left out
_CHECKPOINT_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a training: how deep the model is in it, the skills it learns and in what shares, and how long."""

    layers: int
    shares: Mapping[Skill, float]
    steps: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model is made: its sizes, and the stages of its training."""

    hidden: int
    heads: int
    stages: tuple[Stage, ...]
    seed: int

    def shape(self, vocabulary: int, layers: int | None = None) -> Shape:
        """The Llama sizes of this recipe, in the end or at another depth."""
        inner = 32 * math.ceil(self.hidden * 8 / 3 / 32)
        return Shape(
            vocab_size=vocabulary,
            hidden_size=self.hidden,
            intermediate_size=inner,
            num_hidden_layers=layers or self.stages[-1].layers,
            num_attention_heads=self.heads,
        )

    @property
    def shares(self) -> Mapping[Skill, float]:
        """The skills of the last stage."""
        return self.stages[-1].shares


_SOLVING: Mapping[Skill, float] = {
    "solve": 55,
    "verify": 7,
    "score": 6,
    "judge": 5,
    "refine": 6,
    "program": 5,
    "summarise": 4,
    "split": 4,
    "restart": 3,
    "true": 1.5,
    "know": 1.5,
    "direct": 1,
}
_JUDGING: Mapping[Skill, float] = {**_SOLVING, "solve": 42, "verify": 14, "score": 10, "judge": 10, "restart": 5, "program": 3, "true": 2, "know": 2}
RECIPES = {
    "nano": Recipe(hidden=128, heads=2, seed=1, stages=(Stage(layers=4, shares={"direct": 1}, steps=3_000, rate=4e-3),)),
    "small": Recipe(hidden=128, heads=2, seed=2, stages=(Stage(layers=4, shares={"solve": 1}, steps=2_600, rate=4e-3),)),
    # It first learns to solve, and then, two layers deeper, to judge: a mistake shows where what is expected meets what stands there, and what is
    # expected is known in the last layer only. The `large` in the repository had 6,500 steps of the first stage, and without the twice as frequent
    # families.
    "large": Recipe(
        hidden=256,
        heads=4,
        seed=3,
        stages=(Stage(layers=6, shares=_SOLVING, steps=4_000, rate=2.5e-3), Stage(layers=8, shares=_JUDGING, steps=2_800, rate=1.5e-3)),
    ),
}
ROLLOUTS = 12_000  # problems that `small` is sampled on
_SHORT = 12  # tokens: a shorter completion counts as if it had so many
_READ = 0.3  # weight of a token that is only read


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded token ids (batch, length) and how much each position's next token counts (batch, length - 1): 0 where it is not learned."""

    tokens: Tensor
    weights: Tensor


def batches(tokenizer: Tokenizer, stream: Iterator[Example], seed: int) -> Iterator[Batch]:
    """Training batches of like-long examples, about `BATCH_TOKENS` tokens each, the same for a seed; only the completion is learned."""
    shuffle = random.Random(seed)
    end = token_id(tokenizer, END)
    while True:
        chunk = list(itertools.islice(stream, 2048))
        heads = tokenizer.encode_batch([one.prompt for one in chunk])
        tails = tokenizer.encode_batch([one.completion for one in chunk])
        read = [_read(one.read, head.offsets) for one, head in zip(chunk, heads, strict=True)]
        rows = ((head.ids, [*tail.ids, end], places) for head, tail, places in zip(heads, tails, read, strict=True))
        grouped = list(_group(sorted((row for row in rows if _length(row) <= LONGEST), key=_length)))
        shuffle.shuffle(grouped)
        for group in grouped:
            yield _pad(group, end)


Row = tuple[list[int], list[int], list[int]]
"""Prompt, completion, and the places in the prompt that are to be predicted."""


def _read(spans: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Places of the tokens that lie within the spans."""
    starts = [start for start, _ in spans]
    places = (bisect(starts, begin) - 1 for begin, _ in offsets)
    return [token for token, (place, (_, end)) in enumerate(zip(places, offsets, strict=True)) if place >= 0 and end <= spans[place][1]]


def _length(row: Row) -> int:
    return len(row[0]) + len(row[1])


def _group(rows: list[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        if group and (len(group) + 1) * _length(row) > BATCH_TOKENS:
            yield group
            group = []
        group.append(row)
    yield group


def _pad(rows: list[Row], end: int) -> Batch:
    length = max(map(_length, rows))
    tokens = torch.full((len(rows), length), end)
    weights = torch.zeros((len(rows), length - 1))
    for index, (head, tail, read) in enumerate(rows):
        tokens[index, : len(head) + len(tail)] = torch.tensor(head + tail)
        weights[index, [place - 1 for place in read]] = _READ
        weights[index, len(head) - 1 : len(head) + len(tail) - 1] = max(1.0, _SHORT / len(tail))
    return Batch(tokens, weights)


def mixed_precision() -> torch.autocast:
    """bfloat16 where the processor multiplies it; elsewhere that is twenty times slower than float32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.backends.cpu.get_cpu_capability().startswith("AVX512"))


def next_token_loss(model: Llama, batch: Batch) -> Tensor:
    """Mean cross-entropy over the learned positions, by weight, in nats per token."""
    learned = batch.weights > 0
    with mixed_precision():
        hidden = model(batch.tokens[:, :-1])[learned]
        logits = model.logits(hidden)
    each = F.cross_entropy(logits.float(), batch.tokens[:, 1:][learned], reduction="none")
    weights = batch.weights[learned]
    return (each * weights).sum() / weights.sum()


def optimizers_of(model: Llama, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for embeddings and norms.

    Muon (Jordan et al. 2024; scale matching of Liu et al. 2025, arXiv 2502.16982) reached the loss of AdamW in about two thirds of the steps.
    """
    matrices = [value for name, value in model.named_parameters() if value.dim() == 2 and "embed" not in name]
    others = [value for name, value in model.named_parameters() if value.dim() != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def rate_at(step: int, steps: int) -> float:
    """Warm-up, then cosine to a hundredth: the factor on the peak learning rate."""
    warm = min(1.0, (step + 1) / 100)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


B = TypeVar("B")


def fit(
    model: Llama, stream: Callable[[int], Iterator[B]], loss_of: Callable[[Llama, B], Tensor], stage: Stage, *, checkpoint: Path, label: str
) -> None:
    """Train in place on `stream(steps already done)`, resuming from `checkpoint` if it is there."""
    optimizers = optimizers_of(model, stage.rate)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start = state["step"]
    model.train()
    data = stream(start)
    progress = tqdm(range(start, stage.steps), initial=start, total=stage.steps, desc=label, unit="batch", mininterval=2)
    mean = float("nan")
    for step in progress:
        loss = loss_of(model, next(data))
        model.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = stage.rate * rate_at(step, stage.steps)
            optimizer.step()
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        progress.set_postfix(loss=f"{mean:.4f}", refresh=False)
        if (step + 1) % _CHECKPOINT_STEPS == 0 or step + 1 == stage.steps:
            _save_checkpoint(checkpoint, model, optimizers, step + 1)
    model.eval()


def _save_checkpoint(path: Path, model: Llama, optimizers: list[torch.optim.Optimizer], step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"model": model.state_dict(), "optimizers": [one.state_dict() for one in optimizers], "step": step}, partial)
    partial.replace(path)


def grow(model: Llama, shape: Shape) -> Llama:
    """The model with more layers on top that change nothing yet: what they would add is zero (LLaMA Pro, arXiv 2401.02415)."""
    grown = Llama(shape)
    grown.load_state_dict(model.state_dict(), strict=False)
    for layer in list(grown.model.layers)[len(model.model.layers) :]:
        assert isinstance(layer, Layer)
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return grown


def make_tokenizer(path: Path) -> Tokenizer:
    """Load the shared tokenizer, or learn it from training text."""
    if not path.exists():
        texts = [f"{one.prompt}{one.completion}" for one in itertools.islice(examples({**_SOLVING, "know": 0}, (), 0), 30_000)]
        path.parent.mkdir(parents=True, exist_ok=True)
        train_tokenizer(texts, VOCABULARY).save(str(path))
    return load_tokenizer(path.parent)


def drafts(build: Path) -> list[Attempt]:
    """What `small` made of training problems."""
    return attempts_of(MODELS / "small", build / "small.jsonl", count=ROLLOUTS, seed=5)


def make_reasoner(name: str, build: Path) -> None:
    """Train one reasoner and write it, with its tokenizer, to `models/<name>`."""
    recipe = RECIPES[name]
    tokenizer = make_tokenizer(build / "tokenizer.json")
    vocabulary = tokenizer.get_vocab_size()
    attempts: Sequence[Attempt] = drafts(build) if "verify" in recipe.shares else ()
    torch.manual_seed(recipe.seed)
    model = Llama(recipe.shape(vocabulary, recipe.stages[0].layers))
    for number, stage in enumerate(recipe.stages):
        seed = recipe.seed + 100 * number

        def stream(done: int, stage: Stage = stage, seed: int = seed) -> Iterator[Batch]:
            return itertools.islice(batches(tokenizer, examples(stage.shares, attempts, seed), seed), done, None)

        model = grow(model, recipe.shape(vocabulary, stage.layers))
        label = f"{name}, stage {number + 1} of {len(recipe.stages)}"
        fit(model, stream, next_token_loss, stage, checkpoint=build / f"{name}-{number}.pt", label=label)
    save_model(model, MODELS / name, token_id(tokenizer, END), tuple(recipe.shares))
    tokenizer.save(str(MODELS / name / "tokenizer.json"))
