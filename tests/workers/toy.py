"""A toy language: the question spells digits, a right solution writes one a line and then all of them as the answer. One character is one token.

The toy has every skill: it checks, scores, compares, mends, splits and programs without fault.
"""

import asyncio
import random
from dataclasses import dataclass, field

import numpy as np

from router.errors import BackendUnavailable
from router.ports import Spent
from router.types import Budget, Call, Evidence, Finish, Message, Outcome, Plan, Price, Query, Run, Sample, Style, Task, Usage
from workers.energy import Modelled
from workers.executor import LocalExecutor, Pool
from workers.reasoner.prompt import SKILLS
from workers.sandbox import ProcessSandbox

ABLE = frozenset({"prefix", "stop", "logprobs", "top_logprobs", "pieces", "suppress", "halt", "hidden", "cancel"})
SKILLED = ABLE | {f"skill:{name}" for name in SKILLS}


@dataclass
class Toy:
    """Writes each digit right with chance `accuracy`, an unreadable end with chance `mute`; call number i fails if `i in fails`.

    A token takes `pace` seconds, about (`even`: exactly).
    """

    accuracy: float = 0.7
    mute: float = 0.0
    pace: float = 0.0
    even: bool = False
    fails: frozenset[int] = frozenset()
    capabilities: frozenset[str] = SKILLED
    style: Style = field(default_factory=Style)
    broken: bool = False
    calls: list[Call] = field(default_factory=list)
    spends: list[Spent] = field(default_factory=list)
    live: dict[int, Spent] = field(default_factory=dict)
    most: int = 0

    async def prepare(self) -> None: ...

    def count(self, call: Call) -> int:
        return len(call.messages[-1].content) + len(call.prefix) + sum(map(len, call.texts))

    async def sample(self, call: Call, spent: Spent) -> Sample:
        index = len(self.calls)
        self.calls.append(call)
        self.spends.append(spent)
        self.live[id(spent)] = spent
        self.most = max(self.most, self.running)
        spent.prompt = self.count(call)
        try:
            return await self._write(call, spent, index)
        finally:
            del self.live[id(spent)]

    @property
    def running(self) -> int:
        """Samples under way."""
        return len(self.live)

    @property
    def writing(self) -> bool:
        """Whether one under way has written something."""
        return any(spent.completion for spent in self.live.values())

    async def _write(self, call: Call, spent: Spent, index: int) -> Sample:
        text, finish = "", Finish.END
        for letter in self.solution(call):
            await asyncio.sleep(self.pace and self.pace * (1 if self.even else random.random() * 2))
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
            top_logprobs=((-0.1, -2.5, -4.0)[: call.top_logprobs],) * spent.completion if call.top_logprobs else (),
            pieces=(*text, "")[: spent.completion] if call.pieces else (),
            drawn_logprobs=(-0.05,) * spent.completion if call.pieces else (),
        )

    async def hidden(self, call: Call, spent: Spent) -> np.ndarray:
        self.calls.append(call)
        self.spends.append(spent)
        spent.prompt = self.count(call)
        return np.ones(4, np.float32)

    def solution(self, call: Call) -> str:
        return getattr(self, call.skill)(call) if call.skill not in ("solve", "direct", "refine", "summarise") else self.worked(call)

    def worked(self, call: Call) -> str:
        """Goes on from any prefix: lines of digits are steps, an answer that was begun is completed, what else was put in is passed over."""
        rng, digits = random.Random(call.seed), call.messages[-1].content.split()
        accuracy = self.accuracy if call.temperature else 1.0
        if call.skill in ("refine", "summarise"):  # it learns from what it is shown
            accuracy = (1 + accuracy) / 2
        lines = [line for line in call.prefix.split("\n") if line.isdigit()]
        new = [digit if rng.random() < accuracy else rng.choice("0123456789") for digit in digits[len(lines) :]]
        answer, mute, begun = f"Answer: {''.join(lines + new)}", rng.random() < self.mute, call.prefix.rpartition("\n")[2]
        if begun.startswith("Answer:"):
            return "" if mute else answer[len(begun) :]
        end = "no idea" if mute else answer
        whole = end if call.skill == "direct" else "".join(f"{digit}\n" for digit in new) + end
        return whole[len(begun) :] if whole.startswith(begun) and not begun.isdigit() else f"\n{whole}"

    def verify(self, call: Call) -> str:
        return f"1 ok\nVerdict: {'Yes' if self.right(call, call.texts[0]) else 'No'}"

    def score(self, call: Call) -> str:
        return "9" if self.right(call, call.texts[0]) else "2"

    def judge(self, call: Call) -> str:
        one, two = (9 if self.right(call, text) else 2 for text in call.texts[:2])
        return f"{one} {two}\nBetter: {'A' if one > two else 'B' if two > one else '='}"

    def split(self, call: Call) -> str:
        return "\n".join(f"{place % 9 + 1} {digit}" for place, digit in enumerate(call.messages[-1].content.split()))

    def program(self, call: Call) -> str:
        return f"print({''.join(call.messages[-1].content.split())})"

    def restart(self, call: Call) -> str:
        return "No" if self.right(call, call.texts[0]) else "Yes"

    def true(self, call: Call) -> str:
        return str(call.texts[0] == "".join(call.messages[-1].content.split()))

    def know(self, call: Call) -> str:
        return "Yes"

    def right(self, call: Call, text: str) -> bool:
        return solved(call.messages[-1].content).startswith(text.rstrip("\n"))

    async def close(self) -> None: ...


def solved(question: str) -> str:
    """The right solution."""
    digits = question.split()
    return "".join(f"{digit}\n" for digit in digits) + f"Answer: {''.join(digits)}"


@dataclass
class Oracle:
    """Scores 0.9 while everything so far is right (or what `constant` says); reading a character is a token."""

    constant: float | None = None
    pace: float = 0.0
    steps: bool = True
    asked: list[str] = field(default_factory=list)
    rounds: int = 0
    tokens: int = 0

    def count(self, query: Query, texts: list[str]) -> int:
        return sum(map(len, texts))

    async def score(self, query: Query, texts: list[str], spent: Spent) -> list[float]:
        self.rounds += 1
        self.asked += texts
        self.tokens += self.count(query, texts)
        spent.prompt = self.count(query, texts)
        await asyncio.sleep(self.pace)
        return [self.value(query, text) for text in texts]

    def value(self, query: Query, text: str) -> float:
        if self.constant is not None:
            return self.constant
        return 0.9 if solved(query.text).startswith(text) else 0.1

    async def close(self) -> None: ...


@dataclass
class Box:
    """The real sandbox, counting."""

    sandbox: ProcessSandbox = field(default_factory=lambda: ProcessSandbox(seconds=2))
    programs: list[str] = field(default_factory=list)

    async def run(self, program: str) -> Run:
        self.programs.append(program)
        return await self.sandbox.run(program)


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
    """A local executor over one toy pool and a helper, `draft`, and its bill."""

    toy: Toy = field(default_factory=Toy)
    oracle: Oracle = field(default_factory=Oracle)
    draft: Toy = field(default_factory=Toy)
    box: Box = field(default_factory=Box)
    bill: Bill = field(default_factory=Bill)

    @property
    def executor(self) -> LocalExecutor:
        pool = Pool(backend=self.toy, verifier=self.oracle, sandbox=self.box, energy=Modelled(0.5))
        return LocalExecutor(pools={"toy": pool, "draft": Pool(backend=self.draft, energy=Modelled(0.5))})

    async def run(self, plan: Plan, query: Query | None = None, *, evidence: Evidence | None = None, **budget: int) -> Outcome:
        return await self.executor.execute(query or a_query(), plan, evidence or Evidence(), Budget(**budget), self.bill)

    @property
    def truly_spent(self) -> int:
        """Tokens as the toys and the oracle know them."""
        return self.oracle.tokens + sum(spent.prompt + spent.completion for spent in (*self.toy.spends, *self.draft.spends))

    @property
    def called(self) -> int:
        """Samples, scorings and program runs as the toys, the oracle and the box know them."""
        return len(self.toy.calls) + len(self.draft.calls) + self.oracle.rounds + len(self.box.programs)

    @property
    def running(self) -> int:
        """Samples under way."""
        return self.toy.running + self.draft.running
