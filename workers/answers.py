"""Answers: reading one from what a model wrote, and spelling equal ones alike.

What cannot be read is None, which is never a vote. A truncated text has an answer only if the answer was whole before the cut.
"""

import re

from router.types import Finish, Task
from workers.expressions import spelled

_LINE = re.compile(r"^[ \t*#>]*(?:final +)?answer *:[ \t*]*(\S.*?)[ \t*]*$", re.IGNORECASE | re.MULTILINE)
_NUMBER = r"[-+\u2212]?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
_MARKED = re.compile(rf"(?:####|\b(?:answer|result|total)(?:\s+is)?:?)\s*({_NUMBER})", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(rf"{_NUMBER}\.?")
_CHOICE = re.compile(r"\(?([A-Z])(?:\)|\b)")
_QUOTING = "$*`\"' "
_FENCE = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)


def read(task: Task, text: str, finish: Finish) -> str | None:
    """The canonical answer in a text, or None."""
    whole = finish in (Finish.END, Finish.STOP)
    if task is Task.CODE:
        return _last(_FENCE, text)
    found = _last(_LINE, text if whole else text[: text.rfind("\n") + 1])
    if found is None:
        found = boxed(text)
    if found is None and whole and task is Task.MATH:
        found = _last(_MARKED, text)
    return None if found is None else canonical(task, found)


def canonical(task: Task, answer: str) -> str | None:
    """The one spelling of all equal answers; None if nothing is left."""
    inner = boxed(answer)
    answer = " ".join((answer if inner is None else inner).split()).lstrip(_QUOTING).rstrip(_QUOTING + ".!,;:")
    if _WHOLE_NUMBER.fullmatch(answer):
        return _number(answer)
    if task is Task.CHOICE and (letter := _CHOICE.match(answer)):
        return letter[1].casefold()
    if task is Task.MATH and (worked := spelled(answer)) is not None:
        return worked
    return answer.casefold() or None


def boxed(text: str) -> str | None:
    r"""What stands in the last closed `\boxed{...}`, or None."""
    start = text.rfind(r"\boxed{")
    depth = 0
    for position in range(start + 6, len(text) if start >= 0 else 0):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + 7 : position].strip() or None
    return None


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match[1].strip()
    return found or None


def _number(text: str) -> str:
    """Digits alone, by string: a float would confuse numbers that are long."""
    plain = text.replace("\u2212", "-").replace(",", "").replace("$", "").rstrip(".")
    whole, _, fraction = plain.lstrip("+-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    value = f"{whole}.{fraction}" if fraction else whole
    return f"-{value}" if plain.startswith("-") and value != "0" else value
