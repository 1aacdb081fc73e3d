"""Drafts side by side, distilled into a workspace, from which the next drafts are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.sampling import Sampling
from workers.parts.vote import choose, votes
from workers.strategies import strategies
from workers.strategies.sequential_refinement import AGAIN

Distil = Literal["summary", "vote", "random"]


@strategies.register("parallel_distill_refine")
@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelDistillRefine(Sampling):
    """PDR (arXiv 2510.01123, section 2.2): in round r, `widths[r]` drafts conditioned on the workspace, which is then made anew from them.

    `distil` makes the workspace, of at most `workspace_tokens` tokens: a "summary" of up to `shown` drafts by the model, or the draft whose answer
    most drafts have ("vote", the paper's top-k with k = 1), or one drawn by lot ("random"). It does not last, so the context stays bounded. The
    drafts of the last round vote; a round that can be read takes the votes of the earlier ones. With one round of one draft this is one sample.
    """

    widths: Sequence[int] = (8, 4, 1)
    distil: Distil = "summary"
    shown: int = 4
    workspace_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, self.shown, self.workspace_tokens) < 1 or self.distil not in get_args(Distil):
            raise ValueError("parallel_distill_refine: widths, shown and workspace_tokens must be at least 1, distil summary, vote or random")

    @property
    def needs(self) -> frozenset[str]:
        """To go on from a workspace, and to make it."""
        if len(self.widths) == 1:
            return frozenset()
        return frozenset({"skill:refine"} | ({"skill:summarise"} if self.distil == "summary" else set()))

    @property
    def spends(self) -> str:
        """Total and sequential, as the paper tells them."""
        summaries = len(self.widths) - 1 if self.distil == "summary" else 0
        return f"{sum(self.widths)} samples and {summaries} summaries, {len(self.widths) + summaries} of them one after the other"

    async def run(self, query: Query, tools: Tools) -> str:
        """Rounds, with a distillation between."""
        workspace = ""
        for number, width in enumerate(self.widths):
            before = len(tools.candidates)
            shown = {"skill": "refine", "texts": (workspace, AGAIN)} if workspace else {}
            await tools.together(self.attempt(query, tools, **shown) for _ in range(width))
            _supersede(tools, before)
            if number + 1 < len(self.widths):
                workspace = await self._distilled(query, tools, [one.text for one in tools.candidates[before:] if votes(one)])
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority of the last round."""
        return choose(candidates, "majority")

    async def _distilled(self, query: Query, tools: Tools, drafts: Sequence[str]) -> str:
        """The workspace; empty where nothing could be read, so that the next round starts from scratch."""
        if not drafts:
            return ""
        if self.distil == "random":
            return drafts[int(tools.rng.integers(len(drafts)))]
        if self.distil == "vote" or len(drafts) == 1:
            chosen = choose(tools.candidates, "majority")
            return drafts[0] if chosen is None else tools.candidates[chosen].text
        summary = await self.draw(query, tools, skill="summarise", texts=tuple(drafts[: self.shown]), max_tokens=self.workspace_tokens)
        tools.use(summary)
        return summary.text


def _supersede(tools: Tools, before: int) -> None:
    """The drafts before this place have no vote any more, if one after it has."""
    if any(votes(one) for one in tools.candidates[before:]):
        for place in range(before):
            tools.discard(place)
