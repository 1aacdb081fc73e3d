"""A toy language: the question spells digits, a right solution writes one a line and then all of them as the answer. One character is one token."""

import asyncio
import random
from dataclasses import dataclass, field

from router.errors import BackendUnavailable
from router.ports import Spent
from router.types import Budget, Call, Evidence, Finish, Message, Outcome, Plan, Price, Query, Sample, Score, Task, Usage
from workers.executor import LocalExecutor, Pool


@dataclass
class Toy:
    """Writes each digit right with chance `accuracy`, an unreadable end with chance `mute`; call number i fails if `i in fails`."""

    accuracy: float = 0.7
    mute: float = 0.0
    pace: float = 0.0
    fails: frozenset[int] = frozenset()
    capabilities: frozenset[str] = frozenset({"prefix", "stop", "logprobs"})
    calls: list[Call] = field(default_factory=list)
    spends: list[Spent] = field(default_factory=list)
    running: int = 0
    most: int = 0

    def count(self, call: Call) -> int:
        return len(call.messages[-1].content) + len(call.prefix)

    async def sample(self, call: Call, spent: Spent) -> Sample:
        index = len(self.calls)
        self.calls.append(call)
        self.spends.append(spent)
        self.running += 1
        self.most = max(self.most, self.running)
        spent.prompt = self.count(call)
        try:
            return await self._write(call, spent, index)
        finally:
            self.running -= 1

    async def _write(self, call: Call, spent: Spent, index: int) -> Sample:
        text, finish = "", Finish.END
        for letter in self.solution(call):
            await asyncio.sleep(self.pace and self.pace * random.random() * 2)
            if index in self.fails:
                raise BackendUnavailable("out of order")
            text += letter
            spent.completion += 1
            if call.stop and text.endswith(call.stop):
                finish = Finish.STOP
                break
            if spent.completion == call.max_tokens:
                finish = Finish.LENGTH
                break
        else:
            spent.completion += 1  # the end costs a token
        return Sample(
            text=text,
            prompt_tokens=spent.prompt,
            completion_tokens=spent.completion,
            finish=finish,
            logprobs=(-0.1,) * spent.completion,
        )

    def solution(self, call: Call) -> str:
        rng, digits = random.Random(call.seed), call.messages[-1].content.split()
        accuracy = self.accuracy if call.temperature else 1.0
        lines = call.prefix.splitlines() if call.prefix else []
        new = [digit if rng.random() < accuracy else rng.choice("0123456789") for digit in digits[len(lines) :]]
        end = "no idea" if rng.random() < self.mute else f"Answer: {''.join(lines + new)}"
        return end if call.skill == "direct" else "".join(f"{digit}\n" for digit in new) + end

    async def close(self) -> None: ...


@dataclass
class Oracle:
    """Scores 0.9 while everything so far is right (or what `constant` says); reading a character is a token."""

    constant: float | None = None
    pace: float = 0.0
    asked: list[str] = field(default_factory=list)
    rounds: int = 0
    tokens: int = 0

    def count(self, query: Query, texts: list[str]) -> int:
        return sum(map(len, texts))

    async def score(self, query: Query, texts: list[str]) -> list[Score]:
        self.rounds += 1
        self.asked += texts
        self.tokens += self.count(query, texts)
        await asyncio.sleep(self.pace)
        return [Score(value=self.value(query, text), tokens=len(text)) for text in texts]

    def value(self, query: Query, text: str) -> float:
        if self.constant is not None:
            return self.constant
        digits = query.text.split()
        whole = "".join(f"{digit}\n" for digit in digits) + f"Answer: {''.join(digits)}"
        return 0.9 if whole.startswith(text) else 0.1

    async def close(self) -> None: ...


@dataclass
class Bill:
    """Adds up."""

    usage: Usage = field(default_factory=Usage)

    def charge(self, usage: Usage) -> None:
        self.usage += usage


def a_query(text: str = "3 1 4 1 5", **changes: object) -> Query:
    return Query(**{"id": "q", "messages": (Message(content=text),), "task": Task.MATH, "seed": 1, **changes})


def a_plan(strategy: str, **options: object) -> Plan:
    return Plan(id=f"toy-{strategy}", pool="toy", strategy=strategy, options=options, price=Price(prompt=0.1, completion=1.0, scored=0.05))


@dataclass
class Rig:
    """A local executor over one toy pool, and its bill."""

    toy: Toy = field(default_factory=Toy)
    oracle: Oracle = field(default_factory=Oracle)
    bill: Bill = field(default_factory=Bill)

    @property
    def executor(self) -> LocalExecutor:
        return LocalExecutor(pools={"toy": Pool(backend=self.toy, verifier=self.oracle, joules_per_token=0.5)})

    async def run(self, plan: Plan, query: Query | None = None, *, evidence: Evidence | None = None, **budget: int) -> Outcome:
        return await self.executor.execute(query or a_query(), plan, evidence or Evidence(), Budget(**budget), self.bill)

    @property
    def truly_spent(self) -> int:
        """Tokens as the toy and the oracle know them."""
        return self.oracle.tokens + sum(spent.prompt + spent.completion for spent in self.toy.spends)
