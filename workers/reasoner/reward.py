"""Train the process reward model: the large reasoner taught to tell right prefixes of worked steps from wrong ones.

It is asked at every line break and at the end of a solution, and answers with one of two special tokens, so that any engine that serves the
other models can serve it too. Labels are exact: the worked steps of a problem are known (cf. Lightman et al. 2023, arXiv 2305.20050).
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from workers.reasoner.model import Llama, load_model, save_model
from workers.reasoner.prompt import ANSWER, BAD, END, GOOD, completion, prompt
from workers.reasoner.rollouts import attempts_of
from workers.reasoner.skills import Attempt, corrupt
from workers.reasoner.tokenizer import load_tokenizer, token_id
from workers.reasoner.train import BATCH_TOKENS, MODELS, RECIPES, ROLLOUTS, Stage, drafts, fit, mixed_precision
from workers.reasoner.workload import Problem, problems

SEED = 4
STAGE = Stage(layers=RECIPES["large"].stages[-1].layers, shares={}, steps=1_600, rate=1e-3)


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


def judged_batches(tokenizer: Tokenizer, attempts: Sequence[Attempt], seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(tokens, rows, positions, labels) of about `BATCH_TOKENS` tokens, lengths alike."""
    stream, dice = solutions(attempts, seed), random.Random(seed)
    while True:
        chunk = sorted((judge(tokenizer, *one) for one in itertools.islice(stream, 1024)), key=lambda one: len(one.ids))
        groups: list[list[Judged]] = [[]]
        for one in chunk:
            if groups[-1] and (len(groups[-1]) + 1) * len(one.ids) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(one)
        dice.shuffle(groups)
        for group in groups:
            yield _pad(group, token_id(tokenizer, END))


def solutions(attempts: Sequence[Attempt], seed: int) -> Iterator[tuple[Problem, str]]:
    """Sampled solutions, and one in three times a known one with a mistake put in, or without: these never run out."""
    dice, fresh = random.Random(seed), problems("train", seed)
    while True:
        if dice.random() < 2 / 3:
            attempt = dice.choice(attempts)
            yield attempt.problem, dice.choice(attempt.texts)
        else:
            problem = next(fresh)
            yield problem, corrupt(problem, dice) if dice.random() < 0.6 else completion("solve", problem.steps, problem.answer)


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
    attempts = [*drafts(build), *attempts_of(MODELS / "large", build / "large.jsonl", count=ROLLOUTS // 2, seed=6)]

    def loss(model: Llama, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        tokens, rows, positions, labels = batch
        with mixed_precision():
            asked = model(tokens)[rows, positions]
            logits = model.logits(asked)[:, [bad, good]]
        return F.cross_entropy(logits.float(), labels.long())

    def stream(done: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        return itertools.islice(judged_batches(tokenizer, attempts, SEED), done, None)

    fit(model, stream, loss, STAGE, checkpoint=build / "prm.pt", label="prm")
    save_model(model, MODELS / "prm", token_id(tokenizer, END))
    tokenizer.save(str(MODELS / "prm" / "tokenizer.json"))
