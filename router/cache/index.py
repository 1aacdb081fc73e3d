"""The index: vectors of questions answered, in one matrix, and the nearest of those that may be alike."""

from typing import NamedTuple

import numpy as np

from router.types import Vector

_BEGINS = 256  # rows; it doubles as it fills
_FEW = 256  # rows that are picked out sooner than all are compared


class Near(NamedTuple):
    """A question answered before: the key of its answer, and the cosine of the angle between its vector and this one."""

    answer: str
    similarity: float


class Index:
    """At most `most` rows of unit length; the oldest make room. Rows of a group are found among themselves: in microseconds where they are few."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows = np.zeros((0, 0), np.float32)
        self._group_of = np.zeros(0, np.int64)
        self._names: list[tuple[str, str]] = []  # of each row: its group, and its answer's key
        self._groups: dict[str, dict[str, int]] = {}  # to answers' keys, to rows
        self._next = 0

    def __len__(self) -> int:
        return len(self._names)

    def add(self, group: str, answer: str, vector: Vector) -> None:
        """A question whose answer this is, (dim,); one that is there already is renewed where it stands."""
        if (row := self._groups.get(group, {}).get(answer)) is None:
            row = self._room(len(vector))
            self._names[row] = (group, answer)
            self._groups.setdefault(group, {})[answer] = row
        self._rows[row] = vector
        self._group_of[row] = hash(group)

    def nearest(self, group: str, vector: Vector) -> Near | None:
        """The one of its group that is most like it."""
        if not (rows := self._groups.get(group)):
            return None
        if len(rows) <= _FEW:
            places = np.fromiter(rows.values(), np.intp, len(rows))
            similarities = self._rows[places] @ vector
            row = int(places[best := int(similarities.argmax())])
            return Near(self._names[row][1], float(similarities[best]))
        products = np.einsum("ij,j->i", self._rows, vector)  # in one thread: those of BLAS wait milliseconds for one another on a busy machine
        similarities = np.where(self._group_of == hash(group), products, -1.0)
        row = int(similarities.argmax())
        return Near(self._names[row][1], float(similarities[row]))

    def _room(self, width: int) -> int:
        row, self._next = self._next, (self._next + 1) % self._most
        if row < len(self._names):
            group, answer = self._names[row]
            del self._groups[group][answer]
            if not self._groups[group]:
                del self._groups[group]
            return row
        if row == len(self._rows):
            self._grow(min(self._most, max(_BEGINS, 2 * row)), width)
        self._names.append(("", ""))
        return row

    def _grow(self, rows: int, width: int) -> None:
        had = len(self._rows)
        grown, groups = np.zeros((rows, width), np.float32), np.zeros(rows, np.int64)
        if had:
            grown[:had], groups[:had] = self._rows, self._group_of
        self._rows, self._group_of = grown, groups
