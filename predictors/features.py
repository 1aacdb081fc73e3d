"""A query as numbers: the encoder's vector and cheap lexical features side by side."""

import asyncio
import re
from dataclasses import dataclass, field
from math import log1p

import numpy as np

from router.ports import Encoder
from router.types import Features, Query, Vector

_NUMBER = re.compile(r"\d+")
_BRACKET = re.compile(r"[()]")
_LEXICAL = (
    "bias", "characters", "words", "sentences", "numbers", "digits", "longest_number", "largest_number", "plus", "minus", "times", "divided",
    "brackets", "depth", "commas", "question_mark", "capitals", "unique_words", "choices", "code", "turns", "system",
)  # fmt: skip
_VERSION = "lexical-1"


@dataclass(frozen=True, slots=True)
class Featurizer:
    """Query to Features; `names` are the columns', lexical ones first, then the vector of `encoder`, then that of `second` where there is one."""

    encoder: Encoder
    second: Encoder | None = None
    names: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        width = sum(encoder.dim for encoder in self._encoders)
        object.__setattr__(self, "names", (*_LEXICAL, *(f"probe_{index}" for index in range(width))))

    @property
    def version(self) -> str:
        """Changes when the same query may give other numbers."""
        return "+".join((_VERSION, *(encoder.version for encoder in self._encoders)))

    @property
    def _encoders(self) -> tuple[Encoder, ...]:
        return (self.encoder, self.second) if self.second else (self.encoder,)

    async def describe(self, query: Query) -> Features:
        """Features of a query; an encoder that is not quick works in a thread."""
        rows = [await _vector(encoder, query.text) for encoder in self._encoders]
        return Features(vector=np.concatenate((lexical(query), *rows)), names=self.names, version=self.version)


async def _vector(encoder: Encoder, text: str) -> Vector:
    row: Vector
    (row,) = encoder.encode([text]) if encoder.quick else await asyncio.to_thread(encoder.encode, [text])
    return row


def lexical(query: Query) -> Vector:
    """The cheap features, roughly in [0, 1] or a small multiple of it; names in `Featurizer.names`."""
    text = query.text[:20_000]
    words = text.split()
    numbers = _NUMBER.findall(text)
    values = (
        1.0,
        log1p(len(text)) / 5,
        log1p(len(words)) / 4,
        log1p(text.count(". ") + text.count("\n")) / 2,
        log1p(len(numbers)) / 2,
        log1p(sum(map(len, numbers))) / 3,
        log1p(max(map(len, numbers), default=0)),
        log1p(float(max((int(number[:15]) for number in numbers), default=0))) / 5,
        log1p(text.count("+")),
        log1p(text.count(" - ")),
        log1p(text.count("*") + text.count("\u00d7")),
        log1p(text.count("/") + text.count("\u00f7")),
        log1p(text.count("(")),
        log1p(_depth(text)),
        log1p(text.count(",")) / 2,
        float("?" in text),
        log1p(sum(word[0].isupper() for word in words)) / 3,
        len(set(words)) / max(1, len(words)),
        float("\nB)" in text or "(B)" in text or "B." in words),
        float("```" in text or "def " in text),
        log1p(len(query.messages[1:])),
        float(any(message.role == "system" for message in query.messages)),
    )
    return np.array(values, np.float32)


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket == "(" else -1
        deepest = max(deepest, depth)
    return deepest
