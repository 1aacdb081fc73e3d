"""Prompts: what a model is given for a call, in the bundled reasoners' format or through templates for general instruction models."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from router.errors import InvalidQuery
from router.types import Call, Message, Style
from workers.reasoner.prompt import SKILLS, prompt

_FIELD = re.compile(r"\{(conversation|texts|[A-Z])\}")
_SHOW = "Think step by step. End with a line `Answer: ` and the answer."
_RATE = "Reply with one digit from 0 (wrong from the start) to 9 (right)."
GENERAL: Mapping[str, str] = {
    "direct": "{conversation}\n\nReply with one line: `Answer: ` and the answer.",
    "solve": f"{{conversation}}\n\n{_SHOW}",
    "verify": (
        "Question:\n{conversation}\n\nProposed solution:\n{A}\n\nCheck it step by step. End with a line `Verdict: Yes` if it is right, "
        "or `Verdict: No` if it is not."
    ),
    "score": f"Question:\n{{conversation}}\n\nSolution so far:\n{{A}}\n\nHow good is it? {_RATE}",
    "judge": (
        "Question:\n{conversation}\n\nSolution A:\n{A}\n\nSolution B:\n{B}\n\nRate each from 0 to 9. Reply with two lines: the two ratings, "
        "and then `Better: A`, `Better: B` or `Better: =`."
    ),
    "refine": f"Question:\n{{conversation}}\n\nEarlier solution:\n{{A}}\n\nFeedback:\n{{B}}\n\nWrite a better solution. {_SHOW}",
    "split": (
        "Question:\n{conversation}\n\nSplit it into sub-questions, one a line, each after a digit from 1 (easy) to 9 (hard) and a space. "
        "Do not answer them."
    ),
    "program": "Question:\n{conversation}\n\nWrite a Python program that prints the answer and nothing else. Reply with the program alone.",
    "summarise": f"Question:\n{{conversation}}\n\nDrafts:\n{{texts}}\n\nMake the best solution out of these drafts. {_SHOW}",
    "restart": ("Question:\n{conversation}\n\nSolution so far:\n{A}\n\nWould a better answer come of starting over? Reply `Yes` or `No`."),
    "true": "Question:\n{conversation}\n\nProposed answer: {A}\n\nIs the proposed answer right? Reply `True` or `False`.",
    "rank": (
        "Question:\n{conversation}\n\nSolutions:\n{texts}\n\nRank them from best to worst. Reply with one line of their "
        "numbers, such as [2] > [1] > [3]."
    ),
    "tests": (
        "Question:\n{conversation}\n\nList statements that a right answer must satisfy, one a line, each so that it can be checked by itself. "
        "Reply with the list alone."
    ),
    "passes": "Question:\n{conversation}\n\nAnswer:\n{A}\n\nTest:\n{B}\n\nDoes the answer pass the test? Reply `Passed` or `Failed`.",
    "know": "Question:\n{conversation}\n\nWould you answer this rightly? Reply `Yes` or `No`.",
}
_BUNDLED = "bundled"
_ANSWERING = ("solve", "direct")  # skills that go on with the conversation; the others are asked about it


@dataclass(frozen=True, slots=True)
class Prompts:
    """`templates` is "bundled" (the bundled reasoners' own format), "general" (for instruction models), or a template per skill.

    In a template `{conversation}` is the conversation (a lone message bare), `{A}`, `{B}` ... the texts that the skill works on, `{texts}` all of
    them, numbered.
    """

    templates: str | Mapping[str, str] = _BUNDLED

    def __post_init__(self) -> None:
        if isinstance(self.templates, str) and self.templates not in (_BUNDLED, "general"):
            raise ValueError(f"prompts: {self.templates!r} is neither bundled, general nor a template per skill")

    @property
    def skills(self) -> tuple[str, ...]:
        """What can be asked."""
        return SKILLS if self.templates == _BUNDLED else tuple(self._of_skill)

    @property
    def style(self) -> Style:
        """The bundled reasoners end steps with a line, others with a blank line."""
        return Style() if self.templates == _BUNDLED else Style(step="\n\n")

    def text(self, call: Call) -> str:
        """One text, without the call's prefix."""
        if self.templates == _BUNDLED:
            return bundled(call)
        turns = [f"{one.role.title()}: {one.content}" for one in call.messages] if len(call.messages) > 1 else [one.content for one in call.messages]
        return self._filled(call, "\n\n".join(turns))

    def turns(self, call: Call) -> tuple[Message, ...]:
        """A conversation: to answer, the same with the last message put into the template; for other skills, one message about it."""
        if call.skill not in _ANSWERING or self.templates == _BUNDLED:
            return (Message(content=self.text(call)),)
        return (*call.messages[:-1], Message(content=self._filled(call, call.messages[-1].content)))

    @property
    def _of_skill(self) -> Mapping[str, str]:
        return GENERAL if isinstance(self.templates, str) else self.templates

    def _filled(self, call: Call, conversation: str) -> str:
        templates = self._of_skill
        if call.skill not in templates:
            raise InvalidQuery(f"no template for skill {call.skill!r}; known: {', '.join(sorted(templates))}", skill=call.skill)
        values = {chr(65 + place): text for place, text in enumerate(call.texts)}
        values |= {"conversation": conversation, "texts": "\n\n".join(f"[{number}]\n{text}" for number, text in enumerate(call.texts, 1))}
        return _FIELD.sub(lambda found: values.get(found[1], found[0]), templates[call.skill])


def bundled(call: Call) -> str:
    """In the bundled reasoners' format, which holds one question: the last thing the user said."""
    if call.skill not in SKILLS:
        raise InvalidQuery(f"no skill {call.skill!r}; known: {', '.join(SKILLS)}", skill=call.skill)
    question = next((one.content for one in reversed(call.messages) if one.role == "user"), "")
    return prompt(call.skill, question, *call.texts)
