"""Episodes as arrays, and policies that need no forecast as the chances they would give on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from policies.evaluation.logs import Array, Mask, Places
from router.errors import NoSupport
from router.evaluation.episodes import Episode
from router.types import Action, Plan

STOP, ABSTAIN = Action.STOP.value, Action.ABSTAIN.value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Board:
    """Episodes as arrays: n of them, of at most T steps, k choices by name. `quality`, `cost` and `seconds` are rewards (n, T).

    `open` (n, T, k) says which choices there were; `known` (n, T, k) is the quality of ending at a step, where it is known (see `Step.in_hand`), NaN
    elsewhere.
    """

    episodes: Sequence[Episode]
    names: tuple[str, ...]
    action: Places
    propensity: Array
    logging: Array
    open: Mask
    mask: Mask
    quality: Array
    cost: Array
    seconds: Array
    known: Array
    weight: Array

    @classmethod
    def of(cls, episodes: Sequence[Episode], catalogue: Mapping[str, Plan]) -> Self:
        """Raises NoSupport where there is none."""
        if not episodes:
            raise NoSupport("the log holds no rated decision of this tenant: send traffic, report outcomes, then ask again")
        seen = {name for episode in episodes for step in episode.steps for name in step.open}
        names = (*dict.fromkeys((*catalogue, *sorted(seen - {STOP, ABSTAIN}))), STOP, ABSTAIN)
        place = {name: index for index, name in enumerate(names)}
        shape = len(episodes), max(len(episode.steps) for episode in episodes)
        board = cls(
            episodes=episodes,
            names=names,
            action=np.zeros(shape, np.int64),
            propensity=np.ones(shape),
            logging=np.zeros((*shape, len(names))),
            open=np.zeros((*shape, len(names)), bool),
            mask=np.zeros(shape, bool),
            quality=np.zeros(shape),
            cost=np.zeros(shape),
            seconds=np.zeros(shape),
            known=np.full((*shape, len(names)), np.nan),
            weight=np.array([episode.weight for episode in episodes]),
        )
        for row, episode in enumerate(episodes):
            for step, one in enumerate(episode.steps):
                at = row, step
                board.mask[at], board.action[at], board.propensity[at] = True, place[one.action], one.propensity
                board.cost[at], board.seconds[at] = one.cost, one.seconds
                for name, chance in zip(one.open, one.chances, strict=True):
                    board.logging[row, step, place[name]], board.open[row, step, place[name]] = chance, True
                board.known[row, step, -2:] = one.in_hand, 0.0
            board.quality[row, len(episode.steps) - 1] = episode.quality
        board.logging[~board.mask, -1] = 1.0
        return board

    def places(self, names: Sequence[str]) -> list[int]:
        """Where these choices stand."""
        return [self.names.index(name) for name in names]


def constant(board: Board, plan: str) -> Array:
    """Buy one plan, whatever is asked, then answer with what it gave: chances (n, T, k)."""
    return spread(board, {plan: 1.0})


def spread(board: Board, shares: Mapping[str, float]) -> Array:
    """Buy a plan drawn with these shares, whatever is asked, among those on offer, then end: chances (n, T, k)."""
    target = np.zeros(board.logging.shape)
    drawn = np.array([shares.get(name, 0.0) for name in board.names])
    target[:, 0] = board.open[:, 0] * drawn
    without = target[:, 0].sum(1) == 0
    target[:, 1:, -2] = board.open[:, 1:, -2]
    target[without, 0, -2] = board.open[without, 0, -2]
    target[..., -1] += target.sum(-1) == 0
    return np.asarray(target / target.sum(-1, keepdims=True))
