"""Solutions sampled from a trained reasoner on training problems: what the skills and the reward model are taught with. Kept in a file."""

import json
import random
import threading
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from workers.reasoner.engine import Engine, Generation, Wish
from workers.reasoner.prompt import prompt
from workers.reasoner.skills import Attempt
from workers.reasoner.workload import Problem, problems

SAMPLES = 4  # per problem
_IN_FLIGHT = 256


def attempts_of(directory: Path, file: Path, *, count: int, seed: int) -> list[Attempt]:
    """`count` problems with what the model in `directory` makes of each; read from `file` if they are there, else sampled and written."""
    if not file.exists():
        _write(file, _sampled(directory, list(islice(problems("train", seed), count)), seed))
    return [_read(line) for line in file.read_text().splitlines()]


def _sampled(directory: Path, asked: Sequence[Problem], seed: int) -> list[Attempt]:
    engine, dice = Engine(directory, slots=_IN_FLIGHT), random.Random(seed)
    texts: list[list[str]] = [[] for _ in asked]
    room, bar = (
        threading.Semaphore(2 * _IN_FLIGHT),
        tqdm(total=len(asked) * SAMPLES, desc=f"samples of {directory.name}", unit="sample", mininterval=2),
    )

    def take(place: int, generation: Generation) -> None:
        texts[place].append(generation.text)
        bar.update()
        room.release()

    for place, problem in enumerate(asked):
        for _ in range(SAMPLES):
            room.acquire()
            engine.submit(
                prompt("solve", problem.question),
                wish=Wish(max_tokens=256, temperature=dice.choice((0.7, 0.8, 1.0)), seed=dice.getrandbits(32)),
                on_done=lambda generation, place=place: take(place, generation),  # type: ignore[misc]
            )
    for _ in range(2 * _IN_FLIGHT):
        room.acquire()
    bar.close()
    engine.close()
    return [Attempt(problem, tuple(sorted(each))) for problem, each in zip(asked, texts, strict=True)]


def _write(file: Path, attempts: Sequence[Attempt]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in attempts))
    partial.replace(file)


def _read(line: str) -> Attempt:
    row = json.loads(line)
    return Attempt(Problem(**{**row["problem"], "steps": tuple(row["problem"]["steps"])}), tuple(row["texts"]))
