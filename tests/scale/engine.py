"""How long a decoding step of a bundled model takes on one thread of this machine, by how many sequences are in it: `EngineSettings`.

In processor time of the engine's thread, so that what else the machine does is not counted.
"""

import json
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from router.exam import draw
from router.settings import bundled_model
from router.simulation.scenario import EngineSettings
from router.types import Call, Message
from workers.prompts import bundled
from workers.reasoner.engine import Engine, Wish

WIDTHS = (1, 4, 16, 32)
TOKENS = 40
SKILL = "solve"
GATHERED = 2e-3  # seconds within which the tokens of a step are told of


def curve(model: str, slots: int = 64) -> EngineSettings:
    """Fitted to the times between tokens, each with the number of sequences that were in the step; reading, to the time of the first one."""
    torch.set_num_threads(1)
    engine = Engine(Path(bundled_model(model)), slots=slots)
    prompts = [bundled(Call(messages=(Message(content=one.question),), skill=SKILL)) for one in draw("train", 3, 200)]
    steps, reads = [], []
    try:
        _batch(engine, prompts[:2])
        for width in WIDTHS:
            for turn in range(3):
                told = _batch(engine, prompts[turn * width : (turn + 1) * width])
                steps += told[0]
                reads.append(told[1])
    finally:
        engine.close()
    return fitted(steps, reads, slots)


def fitted(steps: list[tuple[int, float]], reads: list[tuple[int, float]], slots: int) -> EngineSettings:
    """Medians for each width, so that what else the machine did meanwhile does not count; then a line through them."""
    widths = sorted({width for width, _ in steps})
    medians = [float(np.median([took for width, took in steps if width == one])) for one in widths]
    sequence, step = np.polyfit(widths, medians, 1)
    tokens, took = np.array(reads).T
    return EngineSettings(step=max(1e-6, step), sequence=max(0.0, sequence), prompt=max(0.0, float(np.median(took / tokens))), slots=slots)


def _batch(engine: Engine, prompts: list[str]) -> tuple[list[tuple[int, float]], tuple[int, float]]:
    """Steps as (sequences in it, seconds), and (tokens read, seconds until the first token)."""
    done, times, begun = threading.Semaphore(0), [[] for _ in prompts], _clock(engine)
    wish = {"max_tokens": TOKENS, "temperature": 1.0}
    for place, prompt in enumerate(prompts):
        engine.submit(
            prompt,
            wish=Wish(**wish, seed=place),
            on_done=lambda _: done.release(),
            on_token=lambda _, place=place: times[place].append(time.thread_time()),
        )
    for _ in prompts:
        done.acquire()
    longest = max(times, key=len)
    steps = [
        (sum(one[0] <= first + GATHERED and one[-1] >= second - GATHERED for one in times), second - first) for first, second in pairwise(longest)
    ]
    return steps[1:], (sum(engine.count(prompt) for prompt in prompts), max(1e-6, max(one[0] for one in times) - begun))


def _clock(engine: Engine) -> float:
    """The processor time of the engine's thread."""
    told, ready = [], threading.Event()
    engine.submit("Tom", wish=Wish(max_tokens=1), on_done=lambda _: ready.set(), on_token=lambda _: told.append(time.thread_time()))
    ready.wait()
    return told[0]


if __name__ == "__main__":
    print(json.dumps(curve(sys.argv[1]).model_dump()))
