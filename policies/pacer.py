"""The pacer of one tenant: keeps its pace, tells when its floor is out of reach, and shares what it knows with the other routers."""

import json
from collections import deque
from dataclasses import replace
from typing import NoReturn
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from policies import pacing
from policies.pacing import Pace
from router.types import Objective, Prediction, Standing

_SEEN, _ENOUGH = 300, 100  # recent queries whose forecasts are kept, and the fewest that say what is reachable
_WRITERS = 64  # routers, dead ones included, whose latest word stays marked in what is shared

Array = NDArray[np.float64]


class ObjectivePacer:
    """See ports.Pacer.

    What routers share is one Pace and, for each router, the number of its latest word that is in it: so a router that was cut off before it heard
    whether its word came through finds out, and nothing counts twice. What is held for requests in flight stays with their router, so that a router
    that was killed leaves nothing held.
    """

    def __init__(self, objective: Objective, now: float) -> None:
        self._objective = objective
        self._pace = Pace(start=now // objective.window * objective.window, at=now)  # windows as the ledger counts them
        self._base = self._sent = self._pace  # what was shared when last heard of; that, or our own state when we last spoke, if later
        self._name, self._word = uuid4().hex, 0
        self._best: deque[float] = deque(maxlen=_SEEN)

    def value(self, at: float) -> float:
        """See ports.Pacer."""
        return pacing.value(self._pace, self._objective, at)

    def foresee(self, prediction: Prediction, stages: int) -> None:
        """The forecasts of queries that are refused count too, so that they are served again once the floor is within reach."""
        if self._objective.floor is None or not prediction.forecasts:
            return
        self._best.append(bound(prediction, stages))
        if len(self._best) >= _ENOUGH:
            pacing.reachable(self._objective, np.clip(np.array(self._best) + max(0.0, pacing.correction(self._pace)), 0, 1))

    def reserve(self, cost: float, at: float) -> None:
        """See ports.Pacer."""
        self._pace = pacing.reserve(self._pace, self._objective, cost, at)

    def update(self, *, cost: float, quality: float | None, at: float, held: float = 0.0) -> None:
        """See ports.Pacer. An answer counts for what is believed of it, corrected by what outcomes have shown of beliefs."""
        if quality:
            quality = min(1.0, max(0.0, quality + pacing.correction(self._pace)))
        self._pace = pacing.update(self._pace, self._objective, cost=cost, quality=quality, at=at, held=held)

    def rate(self, *, reward: float, belief: float, at: float) -> None:
        """See ports.Pacer."""
        self._pace = pacing.rate(self._pace, self._objective, reward=reward, belief=belief, at=at)

    def merge(self, shared: bytes) -> bytes:
        """See ports.Pacer. What is damaged counts as nothing: this router's own knowledge takes its place."""
        found, words = _read(shared)
        if found and words.get(self._name) == self._word:
            self._take(found, self._sent)
        own = _free(self._pace)
        if found and own == self._base:
            self._take(found, own)
            return shared
        self._sent, self._word = own, self._word + 1
        both = pacing.merge(self._base, found, own, self._objective) if found else own
        words = {**{name: word for name, word in words.items() if name != self._name}, self._name: self._word}
        kept = dict(list(words.items())[-_WRITERS:])
        return json.dumps({"pace": _free(both).to_dict(), "words": kept}, separators=(",", ":")).encode()

    def standing(self, at: float) -> Standing:
        """See ports.Pacer."""
        now = pacing.reserve(self._pace, self._objective, 0.0, at)
        spent = now.spent / self._objective.cap if self._objective.cap else 0.0
        return Standing(value=self.value(at), spent=spent, deficit=now.deficit if self._objective.floor else 0.0)

    def _take(self, shared: Pace, since: Pace) -> None:
        """Go on from what is shared, which holds all of ours up to `since`."""
        self._base = self._sent = shared
        if _free(self._pace) == since:  # nothing new, to the bit
            self._pace = replace(shared, held=self._pace.held)
        else:
            self._pace = pacing.merge(since, shared, self._pace, self._objective)


def bound(prediction: Prediction, stages: int) -> float:
    """More than P(right) of the best that so many purchases can reach for a query, whatever is bought when.

    After any plan p each other one rescues what is wrong as if all earlier ones but p had told nothing, and the right answer is recognised; where
    rescues are not known, every plan is right as if it were bought first.
    """
    success = np.array([one.success for one in prediction.forecasts])
    rescue: Array = np.tile(success, (len(success), 1)) if prediction.onward is None else prediction.onward.rescue.copy()
    np.fill_diagonal(rescue, 0.0)  # no plan is bought twice
    best = np.sort(rescue, axis=1)[:, ::-1][:, : stages - 1]
    return float((1 - (1 - success) * np.prod(1 - best, axis=1)).max())


def _free(pace: Pace) -> Pace:
    """Without what is held."""
    return replace(pace, held=0.0)


def _read(shared: bytes) -> tuple[Pace | None, dict[str, int]]:
    """The pace, None where there is none or it is damaged, and the words in it."""
    try:
        state = json.loads(shared, parse_constant=_no_number)
        return Pace.from_dict(state["pace"]), dict(state["words"])
    except (ValueError, TypeError, KeyError):
        return None, {}


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number to learn from")
