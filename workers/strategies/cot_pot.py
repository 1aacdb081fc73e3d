"""Worked solutions that must agree with programs."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.ports import Tools
from router.types import Candidate, Query, Task
from workers.answers import canonical
from workers.parts.programs import source
from workers.parts.sampling import Sampling, missing, score_once
from workers.parts.vote import choose, votes
from workers.strategies import strategies


@strategies.register("cot_pot")
@dataclass(frozen=True, slots=True, kw_only=True)
class CotPot(Sampling):
    """Chains of thought verified by programs of thought (Liang et al. 2024, arXiv 2410.05318, section 3.3).

    `n` solutions and `programs` programs for the question, which are run; a solution weighs as much as the share of programs that print its answer,
    times the verifier's score with `judge`. Where none agrees, it is a majority (or the verifier's weighted vote). A program that fails, ends too
    late or prints nothing that can be read has no say; a model that only programs well can be right with `answer_by_program`, where the programs'
    own answers are candidates too.
    """

    n: int = 8
    programs: int = 3
    program_temperature: float = 0.6
    program_tokens: int = 256
    judge: bool = False
    answer_by_program: bool = False

    def __post_init__(self) -> None:
        if min(self.n, self.programs, self.program_tokens) < 1:
            raise ValueError("cot_pot: counts must be at least 1")

    @property
    def needs(self) -> frozenset[str]:
        """Programs must be written and run."""
        return frozenset({"skill:program", "run"} | ({"score"} if self.judge else set()))

    @property
    def spends(self) -> str:
        """Solutions and programs."""
        return f"{self.n} samples, {self.programs} programs, each run once" + (f", {self.n} texts scored" if self.judge else "")

    async def run(self, query: Query, tools: Tools) -> str:
        """Draw both, run the programs, and let them vote on the solutions; with `n` solutions there already, draw as many again."""
        jobs = [self._solved(query, tools) for _ in range(missing(tools, self.n))]
        printed = [one for one in await tools.together([*jobs, *(self._printed(query, tools) for _ in range(self.programs))]) if one]
        if self.judge:
            await score_once(query, tools)
        return self._weigh(tools, printed)

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The best of the answer with the largest sum."""
        return choose(candidates, "weighted")

    async def _solved(self, query: Query, tools: Tools) -> None:
        await self.attempt(query, tools)

    async def _printed(self, query: Query, tools: Tools) -> str | None:
        """The answer that a program prints."""
        sample = await self.draw(query, tools, skill="program", temperature=self.program_temperature, max_tokens=self.program_tokens)
        if not sample.finish.whole:
            return None
        ran = await tools.run(source(sample.text))
        answer = canonical(query.task if query.task is not Task.CODE else Task.FREE, ran.output.strip()) if ran.ending == "done" else None
        if answer is None:
            return None
        if self.answer_by_program:
            tools.keep(query, [sample], answer=answer)
        else:
            tools.use(sample)
        return answer

    def _weigh(self, tools: Tools, printed: Sequence[str]) -> str:
        """Rate by agreement; why it stops."""
        voting = [(place, one.answer or "") for place, one in enumerate(tools.candidates) if votes(one)]
        shares = {place: printed.count(answer) / max(1, len(printed)) for place, answer in voting}
        if not any(shares.values()):
            return "no agreement"
        for place, share in shares.items():
            score = tools.candidates[place].score
            tools.rate(place, share * (score if self.judge and score is not None else 1.0))
        return "agreement"
