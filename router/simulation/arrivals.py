"""When requests come: at random, or as they came, at another pace."""

import random
from collections.abc import Iterator, Sequence

_TOGETHER = 50  # gaps that are drawn together, so that a burst stays one


def arrivals(kind: str, rate: float, gaps: Sequence[float], rng: random.Random) -> Iterator[float]:
    """Seconds until the next request, without end, `rate` a second on average; `gaps` as in `Traffic`.

    Measured ones are drawn in blocks (the block bootstrap of Künsch 1989), scaled to the rate.
    """
    if kind == "poisson":
        while True:
            yield rng.expovariate(rate)
    while True:
        begin = rng.randrange(len(gaps))
        for number in range(_TOGETHER):
            yield gaps[(begin + number) % len(gaps)] / rate
