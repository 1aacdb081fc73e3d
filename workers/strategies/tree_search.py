"""Search step by step: a verifier judges every prefix, and only the good ones are continued."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Finish, Query, Sample
from workers.strategies import strategies
from workers.together import together
from workers.vote import Rule, choose


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    """Steps from the root of one tree."""

    tree: int
    samples: tuple[Sample, ...] = ()

    @property
    def text(self) -> str:
        """Everything written so far."""
        return "".join(sample.text for sample in self.samples)

    @property
    def logprob(self) -> float:
        """Natural log of its probability under the model that wrote it; 0 where the backend does not tell."""
        return fsum(value for sample in self.samples for value in sample.logprobs)

    @property
    def finished(self) -> bool:
        """Whether the model ended by itself; a truncated path is not finished."""
        return bool(self.samples) and self.samples[-1].finish is Finish.END


@strategies.register("tree_search")
@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSearch:
    """Beam search over steps under a process reward model (Snell et al. 2024, arXiv 2408.03314, section 5.1 and its appendix).

    Each of `trees` independent trees keeps `beams` paths and tries `children` next steps of each; `beams=1` with several trees is diverse
    verifier tree search (Beeching et al. 2024). A finished path that is among the best takes its beam with it, so a tree never holds more than
    `beams`; all finished paths are candidates. A truncated step is thrown away, equal paths of one tree are judged and continued once.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prefix", "stop", "score"})
    beams: int = 4
    children: int = 4
    trees: int = 1
    select: Rule = "weighted"
    max_steps: int = 24
    step_tokens: int = 64
    boundary: str = "\n"
    skill: str = "solve"
    temperature: float = 0.8

    def __post_init__(self) -> None:
        if min(self.beams, self.children, self.trees, self.max_steps, self.step_tokens, len(self.boundary)) < 1 or self.select == "majority":
            raise ValueError("tree_search: counts must be at least 1, boundary not empty, select best or weighted")

    async def run(self, query: Query, tools: Tools) -> str:
        """Grow all trees by one step per round, until every beam is finished."""
        places = [self.beams] * self.trees
        frontier = [_Path(tree=tree) for tree in range(self.trees) for _ in range(self.beams)]
        for _ in range(self.max_steps):
            scored = await self._extend(query, tools, frontier)
            frontier = []
            for tree in range(self.trees):
                best = [path for _, path in sorted(scored, key=_rank) if path.tree == tree][: places[tree]]
                frontier += [path for path in best if not path.finished]
                places[tree] -= sum(path.finished for path in best)
            if not frontier:
                return "done" if tools.candidates else "dead_end"
        return "steps"

    async def _extend(self, query: Query, tools: Tools, frontier: Sequence[_Path]) -> list[tuple[float, _Path]]:
        """The paths that are one step longer, with their scores."""
        grown = await together([partial(self._step, query, tools, path) for path in frontier for _ in range(self.children)])
        paths = {(path.tree, path.text): path for path in grown if path.samples[-1].finish is not Finish.LENGTH}
        texts = list(dict.fromkeys(text for _, text in paths))
        scores = dict(zip(texts, await tools.score(query, texts), strict=True)) if texts else {}
        return [(scores[text], path) for (_, text), path in paths.items()]

    async def _step(self, query: Query, tools: Tools, path: _Path) -> _Path:
        sample = await tools.sample(
            query, prefix=path.text, stop=(self.boundary,), temperature=self.temperature, max_tokens=self.step_tokens, skill=self.skill
        )
        longer = _Path(tree=path.tree, samples=(*path.samples, sample))
        if longer.finished:
            tools.keep(query, longer.samples)
        return longer

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """Of the finished paths, the best-scored, or the best of the answer with the largest sum."""
        return choose(candidates, self.select)


def _rank(scored: tuple[float, _Path]) -> tuple[float, float, str]:
    """Best first; of equal scores the likelier path, then an order that does not depend on time."""
    score, path = scored
    return -score, -path.logprob, path.text
