"""How well `large` does what else it was taught: accuracy of each skill on held-out problems, its calibration, and what doing without would give."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from router.ports import Backend, Spent
from router.types import Call, Message, Sample
from workers.backends.embedded import Embedded
from workers.parts.judging import TOP, chance
from workers.parts.programs import source
from workers.reasoner.evaluate import wilson
from workers.reasoner.prompt import ANSWER
from workers.reasoner.skills import Attempt, check, mark, split
from workers.reasoner.train import MODELS
from workers.reasoner.workload import Problem, problems
from workers.sandbox import ProcessSandbox

T = TypeVar("T")
SEED = 97
DRAFTS = 4  # of `small`, per problem
_IN_FLIGHT = 48
_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """One skill: how often it is right, with its 95 % interval; where it gives a probability, area under the ROC curve and calibration error.

    `without` is how often one would be right without the skill: by always saying the commoner thing, or with the drafts alone.
    """

    skill: str
    count: int
    right: float
    low: float
    high: float
    without: float
    auc: float | None = None
    ece: float | None = None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What one question showed: whether the skill was right, whether one would be without it, and where it says yes or no, truth and P(yes)."""

    right: bool
    without: bool = False
    true: bool | None = None
    probability: float = 0.0


@dataclass(frozen=True, slots=True)
class _Desk:
    """The model that is examined, and one problem with drafts of the smaller one."""

    backend: Backend
    attempt: Attempt
    dice: Random

    @property
    def problem(self) -> Problem:
        """What is asked."""
        return self.attempt.problem

    async def ask(self, skill: str, *texts: str, max_tokens: int = 256) -> Sample:
        """A greedy sample."""
        call = Call(messages=(Message(content=self.problem.question),), skill=skill, texts=texts, temperature=0.0, max_tokens=max_tokens, seed=0)
        return await self.backend.sample(call, Spent())

    def is_right(self, text: str) -> bool:
        """Whether a solution gives the known answer."""
        return text.rpartition(f"{ANSWER} ")[2].strip() == self.problem.answer


async def abilities(count: int) -> list[Ability]:
    """Every skill on `count` held-out problems."""
    large, small = Embedded(directory=MODELS / "large"), Embedded(directory=MODELS / "small")
    try:
        drafted = await _all("drafts of small", [_drafted(small, one) for one in islice(problems("test", SEED), count)])
        desks = [_Desk(large, attempt, Random(place)) for place, attempt in enumerate(drafted)]
        return [_summed(skill, await _all(skill, [exam(desk) for desk in desks])) for skill, exam in _EXAMS.items()]
    finally:
        await large.close()
        await small.close()


async def _all(label: str, work: Sequence[Awaitable[T]]) -> list[T]:
    gate, bar = asyncio.Semaphore(_IN_FLIGHT), tqdm(total=len(work), desc=label, unit="problem")

    async def one(job: Awaitable[T]) -> T:
        async with gate:
            result = await job
            bar.update()
            return result

    found = await asyncio.gather(*map(one, work))
    bar.close()
    return found


async def _drafted(backend: Backend, problem: Problem) -> Attempt:
    async def draft(seed: int) -> str:
        call = Call(messages=(Message(content=problem.question),), temperature=0.9, seed=seed)
        return (await backend.sample(call, Spent())).text

    return Attempt(problem, tuple([await draft(seed) for seed in range(DRAFTS)]))


# --- one examination of each skill -------------------------------------------------------------------------------------


async def _verify(desk: _Desk) -> _Shown:
    text = desk.dice.choice(desk.attempt.texts)
    said = await desk.ask("verify", text)
    true, yes = desk.is_right(text), said.text.endswith("Yes")
    return _Shown(yes == true, true=true, probability=chance(said, said=yes))


async def _score(desk: _Desk) -> _Shown:
    """Of a beginning; right if the mark tells what is right so far from what is not."""
    lines = desk.dice.choice(desk.attempt.texts).splitlines()
    text = "\n".join(lines[: desk.dice.randint(1, max(1, len(lines) - 1))])
    said = re.search(r"\d", (await desk.ask("score", text, max_tokens=2)).text)
    marked, true = int(said[0]) if said else 0, mark(desk.problem, text) == TOP
    return _Shown((marked >= TOP - 2) == true, true=true, probability=marked / TOP)


async def _judge(desk: _Desk) -> _Shown:
    """Of a right and a wrong one in either order; where the drafts are all of one kind, of the known solution and a draft."""
    wrong = next((text for text in desk.attempt.texts if not desk.is_right(text)), None)
    known = "\n".join([*desk.problem.steps, f"{ANSWER} {desk.problem.answer}"])
    better = next((text for text in desk.attempt.texts if desk.is_right(text)), known)
    worse = wrong if wrong is not None else "\n".join(known.splitlines()[:-1])
    first = desk.dice.random() < 0.5
    said = await desk.ask("judge", *((better, worse) if first else (worse, better)), max_tokens=32)
    return _Shown(said.text.endswith("A" if first else "B"), without=first)


async def _refine(desk: _Desk) -> _Shown:
    """A wrong draft, where there is one, told what is wrong; without: another draft in its place."""
    text = next((one for one in desk.attempt.texts if not desk.is_right(one)), desk.attempt.texts[0])
    said = await desk.ask("refine", text, check(desk.problem, text))
    others = [one for one in desk.attempt.texts if one != text] or [text]
    return _Shown(desk.is_right(said.text), without=desk.is_right(desk.dice.choice(others)))


async def _summarise(desk: _Desk) -> _Shown:
    """Without: the majority of the same drafts."""
    said = await desk.ask("summarise", *desk.attempt.texts[:3])
    answers = Counter(text.rpartition(f"{ANSWER} ")[2].strip() for text in desk.attempt.texts[:3])
    return _Shown(desk.is_right(said.text), without=answers.most_common(1)[0][0] == desk.problem.answer)


async def _split(desk: _Desk) -> _Shown:
    """Every sub-question as it is known to be."""
    return _Shown((await desk.ask("split")).text == split(desk.attempt, desk.dice).completion)


async def _program(desk: _Desk) -> _Shown:
    """Run; without: a draft."""
    run = await _BOX.run(source((await desk.ask("program")).text))
    return _Shown(run.output.strip() == desk.problem.answer, without=desk.is_right(desk.attempt.texts[0]))


async def _restart(desk: _Desk) -> _Shown:
    lines = desk.dice.choice(desk.attempt.texts).splitlines()
    text = "\n".join(lines[: desk.dice.randint(1, max(1, len(lines) - 1))])
    return await _yes(desk, "restart", text, true=mark(desk.problem, text) != TOP)


async def _true(desk: _Desk) -> _Shown:
    answer = desk.dice.choice(desk.attempt.texts).rpartition(f"{ANSWER} ")[2].strip()
    return await _yes(desk, "true", answer, true=answer == desk.problem.answer, word="True")


async def _know(desk: _Desk) -> _Shown:
    """Whether a draft of the smaller model will be right."""
    return await _yes(desk, "know", true=desk.is_right(desk.dice.choice(desk.attempt.texts)))


async def _yes(desk: _Desk, skill: str, *texts: str, true: bool, word: str = "Yes") -> _Shown:
    said = await desk.ask(skill, *texts, max_tokens=4)
    yes = said.text.startswith(word)
    return _Shown(yes == true, true=true, probability=chance(said, said=yes, place=0))


_BOX = ProcessSandbox(seconds=2)
_EXAMS: Mapping[str, Callable[[_Desk], Awaitable[_Shown]]] = {
    "verify": _verify,
    "score": _score,
    "judge": _judge,
    "refine": _refine,
    "summarise": _summarise,
    "split": _split,
    "program": _program,
    "restart": _restart,
    "true": _true,
    "know": _know,
}


def _summed(skill: str, shown: Sequence[_Shown]) -> Ability:
    right, low, high = wilson([one.right for one in shown])
    truth = np.array([one.true for one in shown if one.true is not None], bool)
    if not len(truth):
        return Ability(skill=skill, count=len(shown), right=right, low=low, high=high, without=sum(one.without for one in shown) / len(shown))
    probability = np.array([one.probability for one in shown])
    return Ability(
        skill=skill,
        count=len(shown),
        right=right,
        low=low,
        high=high,
        without=max(float(truth.mean()), 1 - float(truth.mean())),
        auc=roc_area(truth, probability),
        ece=calibration_error(truth, probability),
    )


def roc_area(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """P(a true one scores higher than a false one), ties counting half; one half where all are of one kind."""
    yes, no = score[truth], score[~truth]
    if not len(yes) or not len(no):
        return 0.5
    return float(((yes[:, None] > no[None]) + 0.5 * (yes[:, None] == no[None])).mean())


def calibration_error(truth: NDArray[np.bool_], probability: NDArray[Any]) -> float:
    """Mean distance of probability and frequency over bins of equal size (ECE)."""
    parts = np.array_split(np.argsort(probability, kind="stable"), min(_BINS, len(truth)))
    return float(sum(len(part) * abs(truth[part].mean() - probability[part].mean()) for part in parts) / len(truth))
