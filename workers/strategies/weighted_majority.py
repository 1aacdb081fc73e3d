"""Majority of several samples, each weighing as much as it deserves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import exp, fsum
from typing import Literal, get_args

from router.ports import Tools
from router.types import Candidate, Query, Sample
from workers.parts.aggregates import AGGREGATES, Aggregate
from workers.parts.confidence import token_entropy
from workers.parts.sampling import Sampling, missing, score_once
from workers.parts.vote import choose, elect, votes
from workers.strategies import strategies

Weight = Literal["score", "probability", "entropy"]


@strategies.register("weighted_majority")
@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedMajority(Sampling):
    """The answer with the largest sum of weights among `n` samples (Li et al. 2022, arXiv 2206.02336); given is the heaviest of its samples.

    `weight` says what a sample weighs:

    - "score": what the verifier says of it; `aggregate` makes one score of those of all its beginnings (the last, their minimum or their product).
    - "probability": the geometric mean probability of its tokens.
    - "entropy": exp(-H), H the mean entropy of its tokens in nats, from the `top` likeliest (what is left counts as one more, so a lower bound).

    Weights are used as they are, so only their proportions matter, and a weight of 0 is no vote. Samples of earlier stages count, but not for
    "entropy", which they were not asked for. With `n` of 1 nothing is scored, for it wins anyway.
    """

    n: int = 16
    weight: Weight = "score"
    aggregate: Aggregate = "last"
    top: int = 20

    def __post_init__(self) -> None:
        if self.n < 1 or self.top < 1 or self.weight not in get_args(Weight) or self.aggregate not in AGGREGATES:
            raise ValueError("weighted_majority: n and top must be at least 1, weight score, probability or entropy, aggregate last, min or prod")

    @property
    def needs(self) -> frozenset[str]:
        """What tells the weight."""
        if self.weight == "score":
            return frozenset({"score"} if self.aggregate == "last" else {"score", "steps"})
        return frozenset({"logprobs" if self.weight == "probability" else "top_logprobs"})

    @property
    def spends(self) -> str:
        """All of them."""
        scored = {"last": "as many texts", "min": "all their beginnings", "prod": "all their beginnings"}[self.aggregate]
        return f"{self.n} samples" + (f", {scored} scored" if self.weight == "score" else "")

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the samples, and find out what they weigh."""
        if self.weight == "entropy":
            await tools.together(self._rated(query, tools) for _ in range(self.n))
            return "done"
        await self.attempts(query, tools, missing(tools, self.n))
        if self.weight == "score" and self.n > 1:
            await (score_once(query, tools) if self.aggregate == "last" else self._score_beginnings(query, tools))
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The heaviest of the answer with the largest sum."""
        if self.weight == "probability":
            return elect(candidates, [exp(one.logprob) for one in candidates])
        return choose(candidates, "weighted")

    async def _rated(self, query: Query, tools: Tools) -> None:
        sample = await self.draw(query, tools, top_logprobs=self.top)
        tools.rate(tools.keep(query, [sample]), exp(-mean_entropy(sample)))

    async def _score_beginnings(self, query: Query, tools: Tools) -> None:
        """Score every beginning of every text, equal ones once, and rate the texts."""
        paths = {one.text: beginnings(one.text, tools.style.step) for one in tools.candidates if one.score is None and votes(one)}
        different = tuple(dict.fromkeys(chain.from_iterable(paths.values())))
        scores = dict(zip(different, await tools.score(query, different), strict=True))
        for place, one in enumerate(tools.candidates):
            if one.text in paths:
                tools.rate(place, AGGREGATES[self.aggregate]([scores[path] for path in paths[one.text]]))


def mean_entropy(sample: Sample) -> float:
    """Mean over the tokens, in nats; 0 where nothing is known of them."""
    return fsum(map(token_entropy, sample.top_logprobs)) / max(1, len(sample.top_logprobs))


def beginnings(text: str, step: str) -> list[str]:
    """The text up to each end of a step, and the whole."""
    *steps, last = text.split(step)
    places = range(1, len(steps) + 1)
    return [step.join([*steps[:place], ""]) for place in places] + ([text] if last else [])
