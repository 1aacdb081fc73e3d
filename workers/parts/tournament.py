"""Ratings from comparisons: who won against whom, by how much, and whom to compare next (V1, arXiv 2603.04304, section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Ratings:
    """Margin-weighted win rates of `count` contestants.

    mu_i = sum_j w_ij win_ij / sum_j w_ij, where w_ij is the margin of a comparison as a share of the scale, win_ij 1 for the better one of the
    two; a tie has no weight, so it changes no rate. A contestant that nothing is known of stands at one half.
    """

    count: int
    top: int = 9
    weight: dict[int, float] = field(default_factory=dict)
    won: dict[int, float] = field(default_factory=dict)
    met: dict[tuple[int, int], int] = field(default_factory=dict)

    def tell(self, first: int, second: int, marks: tuple[int, int] | None) -> None:
        """One comparison; None: it could not be read, but need not be made again."""
        pair = (min(first, second), max(first, second))
        self.met[pair] = self.met.get(pair, 0) + 1
        if marks is None:
            return
        margin = abs(marks[0] - marks[1]) / self.top
        better = first if marks[0] > marks[1] else second
        for one in (first, second):
            self.weight[one] = self.weight.get(one, 0.0) + margin
            self.won[one] = self.won.get(one, 0.0) + margin * (one == better)

    def rate(self, one: int) -> float:
        """The rate mu of a contestant."""
        weight = self.weight.get(one, 0.0)
        return self.won.get(one, 0.0) / weight if weight else 0.5

    def degree(self, one: int) -> int:
        """How many others it has met."""
        return sum(one in pair for pair in self.met)

    def coverage(self, least: int, most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """At most `most` new pairs that bring every contestant towards `least` meetings: those that met fewest come first, equals by lot."""
        degree = {one: self.degree(one) for one in range(self.count)}
        lot = rng.permutation(self.count).tolist()
        pairs: list[tuple[int, int]] = []
        while len(pairs) < most:
            rank = sorted(range(self.count), key=lambda one: (degree[one], lot[one]))
            pair = next((found for found in self._pairs(rank, pairs) if degree[found[0]] < least), None)
            if pair is None:
                break
            pairs.append(pair)
            for one in pair:
                degree[one] += 1
        return pairs

    def swiss(self, window: int, most: int) -> list[tuple[int, int]]:
        """At most `most` new pairs of neighbours in the ranking, not more than `window` places apart, the closest rates first; nobody in two."""
        rank = sorted(range(self.count), key=lambda one: (-self.rate(one), one))
        near = [
            (abs(self.rate(one) - self.rate(other)), place, one, other)
            for place, one in enumerate(rank)
            for other in rank[place + 1 : place + 1 + window]
            if (min(one, other), max(one, other)) not in self.met
        ]
        pairs, busy = list[tuple[int, int]](), set[int]()
        for _, _, one, other in sorted(near):
            if len(pairs) < most and not busy & {one, other}:
                pairs.append((one, other))
                busy |= {one, other}
        return pairs

    def _pairs(self, rank: Sequence[int], taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        used: Mapping[tuple[int, int], object] = {**self.met, **dict.fromkeys((min(pair), max(pair)) for pair in taken)}
        return [(one, other) for place, one in enumerate(rank) for other in rank[place + 1 :] if (min(one, other), max(one, other)) not in used]
