"""A board: what every arm answered on every question of a set, how good it was and what it cost."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from router.errors import InvalidQuery
from router.types import Task
from workers.answers import canonical

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Item = tuple[str, int]  # an arm and which of its samples
_COLUMNS = ("query_id", "query", "category", "arm", "sample_index", "quality", "answer", "response_chars", "cost_usd")
_MICRO = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """n questions and m items, each one sample of an arm.

    `quality` (n, m) in [0, 1], `cost` (n, m) in micro-dollars, `length` (n, m) in characters; `answer` (n, m) are numbers, equal where a question's
    answers are, and negative where none could be read. `group` (n,): the same for the same question, wherever it is asked.
    """

    name: str
    items: tuple[Item, ...]
    text: tuple[str, ...]
    category: NDArray[np.str_]
    group: Places
    quality: Array
    cost: Array
    length: Array
    answer: Places

    @property
    def answered(self) -> bool:
        """Whether the answers themselves are known, so that one can be compared with another."""
        return bool((self.answer >= 0).any(axis=0).all())

    @property
    def share(self) -> Array:
        """Cost (n, m) in units of the dearest item's mean."""
        return np.asarray(self.cost / self.cost.mean(axis=0).max())

    def pick(self, items: Sequence[Item]) -> "Board":
        """These items only, in this order, and the questions that all of them were asked."""
        places = [self.items.index(item) for item in items]
        rows = np.flatnonzero(np.isfinite(self.quality[:, places]).all(axis=1) & np.isfinite(self.cost[:, places]).all(axis=1))
        return self.at(rows, places, items)

    def at(self, rows: Places | NDArray[np.bool_], places: Sequence[int] | None = None, items: Sequence[Item] | None = None) -> "Board":
        """Some of the questions, and if given some of the items."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        cells = np.ix_(rows, np.arange(len(self.items)) if places is None else np.array(places, int))
        return Board(
            name=self.name,
            items=self.items if items is None else tuple(items),
            text=tuple(self.text[row] for row in rows),
            category=self.category[rows],
            group=self.group[rows],
            quality=self.quality[cells],
            cost=self.cost[cells],
            length=self.length[cells],
            answer=self.answer[cells],
        )

    def where(self, benchmark: str) -> "Board":
        """The questions whose category begins with this."""
        return self.at(np.char.startswith(self.category, benchmark))

    def with_questions_of(self, other: "Board") -> "Board":
        """Both boards' questions one after the other; the same items."""
        return Board(
            name=self.name,
            items=self.items,
            text=self.text + other.text,
            category=np.concatenate((self.category, other.category)),
            group=np.concatenate((self.group, other.group)),
            **{name: np.concatenate((getattr(self, name), getattr(other, name))) for name in ("quality", "cost", "length", "answer")},
        )

    def beside(self, other: "Board", name: str) -> "Board":
        """The questions that are on both boards, with the items of both; answers of one board are not compared with the other's."""
        mine, theirs = {one: row for row, one in enumerate(self.group)}, {one: row for row, one in enumerate(other.group)}
        shared = [one for one in mine if one in theirs]
        left, right = self.at(np.array([mine[one] for one in shared], int)), other.at(np.array([theirs[one] for one in shared], int))
        joined = {name: np.concatenate((getattr(left, name), getattr(right, name)), axis=1) for name in ("quality", "cost", "length")}
        return Board(
            name=name,
            items=left.items + right.items,
            text=left.text,
            category=left.category,
            group=left.group,
            answer=np.full(joined["quality"].shape, -1),
            **joined,
        )


def load(file: Path) -> Board:
    """A table with a row per (question, arm, sample), as described in the README; InvalidQuery names what is missing or wrong."""
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InvalidQuery(f"{file} cannot be read: {error}") from error
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise InvalidQuery(f"{file} has no column {', '.join(missing)}", column=missing[0])
    rows = table.to_pydict()
    names, first, question = np.unique(np.array(rows["query_id"], str), return_index=True, return_inverse=True)
    items = sorted(set(zip(rows["arm"], rows["sample_index"], strict=True)))
    place_of = {one: place for place, one in enumerate(items)}
    item = np.array([place_of[one] for one in zip(rows["arm"], rows["sample_index"], strict=True)])
    shape, cells = (len(names), len(items)), (question, item)
    grids = {}
    for name, column, factor in (("quality", "quality", 1.0), ("cost", "cost_usd", _MICRO), ("length", "response_chars", 1.0)):
        grids[name] = np.full(shape, np.nan)
        grids[name][cells] = np.array([np.nan if one is None else one for one in rows[column]], float) * factor
    if np.nanmin(grids["quality"]) < 0 or np.nanmax(grids["quality"]) > 1:
        raise InvalidQuery(f"{file}: column quality has values outside [0, 1]", column="quality")
    answer = np.full(shape, -1)
    answer[cells] = _numbers(rows["answer"], question)
    stems = rows.get("stem_hash") or rows["query"]
    benchmarks = rows.get("benchmark") or [""] * len(item)
    return Board(
        name=file.stem,
        items=tuple(items),
        text=tuple(rows["query"][row] for row in first),
        category=np.array([f"{benchmarks[row]}/{rows['category'][row]}" for row in first]),
        group=np.array([_digest(stems[row]) for row in first]),
        answer=answer,
        **grids,
    )


def boards(folder: Path) -> Mapping[str, Board]:
    """Every table of a folder, by name."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InvalidQuery(f"{folder} holds no Parquet table; see the README for the columns of one")
    return {file.stem: load(file) for file in files}


def _numbers(answers: Sequence[str | None], question: Places) -> Places:
    """A number per answer, equal for equal spellings within a question."""
    seen: dict[tuple[int, str], int] = {}
    spelled: dict[str, str | None] = {}
    out = np.full(len(answers), -1)
    for place, (answer, row) in enumerate(zip(answers, question.tolist(), strict=True)):
        if not answer:
            continue
        if answer not in spelled:
            spelled[answer] = canonical(Task.FREE, answer)
        if (spelling := spelled[answer]) is not None:
            out[place] = seen.setdefault((row, spelling), len(seen))
    return out


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
