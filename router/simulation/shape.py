"""The shape of a fleet: what its scenario comes to, what each part is asked for, and how small a part of it may be simulated.

Workers and routers of a cell are alike, and requests choose among them at random or by their load, so a slice with a share of both, at that share
of the rate, does what the whole does; what all share (Redis, the learner) is asked for as much as the whole would.
"""

import math
from dataclasses import dataclass

from router.simulation.measured import Traffic
from router.simulation.scenario import Scenario
from workers.fleet import LOOK

BUSY = 0.6  # share of the time that routers are to be busy
POLLS = 1 / LOOK  # a second, of each worker by each router
LOOKS = 2 / 0.25 + 2 / 0.5  # reads of Redis a second by each router: rows that it follows, paces that it shares
STREAM = 100_000  # rows that the stream keeps
_PART = 8  # GPUs that are simulated, about
_MICRO = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One cell of a fleet. `share` of it is simulated: `routers_in` of its routers and `workers_in` of its workers, at `rate * share`."""

    rate: float
    gpus: float
    routers: int
    workers: int
    share: float
    routers_in: int
    workers_in: int
    gpus_each: int  # of each worker that is simulated
    polling: float  # share of each router's core
    following: float
    polled: float  # share of each worker's core


def shape(scenario: Scenario, traffic: Traffic) -> Shape:
    """One cell of this fleet for this traffic."""
    rate, gpus = scenario.asked / scenario.cells, scenario.gpus / scenario.cells
    workers = max(1, math.ceil(scenario.workers / scenario.cells))
    polling = workers * POLLS * scenario.router.poll * _MICRO
    following = rate * rows(traffic) * scenario.router.fold * _MICRO if scenario.learning else 0.0
    routers = scenario.routers
    if routers is None:
        routers = max(1, math.ceil(rate * call(scenario, traffic) / BUSY / max(0.05, 1 - polling - following)))
    else:
        routers = max(1, round(routers / scenario.cells))
    each = gpus / workers
    share, inside = _slice(routers, workers, each)
    workers_in = max(1, round(workers * share))
    gpus_each = max(1, round(gpus * share / workers_in))
    return Shape(
        rate=rate,
        gpus=gpus,
        routers=routers,
        workers=workers,
        share=min(1.0, workers_in * gpus_each / gpus),
        routers_in=inside,
        workers_in=workers_in,
        gpus_each=gpus_each,
        polling=polling,
        following=following,
        polled=routers * POLLS * scenario.worker.poll * _MICRO,
    )


def _slice(routers: int, workers: int, each: float) -> tuple[float, int]:
    """Share and routers of a slice: about as many GPUs as are wanted, with whole routers and nearly whole workers."""
    wanted = min(1.0, _PART / (workers * each))
    if wanted >= 1:
        return 1.0, routers
    candidates = [number for number in range(1, routers + 1) if 0.6 * wanted <= number / routers <= 1.3 * wanted] or [max(1, round(wanted * routers))]
    best = min(candidates, key=lambda number: (round(_odd(workers * number / routers), 2), abs(number / routers - wanted)))
    return best / routers, best


def _odd(number: float) -> float:
    """How far from a whole number, above nought, of itself."""
    return abs(max(1, round(number)) - number) / number


def rows(traffic: Traffic) -> float:
    """Rows of the log for each request: purchases, the end, and outcomes."""
    return traffic.stages + 1 + traffic.reports


def call(scenario: Scenario, traffic: Traffic) -> float:
    """Seconds of a router's core for a request, outcomes reported of it with it."""
    costs = scenario.router
    return (costs.call + costs.stage * traffic.stages + costs.report * traffic.reports) * _MICRO


def asked_of_redis(scenario: Scenario, traffic: Traffic) -> float:
    """Seconds of Redis' core for a request, but for what routers ask by themselves."""
    costs, bought = scenario.redis, 1 - traffic.cached
    return (costs.look + bought * (costs.reserve + 2 * costs.settle + costs.keep) + rows(traffic) * costs.row) * _MICRO


def asked_steadily(scenario: Scenario, traffic: Traffic, routers: int, rate: float) -> float:
    """Seconds of Redis' core each second for what so many routers ask by themselves."""
    followed = rate * rows(traffic) * scenario.redis.followed if scenario.learning else 0.0
    return routers * (LOOKS * 5.0 + followed) * _MICRO


def asked_of_gpus(scenario: Scenario, traffic: Traffic) -> float:
    """Seconds of a GPU for a request, where each pool draws as many samples at once as it can, and as they come."""
    bought = [step.purchase for one in traffic.episodes for step in one.steps]
    return sum(scenario.of(one.pool).least(one.written, one.prompt * len(one.rounds)) for one in bought) / len(traffic.episodes)


def stay(scenario: Scenario, traffic: Traffic) -> float:
    """Seconds that a request is inside, about, where half of all slots are taken."""
    engines = [scenario.of(name) for name in traffic.pools]
    pace = sum(one.step + one.sequence * one.slots / 2 for one in engines)  # they take turns
    bought = [step.purchase for one in traffic.episodes for step in one.steps]
    seconds = sum(sum(map(max, one.rounds)) * pace + one.prompt * len(one.rounds) * scenario.of(one.pool).prompt for one in bought)
    return seconds / len(traffic.episodes) + call(scenario, traffic)


def asked_of_workers(scenario: Scenario, traffic: Traffic) -> float:
    """Seconds of a worker's core for a request."""
    samples = sum(step.purchase.samples for one in traffic.episodes for step in one.steps) / len(traffic.episodes)
    return (scenario.worker.call * traffic.stages + scenario.worker.sample * samples) * _MICRO


def bears(scenario: Scenario, traffic: Traffic) -> dict[str, float]:
    """Requests a second that each part of the whole fleet bears, by name; permits by Little's law."""
    one = shape(scenario, traffic)
    left = max(0.0, 1 - one.polling - one.following)
    redis = max(0.0, 1 - asked_steadily(scenario, traffic, one.routers, one.rate))
    spends = asked_of_gpus(scenario, traffic)
    found = {
        "routers": one.routers * left / call(scenario, traffic),
        "Redis": redis / asked_of_redis(scenario, traffic),
        "GPUs": one.gpus / spends if spends else math.inf,
        "workers": one.workers * max(0.0, 1 - one.polled) / (asked_of_workers(scenario, traffic) or 1e-12),
        "permits": one.routers * scenario.router.permits / stay(scenario, traffic),
    }
    if scenario.learning:
        found["learner"] = min(1 / (scenario.router.fold * _MICRO), STREAM / scenario.learning_seconds) / rows(traffic)
    return {name: rate * scenario.cells for name, rate in found.items()}
