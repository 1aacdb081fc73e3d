"""A query as numbers: the encoder's vector and cheap lexical features side by side."""

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from router.ports import Describer, Encoder
from router.types import Features, Message, Query, Vector

_NUMBER = re.compile(r"\d+")
_BRACKET = re.compile(r"[()]")
# fmt: off
_LEXICAL = {
    "bias": 0, "characters": 5, "words": 4, "sentences": 2, "numbers": 2, "digits": 3, "longest_number": 1, "largest_number": 5, "plus": 1,
    "minus": 1, "times": 1, "divided": 1, "power": 1, "equals": 1, "less": 1, "greater": 1, "percent": 1, "dollars": 1, "latex": 2, "brackets": 1,
    "depth": 1, "commas": 2, "question_mark": 0, "capitals": 3, "unique_words": 0, "choices": 1, "code": 0, "turns": 1, "system": 0,
    "system_characters": 5, "all_characters": 5,
}  # of a count, what its logarithm is divided by, so that columns are of one size; else 0
# fmt: on
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
_COUNTED = np.array([*(unit > 0 for unit in _LEXICAL.values()), *[False] * (len(_ASKS) + len(_SCRIPTS))])
_UNITS = np.array([*(unit or 1 for unit in _LEXICAL.values()), *[1] * (len(_ASKS) + len(_SCRIPTS))], np.float32)
_VERSION = "lexical-2"


@dataclass(frozen=True, slots=True)
class Featurizer:
    """Query to Features; `names` are the columns', lexical ones first, then the vector of `encoder`, then that of `second` where there is one."""

    encoder: Encoder
    second: Encoder | None = None
    names: tuple[str, ...] = field(init=False, repr=False)
    version: str = field(init=False, repr=False)  # changes when the same query may give other numbers
    _encoders: tuple[Encoder, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        encoders = (self.encoder, self.second) if self.second else (self.encoder,)
        object.__setattr__(self, "_encoders", encoders)
        object.__setattr__(self, "version", "+".join((_VERSION, *(encoder.version for encoder in encoders))))
        width = sum(encoder.dim for encoder in encoders)
        lexical_names = (*_LEXICAL, *(f"asks_{form}" for form in _ASKS), *_SCRIPTS)
        object.__setattr__(self, "names", (*lexical_names, *(f"probe_{index}" for index in range(width))))

    async def describe(self, query: Query) -> Features:
        """Features of a query; an encoder that is not quick works in a thread."""
        text = query.text
        rows = [encoder.encode([text]) if encoder.quick else await asyncio.to_thread(encoder.encode, [text]) for encoder in self._encoders]
        return Features(vector=np.concatenate((lexical(query, text), *(row[0] for row in rows))), names=self.names, version=self.version)


def vector_columns(version: str, width: int) -> tuple[int, int]:
    """The first of the `width` columns of features of this version that is of an encoder's vector, and the end; 0, 0 where they are not ours."""
    return (len(_LEXICAL) + len(_ASKS) + len(_SCRIPTS), width) if version.startswith(_VERSION) else (0, 0)


def describe_all(describer: Describer, texts: Sequence[str]) -> list[Features]:
    """Features of texts, for code that does not await; equal ones that follow one another are described once."""

    async def described() -> list[Features]:
        found: list[Features] = []
        for place, text in enumerate(texts):
            again = place > 0 and text == texts[place - 1]
            found.append(found[-1] if again else await describer.describe(Query(id="", messages=(Message(content=text),))))
        return found

    with ThreadPoolExecutor(1) as aside:  # where its own event loop is in nobody's way, such as a notebook's
        return aside.submit(asyncio.run, described()).result()


def lexical(query: Query, text: str) -> Vector:
    """The cheap features of a query whose text this is, roughly in [0, 1] or a small multiple of it; names in `Featurizer.names`."""
    text = text[:20_000]
    words, count = text.split(), text.count
    numbers = _NUMBER.findall(text)
    digits = [*map(len, numbers)]
    system = [len(message.content) for message in query.messages if message.role == "system"]
    lower = text.lower()
    values = [
        1.0,
        len(text),
        len(words),
        count(". ") + count("\n"),
        len(numbers),
        sum(digits),
        max(digits) if digits else 0,
        max([int(number[:15]) for number in numbers]) if numbers else 0,
        count("+"),
        count(" - "),
        count("*") + count("\u00d7"),
        count("/") + count("\u00f7"),
        count("^"),
        count("="),
        count("<") + count("\u2264"),
        count(">") + count("\u2265"),
        count("%"),
        count("$"),
        count("\\"),
        count("("),
        _depth(text),
        count(","),
        "?" in text,
        sum([word[0].isupper() for word in words]),
        len(set(words)) / max(1, len(words)),
        _choices(text),
        "```" in text or "def " in text,
        len(query.messages[1:]),
        bool(system),
        sum(system),
        sum([len(message.content) for message in query.messages]),
    ]
    values += [one in lower or other in lower for one, other in _ASKS.values()]
    values += _ASCII if text.isascii() else _scripts(text)
    out = np.array(values, np.float32)
    np.log1p(out, out=out, where=_COUNTED)
    out /= _UNITS
    return out


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
