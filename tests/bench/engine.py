"""Tokens per second of the bundled reasoners' engine by device and width: `python -m tests.bench.engine --device cuda`."""

import json
import threading
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from router.types import Call, Message
from workers.prompts import bundled
from workers.reasoner.engine import Engine, Wish

MODELS = Path("workers/reasoner/models")
PROMPT = bundled(Call(messages=(Message(content="Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?"),)))
TOKENS = 200


def rate(engine: Engine, width: int, tokens: int = TOKENS) -> float:
    """Tokens per second of so many sequences at once."""
    left, done = threading.Semaphore(0), []
    wish = Wish(max_tokens=tokens, temperature=1.0)
    started = time.perf_counter()
    for _ in range(width):
        engine.submit(PROMPT, wish=wish, on_done=lambda one: (done.append(one.tokens), left.release()))
    for _ in range(width):
        left.acquire()
    return sum(done) / (time.perf_counter() - started)


def greedy(engine: Engine) -> str:
    """What it writes without chance."""
    told, ready = [], threading.Event()
    engine.submit(PROMPT, wish=Wish(max_tokens=60), on_done=lambda one: (told.append(one.text), ready.set()))
    ready.wait()
    return told[0]


def measured(model: str, device: str, widths: list[int]) -> dict[str, object]:
    engine = Engine(MODELS / model, slots=max(widths), device=device)
    rate(engine, 2, 20)  # warm
    found = {"model": model, "device": device, "text": greedy(engine), "tokens_per_second": {width: rate(engine, width) for width in widths}}
    engine.close()
    return found


def main(
    device: Annotated[list[str], typer.Option(help="A torch device; may be repeated.")] = ["cpu"],  # noqa: B006
    model: Annotated[list[str], typer.Option(help="A bundled model; may be repeated.")] = ["small", "large"],  # noqa: B006
    width: Annotated[list[int], typer.Option(help="Sequences at once; may be repeated.")] = [1, 16, 64],  # noqa: B006
) -> None:
    """Measure."""
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))
    print(json.dumps([measured(name, where, width) for where in device for name in model], indent=1))


if __name__ == "__main__":
    typer.run(main)
