"""What was seen after each set of purchases: the answers in hand, what speaks for each, and how far the best one is believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.induction import Lattice
from router.benchmark.board import Board

Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every different answer in every state: all (r,), `votes` the number of items that gave it, and columns (r, d)."""

    state: Places
    question: Places
    right: Array
    votes: Places
    columns: Array


def candidates(board: Board, found: Lattice, starts: Array) -> Candidates:
    """What speaks for and against each answer that was bought.

    Columns: for each item +1 where it gave this answer, -1 where another, 0 where it was not bought; whether every one agreed, and pairs that did;
    length of each against its usual one; shares of those for it and of its strongest rival; how many answers there are and how many could not be
    read; log-odds of every item before anything was bought, `starts` (n, m).
    """
    usual = np.log(np.maximum(np.nan_to_num(board.length), 1))
    usual -= usual.mean(axis=0)
    parts = [_of_state(board, state, items, usual, starts) for state, items in enumerate(found.states) if items]
    return Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in Candidates.__dataclass_fields__))


def _of_state(board: Board, state: int, items: tuple[int, ...], usual: Array, starts: Array) -> Candidates:
    answers = board.answer[:, items]
    read = answers >= 0
    same = (answers[:, :, None] == answers[:, None, :]) & read[:, :, None] & read[:, None, :]  # (n, s, s)
    votes = same.sum(axis=2)
    first = read & ~np.tril(same, -1).any(axis=2)
    distinct = first.sum(axis=1)
    rival = np.where(same, 0, votes[:, None, :]).max(axis=2)
    question, place = np.nonzero(first)
    agree = np.zeros((len(question), len(board.items)))
    agree[:, items] = np.where(same[question, place], 1.0, -1.0) * read[question]
    lengths = np.zeros_like(agree)
    lengths[:, items] = usual[np.ix_(question, np.array(items, int))]
    mine, size = votes[question, place], len(items)
    pairs = [agree[:, one] * agree[:, two] for one in range(len(board.items)) for two in range(one)]
    columns = np.column_stack(
        (
            agree,
            agree == 1,
            *pairs,
            mine == size,
            mine / size,
            rival[question, place] / size,
            distinct[question] / 3,
            (~read).sum(axis=1)[question] / size,
            np.full(len(question), size / 3),
            lengths / 2,
            starts[question],
        )
    )
    quality = board.quality[:, items]
    right = np.where(same[question, place], quality[question], 0.0).max(axis=1)
    return Candidates(np.full(len(question), state), question, right, mine, columns)


def believed(count: int, states: int, found: Candidates, p: Array) -> tuple[Array, Array, Array]:
    """Belief in the best answer of each state and in the second best, and whether the best was right: each (states, n); 0 where none was read."""
    best, second, right = (np.zeros(states * count) for _ in range(3))
    place = found.state * count + found.question
    order = np.lexsort((p, place))  # within each state of a question the likeliest comes last
    place, p, was = place[order], p[order], found.right[order]
    last = np.append(place[1:] != place[:-1], True)
    best[place[last]], right[place[last]] = p[last], was[last]
    runner_up = ~last & np.append(last[1:], False)
    second[place[runner_up]] = p[runner_up]
    return best.reshape(states, count), second.reshape(states, count), right.reshape(states, count)


def summaries(best: Array, second: Array, starts: Array, *, detailed: bool) -> Sequence[Array]:
    """What a decision looks at in each state: (n, p) each. `starts` is looked at where there are questions enough to learn from."""
    out = []
    for mine, rival in zip(best, second, strict=True):
        odds = np.log((mine + 0.01) / (1.01 - mine))
        columns = [np.ones_like(mine), mine, mine**2, rival, odds / 5, mine > 0, rival > 0, mine * (1 - mine)]
        if detailed:
            columns += [*(starts.T / 3), *(starts.T * (1 - mine) / 3)]
        out.append(np.stack(columns, axis=1))
    return out
