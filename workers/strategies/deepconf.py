"""Several samples, of which the unsure are left out, or given up while they are written."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import fsum
from typing import Literal, get_args

import numpy as np

from router.ports import Tools
from router.types import Candidate, Finish, Halt, Query, Sample
from workers.parts.confidence import Floats, sliding_means, token_confidences
from workers.parts.sampling import Sampling, in_turn
from workers.parts.vote import choose, votes
from workers.strategies import strategies

Measure = Literal["lowest", "bottom", "tail", "mean"]
SCALE = 100.0  # the most that a confidence can be; ratings are shares of it, so that weights keep their proportions
_ROUNDING = 1e-9  # a server adds up in another order: what is as sure as the bar is not given up


@strategies.register("deepconf")
@dataclass(frozen=True, slots=True, kw_only=True)
class DeepConf(Sampling):
    """Deep think with confidence (Fu et al. 2025, arXiv 2508.15260, section 3): a vote of the `keep` percent most confident samples, by confidence.

    A token's confidence is minus the mean log-probability of its `top` likeliest alternatives, a group's the mean over `window` tokens (over all, if
    there are fewer). A sample's is that of its "lowest" group, the mean of the "bottom" tenth of groups, that of its "tail" of `window` tokens, or
    the "mean".

    Offline, all `n` are written and then filtered. `online` (by lowest group alone), the first `warmup` set the bar, the percentile above which
    `keep` percent of them lie; the others, `width` at a time, are given up as soon as a whole window is below it. What was given up, or ends below
    the bar, never votes. It ends early once one answer has `consensus` of all weight (above 1: never), looked at in the order in which samples were
    begun. `keep` of 10 is the paper's DeepConf-low, 90 its DeepConf-high; its windows of 2,048 tokens are for traces of tens of thousands.

    The authors' code averages all entries that a server returns for a token, one more than `top` where the token written is not among these; here it
    is always the likeliest `top`. Samples of earlier stages were not asked for their confidence: they are not counted, and what they weigh is what
    rating they have.
    """

    n: int = 32
    keep: float = 90.0
    measure: Measure = "lowest"
    window: int = 16
    top: int = 20
    online: bool = True
    warmup: int = 16
    consensus: float = 0.95
    width: int = 8

    def __post_init__(self) -> None:
        if min(self.n, self.window, self.top, self.warmup, self.width) < 1 or not (0 < self.keep <= 100 and self.consensus > 0):
            raise ValueError("deepconf: counts must be at least 1, keep within (0, 100], consensus above 0")
        if self.measure not in get_args(Measure) or (self.online and self.measure != "lowest"):
            raise ValueError("deepconf: measure is lowest, bottom, tail or mean; online it is lowest")

    @property
    def needs(self) -> frozenset[str]:
        """Online, samples are given up."""
        return frozenset({"top_logprobs"} | ({"halt", "cancel"} if self.online else set()))

    @property
    def spends(self) -> str:
        """The unsure are given up."""
        if not self.online:
            return f"{self.n} samples"
        return f"{min(self.warmup, self.n)} to {self.n} samples, {self.width} at a time, the unsure cut off"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy the samples; online, with the bar that the first of them set."""
        first = min(self.warmup, self.n) if self.online else self.n
        seen = await tools.together(self._rated(query, tools) for _ in range(first))
        if not self.online:
            return "done"
        least = bar([tools.candidates[place].score or 0.0 for place in seen], self.keep)
        for place in seen:
            self._judge(tools, place, least)

        def agreed(place: int | None = None) -> bool:
            seen.extend([] if place is None else [place])
            return consensus([tools.candidates[one] for one in seen]) >= self.consensus

        if agreed() or await in_turn(tools, lambda: self._rated(query, tools, least), self.n - first, self.width, agreed):
            return "consensus"
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The most confident of the answer with the largest sum of confidences."""
        kept = list(range(len(candidates))) if self.online else confident(candidates, self.keep)
        best = choose([candidates[place] for place in kept], "weighted")
        return None if best is None else kept[best]

    def confidence(self, sample: Sample) -> float:
        """The sample's, by the measure asked for; 0 where nothing is known."""
        values = token_confidences(sample, self.top)
        return trace_confidence(values, self.measure, self.window) if len(values) else 0.0

    async def _rated(self, query: Query, tools: Tools, least: float | None = None) -> int:
        """Buy one sample, given up once it is below the least rating that counts, and rate it; its place."""
        halt = None if least is None else Halt(window=self.window, below=least * SCALE - _ROUNDING)
        sample = await self.draw(query, tools, top_logprobs=self.top, halt=halt)
        place = tools.keep(query, [sample])
        tools.rate(place, self.confidence(sample) / SCALE)
        self._judge(tools, place, 2.0 if sample.finish is Finish.HALTED else least or 0.0)
        return place

    @staticmethod
    def _judge(tools: Tools, place: int, least: float) -> None:
        if (tools.candidates[place].score or 0.0) < least:
            tools.discard(place)


def trace_confidence(values: Floats, measure: Measure, window: int) -> float:
    """One confidence of those of a sample's tokens, of which there is at least one."""
    groups = sliding_means(values, window)
    match measure:
        case "lowest":
            return float(groups.min())
        case "bottom":
            return float(np.sort(groups)[: max(1, len(groups) // 10)].mean())
        case "tail":
            return float(values[-window:].mean())
        case "mean":
            return float(values.mean())


def bar(confidences: Sequence[float], keep: float) -> float:
    """What `keep` percent of these reach."""
    return float(np.percentile(confidences, 100 - keep))


def confident(candidates: Sequence[Candidate], keep: float) -> list[int]:
    """Places of the `keep` percent most confident candidates that vote; of all that vote where none is rated."""
    voting = [place for place, one in enumerate(candidates) if votes(one)]
    rated = {place: score for place in voting if (score := candidates[place].score) is not None}
    least = bar(list(rated.values()), keep) if rated else 0.0
    return [place for place, score in rated.items() if score >= least] if rated else voting


def consensus(candidates: Sequence[Candidate]) -> float:
    """The heaviest answer's share of all weight."""
    weights: dict[str, list[float]] = defaultdict(list)
    for one in candidates:
        if one.answer is not None and votes(one):
            weights[one.answer].append(one.score or 0.0)
    total = fsum(chain.from_iterable(weights.values()))
    return max(map(fsum, weights.values())) / total if total else 0.0
