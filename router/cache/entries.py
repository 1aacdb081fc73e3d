"""Entries: answers, finals and evidence as bytes, and back."""

import json
import zlib
from dataclasses import asdict
from typing import Any

from router.types import Answer, CacheHit, Candidate, EnergySource, Fate, Final, Finish, Outcome, Receipt, Usage

LARGEST = 2**20  # bytes of one entry; what is larger is not kept
_COMPRESSED = 1_024  # bytes from which an entry is compressed


def answer_to_bytes(answer: Answer) -> bytes:
    """An answer alone."""
    return _packed([answer.text, answer.answer, answer.confidence, answer.plan])


def answer_from_bytes(stored: bytes) -> Answer:
    """`answer_to_bytes` backwards."""
    text, answer, confidence, plan = _unpacked(stored)
    return Answer(text=text, answer=answer, confidence=confidence, plan=plan)


def final_to_bytes(final: Final, body: str) -> bytes:
    """The end of a request with what was asked."""
    answer = final.answer and asdict(final.answer)
    stages = [(plan, asdict(usage)) for plan, usage in final.receipt.stages]
    return _packed([body, final.decision_id, answer, asdict(final.receipt.usage), stages, final.ending, final.degraded])


def final_from_bytes(stored: bytes) -> tuple[Final, str]:
    """The end of a request, marked as a repetition, and what was asked."""
    body, decision_id, answer, usage, stages, ending, degraded = _unpacked(stored)
    receipt = Receipt(usage=_usage(usage), stages=tuple((plan, _usage(one)) for plan, one in stages), hit=CacheHit.REPEATED)
    answer = Answer(**answer) if answer else None
    return Final(decision_id=decision_id, answer=answer, receipt=receipt, ending=ending, degraded=tuple(degraded)), body


def evidence_to_bytes(bought: tuple[tuple[str, Outcome], ...]) -> bytes:
    """Outcomes with the ids of their rows; traces are left to the log."""
    return _packed([[origin, _outcome(outcome)] for origin, outcome in bought])


def evidence_from_bytes(stored: bytes) -> tuple[tuple[str, Outcome], ...]:
    """`evidence_to_bytes` backwards."""
    return tuple((origin, _outcome_of(row)) for origin, row in _unpacked(stored))


def _outcome(outcome: Outcome) -> list[object]:
    candidates = [_row(one) for one in outcome.candidates]
    return [outcome.plan, outcome.answer, outcome.text, candidates, asdict(outcome.usage), outcome.stop_reason, outcome.pool]


def _outcome_of(row: list[Any]) -> Outcome:
    plan, answer, text, candidates, usage, stop_reason, pool = row
    kept = tuple(map(_candidate, candidates))
    return Outcome(plan=plan, answer=answer, text=text, candidates=kept, usage=_usage(usage), stop_reason=stop_reason, pool=pool)


def _usage(told: dict[str, Any]) -> Usage:
    return Usage(**{**told, "energy": EnergySource(told["energy"])})


def _row(one: Candidate) -> list[object]:
    return [one.text, one.answer, one.finish, one.tokens, one.logprob, one.score, one.fate, one.cost]


def _candidate(row: list[Any]) -> Candidate:
    text, answer, finish, tokens, logprob, score, fate, cost = row
    return Candidate(text=text, answer=answer, finish=Finish(finish), tokens=tokens, logprob=logprob, score=score, fate=Fate(fate), cost=cost)


def _packed(content: list[object]) -> bytes:
    plain = json.dumps(content, separators=(",", ":")).encode()
    return plain if len(plain) < _COMPRESSED else zlib.compress(plain, 1)


def _unpacked(stored: bytes) -> list[Any]:
    content: list[Any] = json.loads(stored if stored.startswith(b"[") else zlib.decompress(stored))
    return content
