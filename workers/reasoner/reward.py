"""Train the process reward model: the large reasoner taught to tell right prefixes of worked steps from wrong ones.

It is asked at every line break and at the end of a solution, and answers with one of two special tokens, so that any engine that serves the
other models can serve it too. Labels are exact: the worked steps of a problem are known (cf. Lightman et al. 2023, arXiv 2305.20050).
"""

import itertools
import queue
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from workers.reasoner.engine import Engine, Generation
from workers.reasoner.model import Llama, load_model, save_model
from workers.reasoner.prompt import ANSWER, BAD, END, GOOD, prompt
from workers.reasoner.tokenizer import load_tokenizer, token_id
from workers.reasoner.train import BATCH_TOKENS, MODELS, RECIPES, Recipe, fit, mixed_precision
from workers.reasoner.workload import Problem, problems

RECIPE: Recipe = replace(RECIPES["large"], steps=500, rate=6e-4, seed=4)
_IN_FLIGHT = 512
_SAMPLES = 4  # per problem and model


@dataclass(frozen=True, slots=True)
class Judged:
    """Token ids of prompt and solution, and (position, is everything so far right) for each place where the model is asked."""

    ids: list[int]
    labels: list[tuple[int, bool]]


def judge(tokenizer: Tokenizer, problem: Problem, text: str) -> Judged:
    """Label a sampled solution: a step is right while all lines so far are the known ones; the end is right when the answer is."""
    ids: list[int] = tokenizer.encode(prompt("solve", problem.question)).ids
    labels, right = [], True
    lines = text.split("\n")
    for place, line in enumerate(lines[:-1]):
        right = right and place < len(problem.steps) and line == problem.steps[place]
        ids += tokenizer.encode(f"{line}\n").ids
        labels.append((len(ids) - 1, right))
    ids += [*tokenizer.encode(lines[-1]).ids, token_id(tokenizer, END)]
    labels.append((len(ids) - 1, lines[-1] == f"{ANSWER} {problem.answer}"))
    return Judged(ids, labels)


def rollouts(engines: list[Engine], seed: int) -> Iterator[tuple[Problem, str]]:
    """Solutions sampled from the reasoners on training problems, without end; sampling runs ahead of whoever reads."""
    done: queue.SimpleQueue[tuple[Problem, Generation]] = queue.SimpleQueue()
    stream = problems("train", seed)
    dice = random.Random(seed)

    def order(problem: Problem) -> None:
        for engine, _ in itertools.product(engines, range(_SAMPLES)):
            engine.submit(
                prompt("solve", problem.question),
                max_tokens=256,
                temperature=dice.choice((0.7, 0.8, 1.0)),
                seed=dice.getrandbits(32),
                on_done=lambda generation: done.put((problem, generation)),
            )

    each = len(engines) * _SAMPLES
    for problem in itertools.islice(stream, _IN_FLIGHT // each):
        order(problem)
    for count in itertools.count(1):
        solved, generation = done.get()
        if count % each == 0:
            order(next(stream))
        yield solved, generation.text


def judged_batches(tokenizer: Tokenizer, engines: list[Engine], seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(tokens, rows, positions, labels) of about `BATCH_TOKENS` tokens, lengths alike."""
    stream = rollouts(engines, seed)
    shuffle = random.Random(seed)
    while True:
        chunk = sorted((judge(tokenizer, *one) for one in itertools.islice(stream, 512)), key=lambda one: len(one.ids))
        groups: list[list[Judged]] = [[]]
        for one in chunk:
            if groups[-1] and (len(groups[-1]) + 1) * len(one.ids) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(one)
        shuffle.shuffle(groups)
        for group in groups:
            yield _pad(group, token_id(tokenizer, END))


def _pad(group: list[Judged], end: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tokens = torch.full((len(group), max(len(one.ids) for one in group)), end)
    for index, one in enumerate(group):
        tokens[index, : len(one.ids)] = torch.tensor(one.ids)
    flat = [(index, position, right) for index, one in enumerate(group) for position, right in one.labels]
    rows, positions, labels = (torch.tensor(column) for column in zip(*flat, strict=True))
    return tokens, rows, positions, labels


def make_reward_model(build: Path) -> None:
    """Train it from `models/large` on samples of `small` and `large`, and write it to `models/prm`."""
    tokenizer = load_tokenizer(MODELS / "large")
    good, bad = token_id(tokenizer, GOOD), token_id(tokenizer, BAD)
    model = load_model(MODELS / "large").requires_grad_(True)
    engines = [Engine(MODELS / name, slots=256) for name in ("small", "large")]

    def loss(model: Llama, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        tokens, rows, positions, labels = batch
        with mixed_precision():
            asked = model(tokens)[rows, positions]
            logits = model.logits(asked)[:, [bad, good]]
        return F.cross_entropy(logits.float(), labels.long())

    def stream(done: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Sampling what was seen already would take as long again: a resumed training goes on with other problems."""
        return judged_batches(tokenizer, engines, RECIPE.seed + done)

    try:
        fit(model, stream, loss, RECIPE, checkpoint=build / "prm.pt", label="prm")
    finally:
        for engine in engines:
            engine.close()
    save_model(model, MODELS / "prm", token_id(tokenizer, END))
    tokenizer.save(str(MODELS / "prm" / "tokenizer.json"))
