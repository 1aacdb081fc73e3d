"""Search step by step without a verifier: of each tree the step goes on that the model is surest of, and that is new."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, fsum
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query, Sample
from workers.parts.steps import Path, Stepping, extended
from workers.parts.vote import Rule, choose
from workers.strategies import strategies


@strategies.register("guided_by_gut")
@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedByGut(Stepping):
    """Guided by Gut (Ghasemabadi et al. 2025, arXiv 2505.20325, section 3): tree search led by the model's own confidence and by novelty.

    As in diverse verifier tree search, `trees` grow independently: `children` next steps are tried of each, and the one with the highest
    `confidence` * C + `novelty` * N goes on. C is the mean probability of the step's tokens, N the share of its words that neither the question nor
    its path had before (the authors count tokens, and scale N by .1). Truncated steps are thrown away.

    Finished paths are rated with the mean probability of all their tokens; the authors take that of the last step, but a last line that only repeats
    the result is always sure of itself. `select` is how the answer is chosen among them. The paper's gains come after training the model to be sure
    where it is right; without that this is weaker.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "logprobs"})
    trees: int = 4
    children: int = 4
    confidence: float = 1.0
    novelty: float = 0.1
    select: Rule = "weighted"

    def __post_init__(self) -> None:
        if min(self.trees, self.children) < 1 or min(self.confidence, self.novelty) < 0 or not self.possible:
            raise ValueError("guided_by_gut: counts must be at least 1, confidence and novelty at least 0")
        if self.select not in ("majority", "weighted", "best"):
            raise ValueError("guided_by_gut: select is majority, weighted or best")

    @property
    def spends(self) -> str:
        """Trees by children by steps."""
        return f"{self.trees * self.children} steps, up to {self.max_steps} times"

    async def run(self, query: Query, tools: Tools) -> str:
        """Grow every tree by one step per round, until all have ended."""
        frontier = [Path(tree=number) for number in range(self.trees)]
        while frontier:
            longer = await extended(self, query, tools, [path for path in frontier for _ in range(self.children)])
            valued = [self._valued(query, tools, path) for path in longer]
            best = [min((one for one in valued if one.tree == path.tree), key=Path.rank, default=None) for path in frontier]
            frontier = [path for path in best if path is not None and not path.finished]
        return "done" if tools.candidates[tools.earlier :] else "dead_end"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Among the finished paths."""
        return choose(candidates, self.select)

    def _valued(self, query: Query, tools: Tools, path: Path) -> Path:
        """With the value of its last step; a finished one is rated."""
        if path.place is not None:
            tools.rate(path.place, mean_probability(path.samples))
        before = "".join(sample.text for sample in path.samples[:-1])
        new = novelty(path.samples[-1].text, known=f"{query.text} {before}")
        return replace(path, value=self.confidence * mean_probability(path.samples[-1:]) + self.novelty * new)


def mean_probability(samples: Sequence[Sample]) -> float:
    """Of all tokens, under the model's own distribution; 0 where there are none."""
    logprobs = [value for sample in samples for value in sample.logprobs]
    return fsum(map(exp, logprobs)) / max(1, len(logprobs))


def novelty(step: str, *, known: str) -> float:
    """Share of the step's words that are not known; 0 for an empty step."""
    words, old = step.split(), set(known.split())
    return sum(word not in old for word in words) / max(1, len(words))
