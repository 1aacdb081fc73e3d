"""Train the bundled reasoners from a seed: the shared tokenizer, then `nano`, `small` and `large`. Resumes where it was stopped."""

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from workers.reasoner.model import Llama, Shape, save_model
from workers.reasoner.prompt import END, Skill, completion, prompt
from workers.reasoner.tokenizer import load_tokenizer, token_id, train_tokenizer
from workers.reasoner.workload import problems

MODELS = Path(__file__).parent / "models"
VOCABULARY = 1024
BATCH_TOKENS = 4096
_CHECKPOINT_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model is made: its sizes, the skill it learns and how long."""

    hidden: int
    layers: int
    heads: int
    skill: Skill
    steps: int
    rate: float
    seed: int

    def shape(self, vocabulary: int) -> Shape:
        """The Llama sizes of this recipe."""
        inner = 32 * math.ceil(self.hidden * 8 / 3 / 32)
        return Shape(
            vocab_size=vocabulary,
            hidden_size=self.hidden,
            intermediate_size=inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
        )


RECIPES = {
    "nano": Recipe(hidden=96, layers=3, heads=3, skill="direct", steps=2400, rate=4e-3, seed=1),
    "small": Recipe(hidden=128, layers=4, heads=4, skill="solve", steps=2600, rate=4e-3, seed=2),
    # The `large` in the repository was taken at step 3,000 of these, when the learning rate had fallen to a fortieth.
    "large": Recipe(hidden=192, layers=6, heads=6, skill="solve", steps=3300, rate=3e-3, seed=3),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded token ids (batch, length) and the positions whose next token is learned (batch, length - 1)."""

    tokens: Tensor
    learned: Tensor


def batches(tokenizer: Tokenizer, skill: Skill, seed: int) -> Iterator[Batch]:
    """Training batches of like-long examples, about `BATCH_TOKENS` tokens each, the same for a seed; only the completion is learned."""
    stream = problems("train", seed)
    shuffle = random.Random(seed)
    end = token_id(tokenizer, END)
    while True:
        chunk = list(itertools.islice(stream, 2048))
        heads = tokenizer.encode_batch([prompt(skill, one.question) for one in chunk])
        tails = tokenizer.encode_batch([completion(skill, one.steps, one.answer) for one in chunk])
        rows = sorted(((head.ids, [*tail.ids, end]) for head, tail in zip(heads, tails, strict=True)), key=lambda row: len(row[0]) + len(row[1]))
        grouped = list(_group(rows))
        shuffle.shuffle(grouped)
        for group in grouped:
            yield _pad(group, end)


Row = tuple[list[int], list[int]]


def _group(rows: list[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        if group and (len(group) + 1) * (len(row[0]) + len(row[1])) > BATCH_TOKENS:
            yield group
            group = []
        group.append(row)
    yield group


def _pad(rows: list[Row], end: int) -> Batch:
    length = max(len(head) + len(tail) for head, tail in rows)
    tokens = torch.full((len(rows), length), end)
    learned = torch.zeros((len(rows), length - 1), dtype=torch.bool)
    for index, (head, tail) in enumerate(rows):
        tokens[index, : len(head) + len(tail)] = torch.tensor(head + tail)
        learned[index, len(head) - 1 : len(head) + len(tail) - 1] = True
    return Batch(tokens, learned)


def mixed_precision() -> torch.autocast:
    """bfloat16 where the processor multiplies it; elsewhere that is twenty times slower than float32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.backends.cpu.get_cpu_capability().startswith("AVX512"))


def next_token_loss(model: Llama, batch: Batch) -> Tensor:
    """Mean cross-entropy over the learned positions, in nats per token."""
    with mixed_precision():
        hidden = model(batch.tokens[:, :-1])[batch.learned]
        logits = model.logits(hidden)
    return F.cross_entropy(logits.float(), batch.tokens[:, 1:][batch.learned])


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
    model: Llama, stream: Callable[[int], Iterator[B]], loss_of: Callable[[Llama, B], Tensor], recipe: Recipe, *, checkpoint: Path, label: str
) -> None:
    """Train in place on `stream(steps already done)`, resuming from `checkpoint` if it is there."""
    optimizers = optimizers_of(model, recipe.rate)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start = state["step"]
    model.train()
    data = stream(start)
    progress = tqdm(range(start, recipe.steps), initial=start, total=recipe.steps, desc=label, unit="batch", mininterval=2)
    mean = float("nan")
    for step in progress:
        loss = loss_of(model, next(data))
        model.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * rate_at(step, recipe.steps)
            optimizer.step()
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        progress.set_postfix(loss=f"{mean:.4f}", refresh=False)
        if (step + 1) % _CHECKPOINT_STEPS == 0 or step + 1 == recipe.steps:
            _save_checkpoint(checkpoint, model, optimizers, step + 1)
    model.eval()


def _save_checkpoint(path: Path, model: Llama, optimizers: list[torch.optim.Optimizer], step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"model": model.state_dict(), "optimizers": [one.state_dict() for one in optimizers], "step": step}, partial)
    partial.replace(path)


def make_tokenizer(path: Path) -> Tokenizer:
    """Load the shared tokenizer, or learn it from training text."""
    if not path.exists():
        texts = [
            f"{prompt('solve', one.question)}{completion('solve', one.steps, one.answer)}" for one in itertools.islice(problems("train", 0), 20_000)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        train_tokenizer(texts, VOCABULARY).save(str(path))
    return load_tokenizer(path.parent)


def make_reasoner(name: str, build: Path) -> None:
    """Train one reasoner and write it, with its tokenizer, to `models/<name>`."""
    recipe = RECIPES[name]
    tokenizer = make_tokenizer(build / "tokenizer.json")
    torch.manual_seed(recipe.seed)
    model = Llama(recipe.shape(tokenizer.get_vocab_size()))

    def stream(done: int) -> Iterator[Batch]:
        return itertools.islice(batches(tokenizer, recipe.skill, recipe.seed), done, None)

    fit(model, stream, next_token_loss, recipe, checkpoint=build / f"{name}.pt", label=name)
    save_model(model, MODELS / name, token_id(tokenizer, END))
    tokenizer.save(str(MODELS / name / "tokenizer.json"))
