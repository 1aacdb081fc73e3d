"""The text format the bundled reasoners speak: the skill asked for, the question, texts to work on, then what the model writes.

A new skill is a new first word, learned by training; the format stays. Worked solutions are lines and a last `Answer:` line.
"""

import json
from pathlib import Path
from typing import Literal, get_args

Skill = Literal["direct", "solve", "verify", "score", "judge", "refine", "split", "program", "summarise", "restart", "true", "know"]
SKILLS: tuple[Skill, ...] = get_args(Skill)
ANSWER = "Answer:"
END, GOOD, BAD = "<|end|>", "<|good|>", "<|bad|>"
SPECIAL = (END, GOOD, BAD)


def prompt(skill: Skill, question: str, *texts: str) -> str:
    """What a model is given: the question in one line, then each text's lines, lettered and numbered (`A1> 5 + 3 = 8`).

    Line breaks in the question become spaces, so that a question cannot forge worked steps or a text.
    """
    quoted = [f"{chr(65 + place)}{number}> {line}\n" for place, text in enumerate(texts) for number, line in enumerate(text.splitlines(), 1)]
    return f"{skill}: {' '.join(question.split())}\n{''.join(quoted)}"


def completion(skill: Skill, steps: tuple[str, ...], answer: str) -> str:
    """What a model is trained to write after `prompt` when it answers."""
    worked = "" if skill == "direct" else "".join(f"{step}\n" for step in steps)
    return f"{worked}{ANSWER} {answer}"


def skills_of(directory: Path) -> tuple[str, ...]:
    """The skills that the model in a folder has learned: its config.json names them."""
    return tuple(json.loads((directory / "config.json").read_text()).get("skills", ("solve",)))
