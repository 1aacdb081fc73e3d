"""What twice as many routers, and twice as many workers, bear."""

import tempfile
from pathlib import Path

from tests.load.sender import Client
from tests.scale.town import rose, town

CALLERS = 48
PACE, SLOTS = 0.2, 6  # of each worker in the second trial: 30 samples a second, so that it is the workers that are the limit


def routers(counts: tuple[int, ...], seconds: float) -> dict[str, dict]:
    """Of so many routers, with workers that answer at once: throughput, p99 at half of it, and what they would bear with a core each."""
    return {str(count): _borne(count, 1, seconds, half=True) for count in counts}


def workers(counts: tuple[int, ...], seconds: float) -> dict[str, dict]:
    """Of so many workers behind one router, each with as many slots."""
    return {str(count): _borne(1, count, seconds, half=False, pace=PACE, slots=SLOTS) for count in counts}


def _borne(routers: int, workers: int, seconds: float, *, half: bool, pace: float = 0.0, slots: int = 0) -> dict:
    with tempfile.TemporaryDirectory(prefix="rheostat-scale-") as folder, town(Path(folder), routers, workers, pace=pace, slots=slots) as place:
        client = Client()
        client.send(place.subject, concurrency=CALLERS, seconds=min(2.0, seconds))
        before = place.spent()
        found = client.send(place.subject, concurrency=CALLERS, seconds=seconds)
        spent = {name: took / max(1, found["calls"]) * 1e6 for name, took in rose(before, place.spent()).items()}
        if half:
            found["half"] = client.send(place.subject, rate=max(1.0, found["per_second"] / 2), seconds=seconds)
        client.close()
    # So many calls a second would these routers bear if each had a core to itself, and nobody else were the limit.
    alone = routers * 1e6 / spent["routers"] if spent["routers"] else 0.0
    return found | {"microseconds": spent, "with_a_core_each": alone}


def ratios(rows: dict[str, dict], key: str) -> dict[str, float]:
    """Of each to the first."""
    first = next(iter(rows.values()))[key]
    return {count: row[key] / first for count, row in rows.items()}
