"""BERT's uncased WordPiece tokenizer, in the standard library, for the run-time of the static encoder."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_WORD = re.compile(r"\w+|[^\w\s]")
_LONGEST = 100  # characters of a word; longer ones are unknown
_CONTROL = dict.fromkeys({*range(32), 127} - {*map(ord, "\t\n\r")})  # what BERT drops before it looks for words


class WordPiece:
    """Greedy longest-match-first pieces (Wu et al. 2016, arXiv 1609.08144) over BERT's vocabulary; unknown words are skipped."""

    def __init__(self, vocabulary: list[str]) -> None:
        self._ids = {piece: index for index, piece in enumerate(vocabulary)}
        self._of_word = lru_cache(maxsize=50_000)(self._split)

    def encode(self, text: str) -> list[int]:
        """Piece ids of a text, accents and case folded."""
        return [piece for word in _WORD.findall(_fold(text)) for piece in self._of_word(word)]

    def _split(self, word: str) -> tuple[int, ...]:
        if "_" in word:
            return tuple(piece for part in re.split("(_)", word) if part for piece in self._pieces(part))
        return tuple(self._pieces(word))

    def _pieces(self, word: str) -> Iterator[int]:
        if len(word) > _LONGEST:
            return
        found, start = [], 0
        while start < len(word):
            end = len(word)
            while end > start and (("##" if start else "") + word[start:end]) not in self._ids:
                end -= 1
            if end == start:
                return
            found.append(self._ids[("##" if start else "") + word[start:end]])
            start = end
        yield from found


def _fold(text: str) -> str:
    text = (text if text.isprintable() else text.translate(_CONTROL)).lower()
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")
