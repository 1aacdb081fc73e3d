"""Samples until the model says that another would not be better; bad beginnings are given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import chosen, rate_once
from workers.parts.tracing import Trace, Tracing
from workers.parts.vote import choose
from workers.strategies import strategies


@strategies.register("self_evaluation")
@dataclass(frozen=True, slots=True, kw_only=True)
class SelfEvaluation(Tracing):
    """Adaptive sampling and early pruning by mid-generation self-evaluation (Manvi, Singh and Ermon 2024, arXiv 2410.02725).

    A solution, or a beginning of one, is scored by one token: P(No) to whether starting over would give a better one. Up to `n` samples are drawn
    in rounds of `batch`, those of earlier stages counted, until one has a score of `tau` (above 1: never). The k-th is drawn at a temperature that
    goes from `coolest` half-way nearer to `temperature` each time (the paper's annealing, as we understand it). At each of `marks`, in tokens, the
    best `survivors` of a round's unfinished samples, as a share, go on; so it takes a `batch` of several to prune. The best-scored answer is given.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "skill:restart"})
    temperature: float = 1.0
    coolest: float = 0.0
    n: int = 16
    batch: int = 1
    tau: float = 0.9
    marks: Sequence[int] = ()
    survivors: float = 0.5

    def __post_init__(self) -> None:
        if min(self.n, self.batch, self.max_tokens) < 1 or self.tau < 0 or not 0 < self.survivors <= 1:
            raise ValueError("self_evaluation: counts must be at least 1, tau at least 0, survivors within (0, 1]")
        if list(self.marks) != sorted(set(self.marks)) or not all(0 < mark < self.max_tokens for mark in self.marks):
            raise ValueError("self_evaluation: marks must rise, within 1 and max_tokens")

    @property
    def spends(self) -> str:
        """Rounds, and evaluations."""
        return f"{min(self.batch, self.n)} to {self.n} samples, each evaluated up to {len(self.marks) + 1} times in one token"

    async def run(self, query: Query, tools: Tools) -> str:
        """Buy rounds until satisfied; with `n` samples there already, as many again."""
        for bought in range(tools.earlier % self.n, self.n, self.batch):
            heats = [annealed(place, self.coolest, self.temperature) for place in range(bought, min(bought + self.batch, self.n))]
            await self._round(query, tools, heats)
            await rate_once(query, tools, lambda one: one.text, lambda text: _promise(query, tools, text))
            if any((one.score or 0.0) >= self.tau for one in tools.candidates):
                return "satisfied"
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best-scored."""
        return choose(candidates, "best")

    async def _round(self, query: Query, tools: Tools, heats: Sequence[float]) -> None:
        """Samples at these temperatures, pruned at the marks."""
        racing = [(heat, Trace()) for heat in heats]
        for mark in self.marks:
            racing = await tools.together(self._advanced(query, tools, heat, trace, mark) for heat, trace in racing)
            racing = await self._pruned(query, tools, [(heat, trace) for heat, trace in racing if not trace.ended])
        await tools.together(self._advanced(query, tools, heat, trace, self.max_tokens) for heat, trace in racing)

    async def _advanced(self, query: Query, tools: Tools, heat: float, trace: Trace, mark: int) -> tuple[float, Trace]:
        """The trace up to the mark; kept where that is its end, or the last mark."""
        if not trace.full:
            trace = await self.write(query, tools, trace, mark - trace.tokens, temperature=heat)
        if trace.ended or mark == self.max_tokens:
            tools.keep(query, trace.samples, text=trace.text)
        return heat, trace

    async def _pruned(self, query: Query, tools: Tools, racing: Sequence[tuple[float, Trace]]) -> list[tuple[float, Trace]]:
        """The most promising share, at least one; those of which nothing can be said come last."""
        places = ceil(self.survivors * len(racing) - 1e-9)
        if places == len(racing):
            return list(racing)

        async def promising(text: str) -> tuple[str, float | None]:
            return text, await _promise(query, tools, text)

        found = dict(await tools.together(map(promising, dict.fromkeys(trace.text for _, trace in racing))))
        return sorted(racing, key=lambda one: (-(found.get(one[1].text) or 0.0), one[1].text))[:places]


async def _promise(query: Query, tools: Tools, text: str) -> float | None:
    """P(starting over would not give a better one)."""
    return await chosen(query, tools, "restart", (text,), ("No", "Yes"))


def annealed(place: int, coolest: float, hottest: float) -> float:
    """The temperature of the sample at this place: the coolest at first, then each time half-way nearer to the hottest."""
    return hottest + (coolest - hottest) * 0.5**place
