"""Recent: answers read from Redis a moment ago, which need not be read again."""

import time
from collections import OrderedDict
from collections.abc import Callable

from router.types import Answer

SECONDS = 1.0  # by which an answer may be given longer than Redis keeps it
_MOST, _LONGEST = 2_000, 4_000  # answers, and characters of one


class Recent:
    """By key, the latest few thousand of moderate length."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: OrderedDict[str, tuple[float, Answer]] = OrderedDict()

    def __getitem__(self, key: str) -> Answer | None:
        """The answer, if it was read within SECONDS."""
        read = self._read.get(key)
        return read[1] if read and self._clock() - read[0] < SECONDS else None

    def __setitem__(self, key: str, answer: Answer) -> None:
        """An answer that was read now."""
        if len(answer.text) > _LONGEST:
            return
        self._read[key] = (self._clock(), answer)
        self._read.move_to_end(key)
        while len(self._read) > _MOST:
            self._read.popitem(last=False)
