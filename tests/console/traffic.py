"""A log with something to see: questions of the bundled benchmark, decided as the service decides, bought from what its models answered."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from policies.allocator import Allocator
from predictors.encoders.static import Static
from predictors.features import Featurizer, describe_all
from predictors.learned import Learned
from router import archive
from router.benchmark.run import BUNDLED
from router.record import Book, bought, rewarded
from router.types import (
    Action,
    Answer,
    CacheHit,
    Candidate,
    Evidence,
    Fate,
    Features,
    Finish,
    Knobs,
    Message,
    Outcome,
    Plan,
    Query,
    Record,
    Reward,
    Task,
    Usage,
)

Sampled = tuple[str, bool, float]  # an answer, whether it is right, and micro-dollars


@dataclass(frozen=True)
class Question:
    """One of the benchmark's, with what each model answered when it was asked."""

    text: str
    samples: Mapping[str, list[Sampled]]


def questions(count: int) -> list[Question]:
    found: dict[str, dict[str, list[Sampled]]] = {}
    for row in pq.read_table(BUNDLED).to_pylist():
        by_model = found.setdefault(row["query"], {})
        by_model.setdefault(row["arm"], []).append((row["answer"] or "", row["quality"] > 0.5, row["cost_usd"] * 1e6))
    return [Question(text, samples) for text, samples in list(found.items())[:count]]


@dataclass(frozen=True)
class Traffic:
    """Decisions of one tenant about these questions, under its knobs; every answer and every purchase is rated, but for one in five."""

    catalogue: Mapping[str, Plan]
    asked: list[Question]
    knobs: Knobs
    tenant: str = "default"

    @cached_property
    def features(self) -> list[Features]:
        return describe_all(Featurizer(Static()), [one.text for one in self.asked])

    def records(self, count: int, seed: int = 1) -> Iterator[list[Record]]:
        """The rows of each decision, in turn."""
        rng, predictor, policy = np.random.default_rng(seed), Learned(), Allocator()
        for number in range(count):
            place = int(rng.integers(len(self.asked)))
            yield self._decided(f"{seed:04x}{number:08x}", place, rng, predictor, policy)

    def _decided(self, name: str, place: int, rng: np.random.Generator, predictor: Learned, policy: Allocator) -> list[Record]:
        question, features, evidence, best = self.asked[place], self.features[place], Evidence(), None
        if rng.random() < 0.07:
            return [_cached(name, question, self.tenant)]
        query = Query(id=name, messages=(Message(content=question.text),), tenant=self.tenant, task=Task.MATH, knobs=self.knobs)
        book, rows = Book(query=query, decision_id=name, prompt=question.text), []
        for stage in range(self.knobs.max_stages + 1):
            offered = tuple(self.catalogue.values()) if stage < self.knobs.max_stages else ()
            prediction = predictor.predict(features, evidence, offered)
            decision = policy.weigh(prediction, evidence, offered, self.knobs).draw(rng)
            row = book.stage(stage, stage / 10, features=features, prediction=prediction, decision=decision, best=best)
            if decision.action is not Action.BUY:
                rows.append(replace(row, stop_reason="stopped" if decision.action is Action.STOP else "abstained"))
                break
            outcome = purchase(self.catalogue[decision.plan], question, rng)
            rows.append(bought(row, outcome))
            evidence = evidence.plus(outcome)
            best = predictor.best(features, evidence)
        return [*rows, *_rewards(query, question, evidence, best, rng)]


def _cached(name: str, question: Question, tenant: str) -> Record:
    (answer, *_), plan = question.samples["small"][0], "small-solve"
    book = Book(
        query=Query(id=name, messages=(Message(content=question.text),), tenant=tenant, task=Task.MATH), decision_id=name, prompt=question.text
    )
    return book.cached(0.0, Answer(text=answer, answer=answer, confidence=0.9, plan=plan), CacheHit.EXACT)


def purchase(plan: Plan, question: Question, rng: np.random.Generator) -> Outcome:
    """What the plan would have given: the answer that most of its samples gave, the last of which were stopped."""
    known = question.samples.get(plan.pool) or [("", False, 1.0)]
    count = int(plan.options.get("n", 4 if plan.strategy == "beam" else 1))  # type: ignore[call-overload]
    drawn = [known[int(rng.integers(len(known)))] for _ in range(count)]
    candidates = tuple(_candidate(one, place, count, rng) for place, one in enumerate(drawn))
    kept = [one for one in candidates if one.fate is Fate.KEPT]
    answer = Counter(one.answer for one in kept).most_common(1)[0][0]
    tokens = {fate: sum(one.tokens for one in candidates if one.fate is fate) for fate in Fate}
    usage = Usage(
        prompt_tokens=40,
        kept_tokens=tokens[Fate.KEPT],
        discarded_tokens=tokens[Fate.DISCARDED],
        cancelled_tokens=tokens[Fate.CANCELLED],
        samples=count,
        calls=count,
        cost=math.ceil(sum(cost for _, _, cost in drawn)),
        seconds=float(rng.gamma(4, {"nano": 0.01, "small": 0.03}.get(plan.pool, 0.12)) * math.sqrt(count)),
    )
    return Outcome(plan=plan.id, answer=answer, text="", candidates=candidates, usage=usage, stop_reason="agreed" if count > 1 else "done")


def _candidate(one: Sampled, place: int, count: int, rng: np.random.Generator) -> Candidate:
    answer, right, _ = one
    fate = Fate.CANCELLED if count > 2 and place > 0.8 * count else Fate.DISCARDED if count > 2 and not right and rng.random() < 0.4 else Fate.KEPT
    if place == 0:
        fate = Fate.KEPT
    score = float(1 / (1 + math.exp(-rng.normal(1.5 if right else -1.0, 1.2))))
    tokens = int(rng.integers(18, 90))
    return Candidate(text="", answer=answer or None, finish=Finish.END, tokens=tokens, logprob=-float(rng.gamma(2, 0.05)), score=score, fate=fate)


def _rewards(query: Query, question: Question, evidence: Evidence, best: Answer | None, rng: np.random.Generator) -> Iterator[Record]:
    if rng.random() < 0.2:
        return
    right = {answer for samples in question.samples.values() for answer, good, _ in samples if good}
    rated: list[tuple[int | None, str | None]] = list(enumerate(outcome.answer for outcome in evidence.outcomes))
    if best:
        rated.append((None, best.answer))
    for stage, answer in rated:
        yield rewarded(Reward(decision_id=query.id, value=float(answer in right), source="verifier", at=9.0, stage=stage), query.tenant)


def fill(data: Path, decisions: list[list[Record]], copies: int = 1, hours: float = 5.0) -> int:
    """Put them into the log of a data folder, as many times, over the last hours; how many there are then."""
    ids = [row.decision_id for rows in decisions for row in rows]
    table, count = archive.table(archive.rows(archive.encode(row) for rows in decisions for row in rows)), len(decisions)
    place = {name: index for index, name in enumerate(dict.fromkeys(ids))}
    number = np.array([place[name] for name in ids])
    begin, step = time.time() - 3600 * hours, 3600 * hours / (count * copies)
    folder = data / "journal" / "parquet" / f"date={time.strftime('%Y-%m-%d', time.gmtime())}"
    folder.mkdir(parents=True, exist_ok=True)
    for copy in range(copies):
        at = begin + step * (number + copy * count) + np.array(table["at"])
        renamed = {"decision_id": [f"{copy:02x}{name}" for name in ids], "id": [f"{copy:02x}{name}" for name in table["id"].to_pylist()], "at": at}
        part = table
        for column, values in renamed.items():
            part = part.set_column(part.schema.get_field_index(column), column, pa.array(values))
        pq.write_table(part, folder / f"{decisions[0][0].tenant}-{copy:02}.parquet", compression="zstd")
    return count * copies
