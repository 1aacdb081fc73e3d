"""Pages of a list: how many there are on one, and the token that asks for the next."""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import TypeVar

from router.errors import InvalidTerms

T = TypeVar("T")
_USUAL, _MOST = 50, 1_000


def size(asked: int) -> int:
    """How many, where so many are asked for; 0 leaves it to us."""
    return min(asked or _USUAL, _MOST)


def token(place: str) -> str:
    """Asks for what comes after a place; empty after the end."""
    return base64.urlsafe_b64encode(place.encode()).decode()


def place(given: str) -> str:
    """What a token stands for; raises InvalidTerms for one that is not from here."""
    try:
        return base64.b64decode(given, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise foreign() from error


def foreign() -> InvalidTerms:
    """For a token that is not from here."""
    return InvalidTerms(violations=[("page_token", "this is no token of a page: leave it out for the first page")])


def page(rows: Iterable[T], key: Callable[[T], str], asked: int, after: str) -> tuple[list[T], str]:
    """A page of rows in order of their keys, and the token of the next."""
    last, most = place(after), size(asked)
    left = sorted((row for row in rows if key(row) > last), key=key)
    return left[:most], token(key(left[most - 1])) if len(left) > most else ""
