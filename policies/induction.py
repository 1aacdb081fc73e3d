"""Backward induction over what can be bought: when to stop, and what to buy next, learned from questions where every purchase is known.

The state is the set of items bought; what was seen is in its features. With c_S the belief in the best answer of state S and price the quality that
one unit of cost is worth,

    V_S = max(c_S, max_a ( E[V_S+a | features of S] - price cost_a ))

from the largest sets down to the empty one (Bellman 1957, chapter III). The expectation is a ridge regression on the features of S of what following
the policy from S+a on came to (fitted Q iteration: Ernst, Geurts and Wehenkel 2005, section 3). All prices are solved at once: they share a matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]
STOP = -1
_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Lattice:
    """The sets of items that can have been bought, smallest first, and for each the (item, set) pairs it can lead to."""

    states: tuple[tuple[int, ...], ...]
    onward: tuple[tuple[tuple[int, int], ...], ...]


def lattice(items: Sequence[tuple[str, int]], most: int) -> Lattice:
    """Of items (arm, sample): at most `most` of them, an arm's samples in order."""
    before = {place: items.index((arm, sample - 1)) for place, (arm, sample) in enumerate(items) if sample and (arm, sample - 1) in items}
    states = [
        chosen
        for size in range(most + 1)
        for chosen in combinations(range(len(items)), size)
        if all(before.get(place, place) in chosen for place in chosen)
    ]
    place_of = {state: place for place, state in enumerate(states)}
    onward = []
    for state in states:
        grown = ((item, tuple(sorted((*state, item)))) for item in range(len(items)) if item not in state)
        onward.append(tuple((item, place_of[larger]) for item, larger in grown if larger in place_of))
    return Lattice(tuple(states), tuple(onward))


def induct(found: Lattice, belief: Array, right: Array, features: Sequence[Array], *, cost: Array, prices: Array, learn: NDArray[np.bool_]) -> Places:
    """What to do in each state: an item or STOP, (states, n, prices).

    `belief` (states, n) in the best answer, `right` (states, n) whether it was, `features` of each state (n, p), `cost` (n, items). Only the
    questions in `learn` (n,) are learned from. In the empty state something is always bought.
    """
    count, width = belief.shape[1], len(prices)
    actions = np.full((len(found.states), count, width), STOP)
    value = np.zeros((len(found.states), count, width))
    mean = cost[learn].mean(axis=0)
    for state in reversed(range(len(found.states))):
        best = np.repeat(belief[state][:, None], width, axis=1) if found.states[state] else np.full((count, width), -np.inf)
        came = np.repeat(right[state][:, None], width, axis=1)
        x = features[state]
        if found.onward[state]:
            gram = x[learn].T @ x[learn] + _RIDGE * np.eye(x.shape[1])
            project = np.linalg.solve(gram, x[learn].T)
        for item, larger in found.onward[state]:
            worth = x @ (project @ value[larger][learn]) - prices * mean[item]
            better = worth > best
            best = np.where(better, worth, best)
            actions[state][better] = item
            came = np.where(better, value[larger] - prices * cost[:, item, None], came)
        value[state] = came
    return actions


def follow(found: Lattice, actions: Places, right: Array, cost: Array) -> tuple[Array, Array, Places]:
    """Quality and cost (n, prices) of acting so, and the state (n, prices) each question ends in."""
    count, width = actions.shape[1:]
    at = np.zeros((count, width), int)
    spent = np.zeros((count, width))
    rows = np.arange(count)
    for state, onward in enumerate(found.onward):  # a larger set always comes later
        for item, larger in onward:
            going = (at == state) & (actions[state] == item)
            spent += np.where(going, cost[:, item, None], 0.0)
            at[going] = larger
    return right[at, rows[:, None]], spent, at
