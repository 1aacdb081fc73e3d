"""Expressions: one spelling for all that are worth the same, by math-verify (Kydlicek 2025) and SymPy.

Models write anything; working out `9^9^9` would never end. So only what is short, shallow and of small exponents is looked at; the rest keeps its
own spelling.
"""

import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sympy import Expr

LONGEST = 100  # characters
_HIGHEST = 9  # power that a sum is raised to and multiplied out
_DEEPEST = 5  # brackets within brackets
_DRAWN_OUT = re.compile(r"\\(?:sum|prod|int|lim|binom)")
_HINT = re.compile(r"[\d\\^=+*/()\[\]{}]")  # a word alone is no expression
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_LONG_NUMBER = re.compile(r"\d{13,}")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*(.?\s*\{?\(?\s*-?\s*\w{1,2}(?!\w))?")
logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of each call without its own timeout
_TOWER = re.compile(r"(?:\^|\*\*)[^+\-*/=,]*(?:\^|\*\*)")


@lru_cache(maxsize=4_096)
def spelled(text: str) -> str | None:
    """The one spelling of an expression, or None where it is none or too much to work out."""
    if not _modest(text):
        return None
    try:
        from math_verify import parse  # noqa: PLC0415 - SymPy takes a second to import, and most answers are plain numbers
    except ImportError:
        return None
    try:
        found = parse(f"${text}$", parsing_timeout=None)  # its own timeout needs the main thread's signals
        return _spelling(found[0]) if found else None
    except Exception:  # a parser of anybody's text, over a grammar and a library: what it can raise is not listed anywhere
        return None


def _modest(text: str) -> bool:
    """Whether it looks like an expression, and one that is worked out in a moment."""
    if len(text) > LONGEST or not _HINT.search(text) or _WORD.search(text) or _LONG_NUMBER.search(text) or "!" in text:
        return False
    if _DRAWN_OUT.search(text) or not _shallow(text):
        return False
    exponents = list(_EXPONENT.finditer(text))
    return len(exponents) <= 6 and all(one[1] for one in exponents) and not _TOWER.search(text)


def _shallow(text: str) -> bool:
    """Whether its brackets are few deep, and all closed."""
    depth = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if not 0 <= depth <= _DEEPEST:
            return False
    return depth == 0


def _spelling(found: Any) -> str | None:  # noqa: ANN401 - whatever SymPy makes of it
    from sympy import Basic, Eq, Pow, Rational, Symbol, nsimplify  # noqa: PLC0415

    if isinstance(found, Eq) and isinstance(found.lhs, Symbol):
        found = found.rhs
    if not isinstance(found, Basic):
        return None
    worked: Expr = found.doit()
    if any(one.is_Float for one in worked.atoms()):
        worked = nsimplify(worked, rational=True)
    powers = (abs(one.exp) for one in worked.atoms(Pow))
    if hasattr(worked, "expand") and all(one.is_number and one <= _HIGHEST for one in powers):
        worked = worked.expand()
    return _decimal(worked) if isinstance(worked, Rational) else str(worked).replace(" ", "")


def _decimal(number: Any) -> str:  # noqa: ANN401 - a SymPy Rational
    """A fraction whose decimals end, as a decimal number; another as a fraction."""
    rest, twos, fives = int(number.q), 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{number.p}/{number.q}"
    places = max(twos, fives)
    digits = str(abs(int(number.p)) * 10**places // int(number.q)).rjust(places + 1, "0")
    whole = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{whole}" if number.p < 0 else whole
