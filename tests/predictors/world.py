"""A small world whose truth is known: queries of a visible difficulty, two plans with a known chance each, scores that tell right from wrong."""

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from policies.allocator import Allocator
from predictors.evidence import Shown
from predictors.prior import Prior
from predictors.training.retrain import Report, retrain
from router import archive
from router.ports import Policy, Predictor
from router.record import Book, bought, rewarded
from router.types import (
    Action,
    Answer,
    Budget,
    Candidate,
    Evidence,
    Features,
    Finish,
    Knobs,
    Message,
    Outcome,
    Plan,
    Price,
    Query,
    Record,
    Reward,
    Usage,
)

RIGHT = "right"
NAMES = ("bias", "difficulty", "noise_0", "noise_1", "noise_2")
VERSION = "world-1"
CHEAP, DEAR = (
    Plan(id=name, pool=name, strategy="direct", budget=Budget(tokens=tokens, cost=cost), price=Price(completion=1.0))
    for name, tokens, cost in (("cheap", 40, 40), ("dear", 400, 400))
)
PLANS = (CHEAP, DEAR)
_CHANCE = {"cheap": (2.0, 5.0), "dear": (3.5, 4.0)}
_COST = {"cheap": 10, "dear": 100}


def chance(plan: str, difficulty: float) -> float:
    """P(plan is right)."""
    base, slope = _CHANCE[plan]
    return 1 / (1 + math.exp(slope * difficulty - base))


def of_record(record: Record) -> Shown:
    """A logged stage."""
    return Shown(
        plan=record.plan,
        answer=record.outcome_answer,
        answers=record.outcome_answers,
        scores=record.outcome_scores,
        logprobs=record.outcome_logprobs,
        tokens=record.outcome_tokens,
    )


def a_query(text: str = "How hard is this?", **changes: object) -> Query:
    return Query(id="q", messages=(Message(content=text),), **changes)


def features_of(difficulty: float, rng: np.random.Generator | None = None) -> Features:
    noise = np.zeros(3) if rng is None else rng.normal(size=3)
    return Features(vector=np.array([1.0, difficulty, *noise], np.float32), names=NAMES, version=VERSION)


def an_outcome(plan: str, answer: str | None, score: float | None = None, cost: int = 10, logprob: float = -0.1) -> Outcome:
    candidate = Candidate(text=f"Answer: {answer}", answer=answer, finish=Finish.END, tokens=5, logprob=logprob, score=score)
    usage = Usage(kept_tokens=cost, calls=1, cost=cost, seconds=cost / 100)
    return Outcome(plan=plan, answer=answer, text=candidate.text, candidates=(candidate,), usage=usage, stop_reason="done")


def draw(plan: str, difficulty: float, rng: np.random.Generator) -> Outcome:
    """A purchase. The score's log-odds are normal around 2 for right answers and -2 for wrong ones: it alone tells them apart with an AUC of .92."""
    right = rng.random() < chance(plan, difficulty)
    score = 1 / (1 + math.exp(-rng.normal(2.0 if right else -2.0, 2.0)))
    answer = RIGHT if right else f"wrong {rng.integers(1_000_000)}"
    return an_outcome(plan, answer, score, cost=int(_COST[plan] * (1 + difficulty)))


@dataclass(frozen=True)
class Episode:
    """One request from beginning to end."""

    difficulty: float
    evidence: Evidence
    best: Answer | None
    records: tuple[Record, ...]

    @property
    def right(self) -> bool:
        return self.best is not None and self.best.answer == RIGHT

    @property
    def cost(self) -> int:
        return sum(outcome.usage.cost for outcome in self.evidence.outcomes)


def episodes(count: int, seed: int, predictor: Predictor, policy: Policy, knobs: Knobs) -> Iterator[Episode]:
    """The pipeline's loop on simulated queries, with the rows it would log and a verifier's rewards."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield _episode(f"{seed}-{number}", rng, predictor, policy, knobs)


def _episode(name: str, rng: np.random.Generator, predictor: Predictor, policy: Policy, knobs: Knobs) -> Episode:
    difficulty = float(rng.random())
    features, evidence, best = features_of(difficulty, rng), Evidence(), None
    book, rows = Book(query=a_query(), decision_id=name, prompt=""), []
    for stage in range(knobs.max_stages + 1):
        offered: Sequence[Plan] = PLANS if stage < knobs.max_stages else ()
        prediction = predictor.predict(features, evidence, offered)
        decision = policy.weigh(prediction, evidence, offered, knobs).draw(rng)
        row = book.stage(stage, float(stage), features=features, prediction=prediction, decision=decision, best=best)
        if decision.action is not Action.BUY:
            rows.append(replace(row, stop_reason="stopped"))
            break
        outcome = draw(decision.plan, difficulty, rng)
        rows.append(bought(row, outcome))
        evidence = evidence.plus(outcome)
        best = predictor.best(features, evidence)
    return Episode(difficulty, evidence, best, (*rows, *_rewards(name, evidence, best)))


def _rewards(name: str, evidence: Evidence, best: Answer | None) -> Iterator[Record]:
    rated = [(None, best.answer if best else ""), *((stage, outcome.answer) for stage, outcome in enumerate(evidence.outcomes))]
    for stage, answer in rated:
        yield rewarded(Reward(decision_id=name, value=float(answer == RIGHT), source="verifier", at=100.0, stage=stage), "default")


def written(records: Iterable[Record], folder: Path) -> Path:
    """The rows as a file of the log."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(archive.table(archive.rows(map(archive.encode, records))), folder / "log.parquet")
    return folder / "log.parquet"


def fit(records: Iterable[Record], plans: Sequence[str], directory: Path, **options: object) -> Report:
    """Retrain from these rows."""
    with tempfile.TemporaryDirectory() as folder:
        return retrain(written(records, Path(folder)), plans, directory, **options)


def practice(count: int, seed: int) -> list[Record]:
    """A log to learn from: plans drawn uniformly at random under the prior, as `router.practice` does."""
    walked = episodes(count, seed, Prior(), Allocator(), Knobs(exploration=1.0, max_stages=2))
    return [record for episode in walked for record in episode.records]
