"""Several questions in one prompt."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from router.ports import Tools
from router.types import Candidate, Finish, Query, Sample, Task
from workers.answers import canonical
from workers.parts.sampling import Sampling
from workers.parts.vote import choose
from workers.strategies import strategies

_QUESTION = re.compile(r"^[ \t]*Q\[(\d+)\][ \t]*:[ \t]*", re.MULTILINE)
_ANSWER = re.compile(r"^[ \t*#>]*A\[(\d+)\][ \t*]*:[ \t*]*(\S.*?)[ \t*]*$", re.MULTILINE)
_ASK = "Answer every question in a line of its own: A[number]: answer"


@strategies.register("batch_prompting")
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPrompting(Sampling):
    """Batch prompting (Cheng et al. 2023, arXiv 2301.08721, section 2): what is asked in lines `Q[1]: ...` is answered `size` questions to a prompt.

    Here a batch is what one query holds, so tenants cannot meet in a prompt: its last user message, in which a question goes on until the next one
    begins, and what stands before the first goes with each. Answers are read from lines `A[1]: ...`; a question whose answer is missing, cannot be
    read, is given twice differently, or has another's number is asked again, alone. So is one that would be alone in its prompt.

    The text has a line `A[1]: ...` for each question, in rising order; the answer is all of them together, and there is none unless each question has
    one. A query without such lines, or with a number twice, is a batch of one: a direct sample. Greedy unless a temperature is given; `max_tokens` is
    for each question.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    temperature: float = 0.0
    size: int = 4

    def __post_init__(self) -> None:
        if min(self.size, self.max_tokens) < 1:
            raise ValueError("batch_prompting: size and max_tokens must be at least 1")

    @property
    def spends(self) -> str:
        """Prompts."""
        return f"1 sample for {self.size} questions, and 1 for each of them that it leaves unanswered"

    async def run(self, query: Query, tools: Tools) -> str:
        """Ask in batches, then again what was left unanswered."""
        shared, questions = questions_in(query.text)
        if not questions:
            await self.attempt(query, tools)
            return "done"
        numbers = sorted(questions)
        batches = [numbers[first : first + self.size] for first in range(0, len(numbers), self.size)]
        answers, samples = dict[int, str](), list[Sample]()

        async def ask(batch: Sequence[int]) -> None:
            sample, found = await self._asked(query, tools, shared, {number: questions[number] for number in batch})
            answers.update(found)
            samples.extend([sample] if found else [])

        await tools.together(ask(batch) for batch in batches)
        again = [number for number in numbers if number not in answers]
        await tools.together(ask([number]) for number in again)
        return self._together(query, tools, samples, numbers, answers)

    def choose(self, candidates: Sequence[Candidate]) -> int | None:
        """The majority's, where earlier stages have answered too."""
        return choose(candidates, "majority")

    async def _asked(self, query: Query, tools: Tools, shared: str, questions: Mapping[int, str]) -> tuple[Sample, dict[int, str]]:
        """One sample, and the answers in it; a lone question is asked, and its answer read, as if there were no batch."""
        if len(questions) == 1:
            ((number, question),) = questions.items()
            sample = await self.draw(said(query, f"{shared}\n{question}".strip()), tools)
            answer = tools.read(query, sample)
            return sample, {} if answer is None else {number: answer}
        lines = "\n".join(f"Q[{number}]: {question}" for number, question in questions.items())
        asked = said(query, f"{shared}\n{lines}\n{_ASK}".strip())
        sample = await self.draw(asked, tools, max_tokens=self.max_tokens * len(questions))
        return sample, {number: answer for number, answer in answers_in(query.task, sample.text, sample.finish).items() if number in questions}

    @staticmethod
    def _together(query: Query, tools: Tools, samples: Sequence[Sample], numbers: Sequence[int], answers: Mapping[int, str]) -> str:
        """Keep what was answered; it has a vote if that is everything."""
        text = "\n".join(f"A[{number}]: {answers.get(number, '')}".rstrip() for number in numbers)
        if len(answers) < len(numbers):
            tools.discard(tools.keep(query, samples, text=text))
            return "unanswered"
        tools.keep(query, samples, text=text, answer="; ".join(f"{number}: {answers[number]}" for number in numbers))
        return "done"


def questions_in(text: str) -> tuple[str, dict[int, str]]:
    """What stands before the first question, and the questions by number; none where a number is there twice."""
    found = list(_QUESTION.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    questions = {int(match[1]): text[match.end() : end].strip() for match, end in zip(found, ends, strict=False)}
    return (text[: found[0].start()].strip(), questions) if found and len(questions) == len(found) else (text, {})


def answers_in(task: Task, text: str, finish: Finish) -> dict[int, str]:
    """Canonical answers by number; without those given twice differently, and without a last line that was cut off."""
    given: dict[int, set[str | None]] = {}
    for match in _ANSWER.finditer(text if finish.whole else text[: text.rfind("\n") + 1]):
        given.setdefault(int(match[1]), set()).add(canonical(task, match[2]))
    return {number: answer for number, (answer, *others) in given.items() if answer is not None and not others}


def said(query: Query, content: str) -> Query:
    """The query with another last user message."""
    place = max(place for place, message in enumerate(query.messages) if message.role == "user")
    messages = [replace(message, content=content) if at == place else message for at, message in enumerate(query.messages)]
    return replace(query, messages=tuple(messages))
