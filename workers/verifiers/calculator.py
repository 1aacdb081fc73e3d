"""A calculator that reads along: it works out again every equation a text states."""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from router.ports import Spent
from router.types import Query
from workers.verifiers import verifiers

_SIDE = r"-?[\d(](?:[-+*/(). \d,]*[\d)])?"
# Both sides must be whole: "2x + 3 = 7", "3 = 4x" and "a - 1 = 5" say nothing a calculator can judge.
_EQUATION = re.compile(rf"(?:^|[^\W\d] |[:;.>] ?)({_SIDE}) ?= ?({_SIDE})(?! ?[-+*/^(%=]|[.,]?\d|\w)", re.MULTILINE)
_BETWEEN_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_OPERATOR = re.compile(r"\d[) ]*[-+*/]")
_ROUNDING = Fraction(1, 100)  # people write 1/3 = 0.33
_LONGEST = 200  # characters of one side: what is longer is not worked steps
_OPERATIONS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@verifiers.register("calculator")
class Calculator:
    """0 for a text in which an equation does not hold; the others are judged by `then`, or score 1 without it.

    Tools that check steps exactly are worth more than a learned judge where they apply (Gou et al. 2024, CRITIC, arXiv 2305.11738). No model reads
    what is refuted, so nothing is charged for it. `then` is another verifier's name and options.
    """

    steps = True

    def __init__(self, *, then: Mapping[str, Any] | None = None) -> None:
        self._then = verifiers.build(then["name"], then.get("options")) if then else None

    def count(self, query: Query, texts: Sequence[str]) -> int:
        """At most what `then` would read."""
        return self._then.count(query, texts) if self._then else 0

    async def score(self, query: Query, texts: Sequence[str], spent: Spent) -> Sequence[float]:
        """See `Verifier.score`."""
        standing = [text for text in texts if holds(text)]
        judged = await self._then.score(query, standing, spent) if self._then else [1.0] * len(standing)
        scores = dict(zip(standing, judged, strict=True))
        return [scores.get(text, 0.0) for text in texts]

    async def close(self) -> None:
        """Close `then`."""
        if self._then:
            await self._then.close()


def holds(text: str) -> bool:
    """Whether every equation between plain numbers in a text is true; one that cannot be computed is not held against it."""
    return not any(_refuted(*match.groups()) for match in _EQUATION.finditer(text))


def _refuted(left: str, right: str) -> bool:
    if not _OPERATOR.search(left + right):  # "of 20 = 1" is the end of something else
        return False
    first, second = _value(left), _value(right)
    if first is None or second is None:
        return False
    slack = _ROUNDING * abs(first) if "." in left + right else 0
    return abs(first - second) > slack


def _value(expression: str) -> Fraction | None:
    if len(expression) > _LONGEST:
        return None
    try:
        return _compute(ast.parse(_BETWEEN_THOUSANDS.sub("", expression), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):  # the last two: brackets nested without end
        return None


def _compute(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Fraction(str(number))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_compute(operand)
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATIONS:
            return _OPERATIONS[type(operation)](_compute(left), _compute(right))
        case _:
            raise ValueError("not plain arithmetic")
