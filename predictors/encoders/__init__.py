"""Text to vector, one encoder per file."""

from router.ports import Encoder
from router.registry import Registry

encoders: Registry[Encoder] = Registry("predictors.encoders")

LIMIT = 4_000  # characters read: describing a query costs the same however long its text


def readable(text: str, limit: int = LIMIT) -> str:
    """The beginning of a text, in characters that can be tokenised or sent: lone surrogates become question marks."""
    return text[:limit].encode(errors="replace").decode()
