"""What a model says of solutions, through its own skills: a verdict, a mark, a comparison, and the probability it gives to what it said.

What cannot be read is None, and never counts as a verdict.
"""

import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from router.ports import Tools
from router.types import Candidate, Query, Sample
from workers.parts.vote import votes

_VERDICT = re.compile(r"verdict\s*:\s*\**\s*(yes|no)\b", re.IGNORECASE)
MARK = re.compile(r"\d")
MARKS = re.compile(r"(\d)\D+(\d)")
TOP = 9  # the highest mark


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a solution is held to be right: P(Yes), from the log-probability of the word where there is one, else 1 or 0; and the check's text."""

    probability: float
    said: bool
    check: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Marks of two solutions, each 0 to 9."""

    first: int
    second: int


async def verdict(query: Query, tools: Tools, text: str, *, temperature: float = 0.0, max_tokens: int = 256, pool: str = "") -> Verdict | None:
    """Have a solution checked (GenRM, Zhang et al. 2024, arXiv 2408.15240, eq. 5)."""
    sample = await tools.sample(query, skill="verify", texts=(text,), temperature=temperature, max_tokens=max_tokens, pool=pool)
    found = _VERDICT.search(sample.text) if sample.finish.whole else None
    if found is None:
        return None
    tools.use(sample)
    said = found[1].casefold() == "yes"
    return Verdict(chance(sample, said=said), said, sample.text)


async def mark(query: Query, tools: Tools, text: str, *, temperature: float = 0.0, pool: str = "") -> int | None:
    """Have a solution, or a beginning of one, marked from 0 to 9 in one token."""
    sample = await tools.sample(query, skill="score", texts=(text,), temperature=temperature, max_tokens=2, pool=pool)
    found = MARK.search(sample.text)
    if found is None:
        return None
    tools.use(sample)
    return int(found[0])


async def comparison(query: Query, tools: Tools, first: str, second: str, *, temperature: float = 0.0, pool: str = "") -> Comparison | None:
    """Have two solutions marked side by side."""
    sample = await tools.sample(query, skill="judge", texts=(first, second), temperature=temperature, max_tokens=32, pool=pool)
    found = MARKS.search(sample.text)
    if found is None:
        return None
    tools.use(sample)
    return Comparison(int(found[1]), int(found[2]))


async def chosen(
    query: Query, tools: Tools, skill: str, texts: Sequence[str], words: tuple[str, str], *, temperature: float = 0.0, pool: str = ""
) -> float | None:
    """P(the first of two words) where the skill's answer is one of the two, or was cut off within one; 1 or 0 without log-probabilities."""
    sample = await tools.sample(query, skill=skill, texts=texts, temperature=temperature, max_tokens=4, pool=pool)
    text, cut = sample.text.strip().casefold(), not sample.finish.whole
    first, second = (text.startswith(word.casefold()) or (cut and text != "" and word.casefold().startswith(text)) for word in words)
    if first == second:
        return None
    tools.use(sample)
    return chance(sample, said=first, place=0)


async def rate_once(query: Query, tools: Tools, about: Callable[[Candidate], str], judge: Callable[[str], Coroutine[Any, Any, float | None]]) -> None:
    """Have every candidate rated that votes and has no score yet, by what is `about` it: equal ones are judged once. A judge may say nothing."""
    unrated = {place: about(one) for place, one in enumerate(tools.candidates) if one.score is None and votes(one)}

    async def judged(what: str) -> tuple[str, float | None]:
        return what, await judge(what)

    found = dict(await tools.together(judged(what) for what in dict.fromkeys(unrated.values())))
    for place, what in unrated.items():
        if (score := found.get(what)) is not None:
            tools.rate(place, score)


def chance(sample: Sample, *, said: bool, place: int | None = None) -> float:
    """P(yes) of a sample that said yes or no, over the two words alone; `place` is the word's token, the last but the end if not given."""
    if not sample.logprobs:
        return float(said)
    where = max(0, len(sample.logprobs) - 2) if place is None else place
    probability = exp(sample.logprobs[where])
    return probability if said else 1 - probability
