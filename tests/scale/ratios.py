"""What twice as many routers, and twice as many workers, bear."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.load.sender import Client
from tests.scale.town import Town, rose, town

CALLERS = 48  # for each router
PACE, SLOTS = 0.2, 6  # of each worker in the second trial: 30 samples a second, so that it is the workers that are the limit


def routers(counts: tuple[int, ...], seconds: float) -> dict[str, dict]:
    """Of so many routers, with workers that answer at once: throughput, p99 at half of it, and what they would bear with a core each.

    The latter is seen where they share one core that is theirs alone: what is answered in a second of it, times their number. So nobody else's core
    is the limit, and what they cost one another (one Redis, one worker, one disk) is counted.
    """
    found = {}
    for count in counts:
        with _loaded(count, 1) as (place, client):
            row = _closed(place, client, seconds)
            row["half"] = client.send(place.subject, rate=max(1.0, row["per_second"] / 2), seconds=seconds)
        if count > 1:
            with _loaded(count, 1, together=True) as (place, client):
                row["together"] = _closed(place, client, seconds)
        row["with_a_core_each"] = count * 1e6 / row.get("together", row)["microseconds"]["routers"]
        found[str(count)] = row
    return found


def workers(counts: tuple[int, ...], seconds: float) -> dict[str, dict]:
    """Of so many workers behind one router, each with as many slots."""
    found = {}
    for count in counts:
        with _loaded(1, count, pace=PACE, slots=SLOTS) as (place, client):
            found[str(count)] = _closed(place, client, seconds)
    return found


@contextmanager
def _loaded(routers: int, workers: int, **kinds: float) -> Iterator[tuple[Town, Client]]:
    with tempfile.TemporaryDirectory(prefix="rheostat-scale-") as folder, town(Path(folder), routers, workers, **kinds) as place:
        client = Client()
        yield place, client
        client.close()


def _closed(place: Town, client: Client, seconds: float) -> dict:
    callers = CALLERS * len(place.routers)
    client.send(place.subject, concurrency=callers, seconds=min(2.0, seconds))
    before = place.spent()
    found = client.send(place.subject, concurrency=callers, seconds=seconds)
    return found | {"microseconds": {name: took / max(1, found["calls"]) * 1e6 for name, took in rose(before, place.spent()).items()}}


def ratios(rows: dict[str, dict], key: str) -> dict[str, float]:
    """Of each to the first."""
    first = next(iter(rows.values()))[key]
    return {count: row[key] / first for count, row in rows.items()}
