"""Other libraries' algorithms on our backend: its-hub and treequest, metered and cut at the same budget."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import treequest
from its_hub.algorithms import BeamSearch, BestOfN, ParticleFiltering, SelfConsistency
from its_hub.api import AbstractLanguageModel, AbstractOutcomeRewardModel, AbstractProcessRewardModel
from its_hub.core.lms.step_generation import StepGeneration

from router.errors import BudgetExhausted
from router.ports import Spent
from router.types import Budget, Call, Candidate, Finish, Outcome, Query, Task, Usage
from workers.answers import read
from workers.parts.vote import choose
from workers.pool import Pool


@dataclass
class Counted:
    """The pool for one question: every sample and score is counted, and refused once the budget is spent."""

    pool: Pool
    query: Query
    budget: Budget
    usage: Usage = field(default_factory=Usage)
    seen: list[str] = field(default_factory=list)
    seeds: int = 0

    async def sample(self, prefix: str = "", stop: str | None = None, temperature: float = 0.8, max_tokens: int = 256) -> str:
        self.seeds += 1
        call = Call(
            messages=self.query.messages,
            prefix=prefix,
            stop=(stop,) if stop else (),
            temperature=temperature,
            max_tokens=max_tokens,
            seed=(self.query.seed or 0) * 10_007 + self.seeds,
        )
        self._afford(self.pool.backend.count(call))
        spent = Spent()
        try:
            sample = await self.pool.backend.sample(call, spent)
        finally:
            self.usage += Usage(prompt_tokens=spent.prompt, kept_tokens=spent.completion, samples=1, calls=1)
        if sample.finish is Finish.END:
            self.seen.append(prefix + sample.text)
        return sample.text

    async def score(self, text: str) -> float:
        self._afford(self.pool.verifier.count(self.query, [text]))
        spent = Spent()
        (value,) = await self.pool.verifier.score(self.query, [text], spent)
        self.usage += Usage(scored_tokens=spent.prompt, calls=1)
        return value

    def _afford(self, tokens: int) -> None:
        if self.usage.tokens + tokens > (self.budget.tokens or 2**62):
            raise BudgetExhausted("spent")


class Lm(AbstractLanguageModel):
    """its-hub's language model over a counted pool."""

    def __init__(self, counted: Counted) -> None:
        self.counted = counted

    async def agenerate(self, messages, stop=None, **kwargs):
        if messages and isinstance(messages[0], list):
            return list(await asyncio.gather(*(self.agenerate_single(one, stop, **kwargs) for one in messages)))
        return await self.agenerate_single(messages, stop, **kwargs)

    async def agenerate_single(self, messages, stop=None, **kwargs):
        last = messages[-1]
        prefix = last.content if last.role == "assistant" else ""
        text = await self.counted.sample(prefix or "", stop, kwargs.get("temperature") or 0.8, kwargs.get("max_completion_tokens") or 256)
        return {"role": "assistant", "content": text}


class Orm(AbstractOutcomeRewardModel):
    """The verifier, on whole solutions."""

    def __init__(self, counted: Counted) -> None:
        self.counted = counted

    def score(self, messages, **kwargs):
        raise NotImplementedError

    async def ascore(self, messages, orchestrator=None, **kwargs):
        return [await self.counted.score(one[-1].content or "") for one in messages]


class Prm(AbstractProcessRewardModel):
    """The verifier, on beginnings."""

    def __init__(self, counted: Counted) -> None:
        self.counted = counted

    def score(self, prompt_or_messages, steps):
        raise NotImplementedError

    async def ascore(self, prompt_or_messages, steps):
        if isinstance(steps, str):
            return await self.counted.score(steps)
        return [await self.counted.score("".join(one)) for one in steps]


def _steps() -> StepGeneration:
    return StepGeneration(max_steps=24, step_token="\n", stop_token="Answer:", temperature=0.8, include_stop_str_in_output=True)


def _hub(make: Callable[[Counted], object], counted: Counted, scale: int) -> Awaitable[str]:
    async def run() -> str:
        reply = await make(counted).ainfer(Lm(counted), counted.query.text, scale)
        return reply["content"] if isinstance(reply, dict) else str(reply)

    return run()


def _tree(make: Callable[[], treequest.Algorithm], counted: Counted, scale: int) -> Awaitable[str]:
    """treequest is synchronous: it runs in a thread, its generator calls back into the loop."""
    loop = asyncio.get_running_loop()

    def ask(work: Awaitable[object]) -> object:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def generate(parent: str | None) -> tuple[str, float]:
        text = ask(counted.sample())
        return text, ask(counted.score(text))

    def run() -> str:
        algorithm = make()
        state = algorithm.init_tree()
        for _ in range(scale):
            state = algorithm.step(state, {"solve": generate})
        return max(algorithm.get_state_score_pairs(state), key=lambda pair: pair[1])[0]

    return asyncio.to_thread(run)


Maker = Callable[[Counted, int], Awaitable[str]]
PEERS: Mapping[str, Maker] = {
    "its-hub self-consistency": partial(_hub, lambda counted: SelfConsistency(_answer)),
    "its-hub best-of-n": partial(_hub, lambda counted: BestOfN(Orm(counted))),
    "its-hub beam search": partial(_hub, lambda counted: BeamSearch(_steps(), Prm(counted), beam_width=2)),
    "its-hub particle filtering": partial(_hub, lambda counted: ParticleFiltering(_steps(), Prm(counted))),
    "treequest AB-MCTS-A": partial(_tree, treequest.ABMCTSA),
    "treequest MCTS": partial(_tree, treequest.StandardMCTS),
}


def _answer(text: str) -> str | None:
    return read(Task.MATH, text, Finish.END)


def peer(name: str, pool: Pool, scale: int, budget: Budget) -> Callable[[Query], Awaitable[Outcome]]:
    """Runs a peer's algorithm on one question; where the budget cuts it, the majority of what was finished is its answer."""

    async def run(query: Query) -> Outcome:
        counted = Counted(pool, query, budget)
        try:
            text = await PEERS[name](counted, scale)
            answer = read(query.task, text, Finish.END)
        except BaseExceptionGroup as group:
            if not group.subgroup(BudgetExhausted):
                raise
            answer = _majority(counted)
        except BudgetExhausted:
            answer = _majority(counted)
        return Outcome(plan=name, answer=answer, text="", candidates=(), usage=counted.usage, stop_reason="done")

    return run


def _majority(counted: Counted) -> str | None:
    found = [
        Candidate(text=text, answer=read(counted.query.task, text, Finish.END), finish=Finish.END, tokens=0, logprob=0.0) for text in counted.seen
    ]
    chosen = choose(found, "majority")
    return None if chosen is None else found[chosen].answer
