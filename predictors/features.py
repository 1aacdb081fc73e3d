"""A query as numbers: the encoder's vector and cheap lexical features side by side."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import log1p
from operator import itemgetter

import numpy as np

from router.ports import Describer, Encoder
from router.types import Features, Message, Query, Vector

_NUMBER = re.compile(r"\d+")
_BRACKET = re.compile(r"[()]")
_LEXICAL = (
    "bias", "characters", "words", "sentences", "numbers", "digits", "longest_number", "largest_number", "plus", "minus", "times", "divided",
    "power", "equals", "less", "greater", "percent", "dollars", "latex", "brackets", "depth", "commas", "question_mark", "capitals", "unique_words",
    "choices", "code", "turns", "system", "system_characters", "all_characters",
)  # fmt: skip
_ASKS = {
    "what": ("what ", "what's"),
    "how_many": ("how many", "how much"),
    "which": ("which", "select"),
    "why": ("why", "explain"),
    "who_or_where": ("who ", "where "),
    "true_or_false": ("true or false", "yes or no"),
    "prove": ("prove", "show that"),
    "calculate": ("calculate", "evaluate"),
    "solve": ("solve", "find"),
    "write": ("write", "implement"),
}
_CHOICES = tuple((f" {letter})", f" ({letter})", f" {letter}.", f" {letter}:") for letter in "ABCDEFGHIJ")
_SCRIPTS = ("ascii", "latin", "cyrillic", "arabic", "east_asian")
_EDGES = np.array([0x80, 0x250, 0x400, 0x530, 0x600, 0x700, 0x1E00, 0x1F00, 0x3040, 0xD7B0, 0xF900, 0xFB00, 0xFB50, 0xFE00, 0x20000, 0x40000])
_SCRIPT_OF = np.array([0, 1, 5, 2, 5, 3, 5, 1, 5, 4, 5, 4, 5, 3, 5, 4, 5])  # between the edges; 5 is any other
_ASCII = (1.0, 0.0, 0.0, 0.0, 0.0)
_VERSION = "lexical-2"


@dataclass(frozen=True, slots=True)
class Featurizer:
    """Query to Features; `names` are the columns', lexical ones first, then the vector of `encoder`, then that of `second` where there is one."""

    encoder: Encoder
    second: Encoder | None = None
    names: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        width = sum(encoder.dim for encoder in self._encoders)
        lexical_names = (*_LEXICAL, *(f"asks_{form}" for form in _ASKS), *_SCRIPTS)
        object.__setattr__(self, "names", (*lexical_names, *(f"probe_{index}" for index in range(width))))

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


def vector_columns(version: str, width: int) -> tuple[int, int]:
    """The first of the `width` columns of features of this version that is of an encoder's vector, and the end; 0, 0 where they are not ours."""
    return (len(_LEXICAL) + len(_ASKS) + len(_SCRIPTS), width) if version.startswith(_VERSION) else (0, 0)


def describe_all(describer: Describer, texts: Sequence[str]) -> list[Features]:
    """Features of texts, where no event loop runs; equal ones that follow one another are described once."""

    async def described() -> list[Features]:
        found: list[Features] = []
        for place, text in enumerate(texts):
            again = place > 0 and text == texts[place - 1]
            found.append(found[-1] if again else await describer.describe(Query(id="", messages=(Message(content=text),))))
        return found

    return asyncio.run(described())


async def _vector(encoder: Encoder, text: str) -> Vector:
    row: Vector
    (row,) = encoder.encode([text]) if encoder.quick else await asyncio.to_thread(encoder.encode, [text])
    return row


def lexical(query: Query) -> Vector:
    """The cheap features, roughly in [0, 1] or a small multiple of it; names in `Featurizer.names`."""
    text = query.text[:20_000]
    words = text.split()
    numbers = _NUMBER.findall(text)
    system = [len(message.content) for message in query.messages if message.role == "system"]
    lower = text.lower()
    values = (
        1.0,
        log1p(len(text)) / 5,
        log1p(len(words)) / 4,
        log1p(text.count(". ") + text.count("\n")) / 2,
        log1p(len(numbers)) / 2,
        log1p(sum(map(len, numbers))) / 3,
        log1p(max(map(len, numbers), default=0)),
        log1p(float(max([int(number[:15]) for number in numbers], default=0))) / 5,
        log1p(text.count("+")),
        log1p(text.count(" - ")),
        log1p(text.count("*") + text.count("\u00d7")),
        log1p(text.count("/") + text.count("\u00f7")),
        log1p(text.count("^")),
        log1p(text.count("=")),
        log1p(text.count("<") + text.count("\u2264")),
        log1p(text.count(">") + text.count("\u2265")),
        log1p(text.count("%")),
        log1p(text.count("$")),
        log1p(text.count("\\")) / 2,
        log1p(text.count("(")),
        log1p(_depth(text)),
        log1p(text.count(",")) / 2,
        float("?" in text),
        log1p(sum(map(str.isupper, map(itemgetter(0), words)))) / 3,
        len(set(words)) / max(1, len(words)),
        log1p(_choices(text)),
        float("```" in text or "def " in text),
        log1p(len(query.messages[1:])),
        float(bool(system)),
        log1p(sum(system)) / 5,
        log1p(sum([len(message.content) for message in query.messages])) / 5,
        *[float(one in lower or other in lower) for one, other in _ASKS.values()],
        *(_ASCII if text.isascii() else _scripts(text)),
    )
    return np.array(values, np.float32)


def _choices(text: str) -> int:
    """How far its lines, or words, are marked A, B, C and so on."""
    if "B" not in text:
        return 0
    spaced = f" {text}".replace("\n", " ")
    return sum(1 for _ in takewhile(lambda marks: any(mark in spaced for mark in marks), _CHOICES))


def _scripts(text: str) -> list[float]:
    """The share of its characters in each of `_SCRIPTS`."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    shares: list[float] = (np.bincount(_SCRIPT_OF[_EDGES.searchsorted(codes, "right")], minlength=6)[:5] / len(codes)).tolist()
    return shares


def _depth(text: str) -> int:
    if "(" not in text:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket == "(" else -1
        deepest = max(deepest, depth)
    return deepest
