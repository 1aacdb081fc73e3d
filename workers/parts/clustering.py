"""Texts that say much the same: word counts weighed by rarity, and k-means over them."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
Labels = NDArray[np.intp]
_WORD = re.compile(r"\w+")


def tf_idf(texts: Sequence[str]) -> Rows:
    """A unit row per text: its words' counts times 1 + ln((1 + n) / (1 + texts with the word)). A text without words is all zeros."""
    words = [[word.casefold() for word in _WORD.findall(text)] for text in texts]
    column = {word: place for place, word in enumerate(sorted({word for row in words for word in row}))}
    counts = np.zeros((len(texts), len(column)))
    for row, found in zip(counts, words, strict=True):
        np.add.at(row, [column[word] for word in found], 1.0)
    rarity = 1 + np.log((1 + len(texts)) / (1 + np.count_nonzero(counts, axis=0)))
    weighed = counts * rarity
    lengths = np.linalg.norm(weighed, axis=1, keepdims=True)
    return np.asarray(np.divide(weighed, lengths, out=np.zeros_like(weighed), where=lengths > 0))


def k_means(rows: Rows, clusters: int, rng: np.random.Generator, *, rounds: int = 50) -> Labels:
    """The cluster of each row, at most so many of them: Lloyd's algorithm from k-means++ beginnings; fewer where fewer rows are different."""
    centres = _beginnings(rows, clusters, rng)
    labels: Labels = np.argmin(_distances(rows, centres), axis=1)
    for _ in range(rounds):
        centres = np.array([rows[labels == place].mean(0) if (labels == place).any() else centre for place, centre in enumerate(centres)])
        before, labels = labels, np.argmin(_distances(rows, centres), axis=1)
        if (before == labels).all():
            break
    return labels


def _beginnings(rows: Rows, clusters: int, rng: np.random.Generator) -> Rows:
    """Rows far from one another, by chance (Arthur and Vassilvitskii 2007)."""
    centres = [rows[int(rng.integers(len(rows)))]]
    while len(centres) < clusters:
        gaps = _distances(rows, np.array(centres)).min(1)
        if not gaps.sum() > 0:
            break
        centres.append(rows[int(rng.choice(len(rows), p=gaps / gaps.sum()))])
    return np.array(centres)


def _distances(rows: Rows, centres: Rows) -> Rows:
    return np.asarray(np.square(rows[:, None] - centres[None]).sum(-1))
