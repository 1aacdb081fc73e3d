"""The bundled reasoners' own table: `python -m router.benchmark.reasoners` has each of them answer calibration questions several times."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from tqdm import tqdm

from router.benchmark.run import BUNDLED
from router.exam import draw, is_right
from router.settings import Settings, bundled_model
from router.types import Call, Message, Price, Task
from workers.answers import read
from workers.prompts import bundled
from workers.reasoner.engine import Engine, Generation, Wish
from workers.reasoner.workload import Problem

SAMPLES = {"nano": 1, "small": 4, "large": 2}
_SEED, _TEMPERATURE, _TOKENS = 23, 0.8, 384


def attempts(model: str, samples: int, price: Price, paper: Sequence[Problem]) -> Iterator[dict[str, Any]]:
    """A row for every sample of one model, drawn side by side."""
    engine = Engine(bundled_model(model))
    orders = [(place, sample) for place in range(len(paper)) for sample in range(samples)]
    waiting = [_ordered(engine, paper[place], seed=1_000 * place + sample) for place, sample in orders]
    for (place, sample), future in tqdm(zip(orders, waiting, strict=True), total=len(orders), desc=model):
        yield _row(model, sample, price, paper[place], future.result())
    engine.close()


def _ordered(engine: Engine, problem: Problem, seed: int) -> "Future[Generation]":
    future: Future[Generation] = Future()
    call = Call(messages=(Message(content=problem.question),))
    engine.submit(bundled(call), wish=Wish(max_tokens=_TOKENS, temperature=_TEMPERATURE, seed=seed), on_done=future.set_result)
    return future


def _row(model: str, sample: int, price: Price, problem: Problem, drawn: Generation) -> dict[str, Any]:
    answer = read(Task.MATH, drawn.text, drawn.finish)
    return {
        "query_id": problem.question,
        "query": problem.question,
        "benchmark": "bundled",
        "category": f"{problem.family}/{problem.level}",
        "arm": model,
        "sample_index": sample,
        "quality": float(is_right(problem, answer or "")),
        "answer": answer,
        "response_chars": len(drawn.text),
        "cost_usd": (price.prompt * drawn.prompt_tokens + price.completion * drawn.tokens) / 1e6,
    }


def main(
    questions: Annotated[int, typer.Option(help="Different calibration questions.")] = 1_000,
    to: Annotated[Path, typer.Option(help="The table to write.")] = BUNDLED,
) -> None:
    """Write the table; minutes."""
    paper = draw("calibration", _SEED, questions)
    prices = {plan.pool: plan.plan(name).price for name, plan in Settings().plans.items()}
    rows = [row for model, samples in SAMPLES.items() for row in attempts(model, samples, prices[model], paper)]
    pq.write_table(pa.Table.from_pylist(rows), to, compression="zstd")


if __name__ == "__main__":
    typer.run(main)
