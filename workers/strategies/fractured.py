"""Several thoughts, each answered from several points of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from router.ports import Tools
from router.types import Candidate, Query, Sample, Style
from workers.parts.sampling import Sampling, score_once
from workers.parts.tracing import Trace
from workers.parts.vote import Rule, choose
from workers.strategies import strategies


@strategies.register("fractured")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fractured(Sampling):
    """Fractured sampling (Liao et al. 2025, arXiv 2505.12992, section 3): `n` thoughts, each cut at `cuts` points, `m` solutions from each of these.

    A thought is what stands before the pool's style opens the answer. The h-th solution goes on from the first h / `cuts` of it, the answer opened;
    the last from the whole, so that with one cut and one solution this is self-consistency. Cuts are by letters, where the authors cut by tokens:
    that asks nothing more of the pool. A thought that was truncated is one that is cut anyway. All n * cuts * m solutions are candidates, and
    `select` decides among them: early cuts often give the result of half the work, which a verifier can tell and a majority cannot.
    """

    n: int = 4
    cuts: int = 4
    m: int = 1
    answer_tokens: int = 64
    select: Rule = "majority"

    def __post_init__(self) -> None:
        if min(self.n, self.cuts, self.m, self.answer_tokens) < 1 or self.select not in ("majority", "weighted", "best"):
            raise ValueError("fractured: n, cuts, m and answer_tokens must be at least 1, select majority, weighted or best")

    @property
    def needs(self) -> frozenset[str]:
        """A verifier, to select by scores."""
        return frozenset({"prefix", "stop"} | (set() if self.select == "majority" else {"score"}))

    @property
    def spends(self) -> str:
        """Thoughts, and answers."""
        scored = "" if self.select == "majority" else ", all scored"
        return f"{self.n} thoughts, {self.n * self.cuts * self.m} answers to them of up to {self.answer_tokens} tokens{scored}"

    async def run(self, query: Query, tools: Tools) -> str:
        """Think, and answer each thought as soon as it is there."""
        seeds = tools.rng.integers(2**31, size=(self.n, 1 + self.cuts * self.m)).tolist()  # drawn first, as thoughts end in any order
        await tools.together(self._thought(query, tools, row) for row in seeds)
        if self.select != "majority":
            await score_once(query, tools)
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Among all solutions."""
        return choose(candidates, self.select)

    async def _thought(self, query: Query, tools: Tools, seeds: Sequence[int]) -> None:
        thought = await self.draw(query, tools, stop=(tools.style.answer,), seed=seeds[0])
        prefixes = [prefix for prefix in fractions(thought.text, self.cuts, tools.style) for _ in range(self.m)]
        await tools.together(self._solution(query, tools, thought, prefix, seed) for prefix, seed in zip(prefixes, seeds[1:], strict=True))

    async def _solution(self, query: Query, tools: Tools, thought: Sample, prefix: str, seed: int) -> None:
        sample = await self.draw(query, tools, prefix=prefix, max_tokens=self.answer_tokens, seed=seed)
        tools.keep(query, [thought, sample], text=prefix + sample.text)


def fractions(text: str, cuts: int, style: Style) -> Iterator[str]:
    """The first 1 / cuts of a thought, the first 2 / cuts, and so on to all of it, each with the answer opened."""
    thought = Trace(text=text).unanswered(style).text
    for cut in range(1, cuts):
        yield Trace(text=thought[: len(thought) * cut // cuts]).answer_opened(style).text
    yield Trace(text=text).answer_opened(style).text
