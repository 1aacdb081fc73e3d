"""One solution, written again and again."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.ports import Tools
from router.types import Candidate, Query
from workers.parts.judging import verdict
from workers.parts.sampling import Sampling
from workers.parts.vote import choose
from workers.strategies import strategies

AGAIN = "Check every step, and write a better solution."


@strategies.register("sequential_refinement")
@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialRefinement(Sampling):
    """s_{t+1} = LLM(x, s_t), for `rounds` rounds (Madaan et al. 2023, arXiv 2303.17651; as the baseline SR of arXiv 2510.01123, section 2).

    Only the last solution is in the context, so it does not grow. With `check` the model's own check of it (skill "verify") is the feedback, and a
    solution it holds to be right with probability `tau` is the last; without, the feedback is a standing instruction. It also ends when a round
    changes nothing. The last solution that can be read is given: a later one takes the vote of the earlier ones.
    """

    rounds: int = 3
    check: bool = True
    tau: float = 0.9
    verify_tokens: int = 256

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.verify_tokens < 1:
            raise ValueError("sequential_refinement: rounds must be at least 0, verify_tokens at least 1")

    @property
    def needs(self) -> frozenset[str]:
        """To refine, and to check."""
        return frozenset({"skill:refine"} | ({"skill:verify"} if self.check else set()))

    @property
    def spends(self) -> str:
        """One after the other."""
        return f"1 sample, then up to {self.rounds} refinements" + (", each after a check" if self.check else "")

    async def run(self, query: Query, tools: Tools) -> str:
        """Write, check, write again."""
        place = await self.attempt(query, tools)
        for _ in range(self.rounds):
            text, feedback = tools.candidates[place].text, AGAIN
            if self.check and (found := await verdict(query, tools, text, max_tokens=self.verify_tokens)) is not None:
                if found.probability >= self.tau:
                    return "accepted"
                feedback = found.check
            later = await self.attempt(query, tools, skill="refine", texts=(text, feedback))
            if tools.candidates[later].text == text:
                tools.discard(place)
                return "fixed point"
            if tools.candidates[later].answer is not None:
                tools.discard(place)
                place = later
        return "done"

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The last."""
        return choose(candidates, "majority")
