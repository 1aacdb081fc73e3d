"""Votes: choosing one answer among candidates. What could not be read, or was discarded, does not vote; the candidates' order does not matter."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, repeat
from math import comb, fsum
from typing import Literal

from router.types import Candidate, Fate

Rule = Literal["majority", "weighted", "best"]
JUDGED: tuple[Rule, ...] = ("best", "weighted")  # those that go by scores


def choose(candidates: Sequence[Candidate], rule: Rule) -> int | None:
    """Index of the candidate to give: one of the winning answer, the best of those that gave it.

    `majority` counts (Wang et al. 2022, arXiv 2203.11171); `weighted` sums scores (Li et al. 2022, arXiv 2206.02336); `best` takes the highest
    score (Cobbe et al. 2021, arXiv 2110.14168). Without any score all three are a majority; ties go to the better log-probability.
    """
    scored = any(one.score is not None for one in candidates)
    weights: dict[str, list[float]] = defaultdict(list)
    for one in candidates:
        if one.answer is not None and votes(one):
            weights[one.answer].append((one.score or 0.0) if scored and rule != "majority" else 1.0)
    totals = {answer: max(each) if scored and rule == "best" else fsum(each) for answer, each in weights.items()}

    def strength(index: int) -> tuple[float, float, float, str]:
        one = candidates[index]
        return totals[one.answer or ""], one.score or 0.0, one.logprob, one.text

    readable = [index for index, one in enumerate(candidates) if votes(one)]
    return max(readable, key=strength, default=None)


def elect(candidates: Sequence[Candidate], weights: Sequence[float]) -> int | None:
    """Index of the candidate to give: the heaviest of the answer with the largest sum of weights; ties go to the better log-probability."""
    each: dict[str, list[float]] = defaultdict(list)
    for one, weight in zip(candidates, weights, strict=True):
        if one.answer is not None and votes(one):
            each[one.answer].append(weight)
    totals = {answer: fsum(parts) for answer, parts in each.items()}

    def strength(index: int) -> tuple[float, float, float, str]:
        one = candidates[index]
        return totals[one.answer or ""], weights[index], one.logprob, one.text

    return max((index for index, one in enumerate(candidates) if votes(one)), key=strength, default=None)


def votes(candidate: Candidate) -> bool:
    """Whether a candidate has an answer that counts."""
    return candidate.answer is not None and candidate.fate is Fate.KEPT


def leads(candidates: Sequence[Candidate]) -> tuple[int, int]:
    """Votes of the two commonest answers."""
    counts: dict[str, int] = defaultdict(int)
    for one in candidates:
        if one.answer is not None and votes(one):
            counts[one.answer] += 1
    first, second, *_ = chain(sorted(counts.values(), reverse=True), repeat(0, 2))
    return first, second


def certainty(first: int, second: int) -> float:
    """P(the leading answer is the commoner one), given the votes of the first two.

    Adaptive-Consistency's Beta criterion (Aggarwal et al. 2023, arXiv 2305.11860, section 3.1), 1 - I_0.5(first + 1, second + 1), which for
    whole numbers is a tail of the binomial and so exact.
    """
    draws = first + second + 1
    return 1 - sum(comb(draws, wins) for wins in range(second + 1)) / (1 << draws)
