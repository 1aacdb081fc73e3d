"""The text format the bundled reasoners speak: the skill asked for, the question, then worked lines and a last `Answer:` line.

A new skill is a new first word, learned by training; the format stays.
"""

from typing import Literal

Skill = Literal["direct", "solve"]
ANSWER = "Answer:"
END, GOOD, BAD = "<|end|>", "<|good|>", "<|bad|>"
SPECIAL = (END, GOOD, BAD)


def prompt(skill: Skill, question: str) -> str:
    """What a model is given; line breaks in the question become spaces, so that a question cannot forge worked steps."""
    return f"{skill}: {' '.join(question.split())}\n"


def completion(skill: Skill, steps: tuple[str, ...], answer: str) -> str:
    """What a model is trained to write after `prompt`."""
    worked = "" if skill == "direct" else "".join(f"{step}\n" for step in steps)
    return f"{worked}{ANSWER} {answer}"
