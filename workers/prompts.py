"""Prompts: what a model is given for a call, in the bundled reasoners' format or through templates for general instruction models."""

import re
from collections.abc import Mapping

from router.errors import InvalidQuery
from router.types import Call
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
    "know": "Question:\n{conversation}\n\nWould you answer this rightly? Reply `Yes` or `No`.",
}


def bundled(call: Call) -> str:
    """In the bundled reasoners' format, which holds one question: the last thing the user said."""
    if call.skill not in SKILLS:
        raise InvalidQuery(f"no skill {call.skill!r}; known: {', '.join(SKILLS)}", skill=call.skill)
    question = next((one.content for one in reversed(call.messages) if one.role == "user"), "")
    return prompt(call.skill, question, *call.texts)


def templated(call: Call, templates: Mapping[str, str]) -> str:
    """The template of the call's skill, filled in.

    `{conversation}` is the conversation (a lone message bare), `{A}`, `{B}` ... the texts the skill works on, `{texts}` all of them, numbered.
    """
    if call.skill not in templates:
        raise InvalidQuery(f"no template for skill {call.skill!r}; known: {', '.join(sorted(templates))}", skill=call.skill)
    turns = [f"{one.role.title()}: {one.content}" for one in call.messages] if len(call.messages) > 1 else [one.content for one in call.messages]
    filled = {"conversation": "\n\n".join(turns), "texts": "\n\n".join(f"[{number}]\n{text}" for number, text in enumerate(call.texts, 1))}
    filled |= {chr(65 + place): text for place, text in enumerate(call.texts)}
    return _FIELD.sub(lambda found: filled.get(found[1], found[0]), templates[call.skill])
