"""The simulator's stations against what queueing theory says of them exactly."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from simpy import Environment

from router.simulation.arrivals import arrivals
from router.simulation.gate import Gate, permit
from router.simulation.scenario import EngineSettings
from router.simulation.stations import Core, Disk, Gpu, Shared

MANY = 60_000


def stays(serve: Callable[[float, float], float], rate: float, service: Callable[[random.Random], float], seed: int = 1) -> list[float]:
    """How long each of many visits took that came at random; the first tenth is not counted."""
    rng, now, taken = random.Random(seed), 0.0, []
    for _ in range(MANY):
        now += rng.expovariate(rate)
        taken.append(serve(now, service(rng)) - now)
    return taken[MANY // 10 :]


def exponential(mean: float) -> Callable[[random.Random], float]:
    return lambda rng: rng.expovariate(1 / mean)


def test_one_core_is_an_m_m_1() -> None:
    """Mean 1 / (mu - lambda), and the stay is exponential, so that its p99 is 4.6 times as much."""
    taken = sorted(stays(Core().serve, 0.7, exponential(1.0)))
    assert sum(taken) / len(taken) == pytest.approx(1 / 0.3, rel=0.08)
    assert taken[int(0.99 * len(taken))] == pytest.approx(math.log(100) / 0.3, rel=0.12)


def test_stolen_time_makes_a_core_slower() -> None:
    core = Core(stolen=0.5)
    assert core.serve(0.0, 1.0) == 2.0
    assert core.serve(1.0, 1.0) == 4.0


def test_several_are_an_m_m_c() -> None:
    """Erlang C."""
    servers, load = 4, 3.2
    terms = [load**number / math.factorial(number) for number in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    waits = last / (sum(terms) + last)
    taken = stays(Core(servers).serve, load, exponential(1.0))
    assert sum(taken) / len(taken) == pytest.approx(1 + waits / (servers - load), rel=0.06)


def test_a_slice_of_redis_waits_as_long_as_the_whole() -> None:
    """An M/D/1 of which a twentieth of the visits is simulated: Pollaczek and Khinchine's mean, and the whole's p99."""
    load, job = 0.8, 100e-6
    rate = load / job
    whole = sorted(stays(Core().serve, rate, lambda _: job, seed=2))
    part = sorted(stays(Shared(np.random.default_rng(3), elsewhere=19.0).serve, rate / 20, lambda _: job, seed=3))
    assert sum(part) / len(part) == pytest.approx(job * (1 + load / (2 * (1 - load))), rel=0.05)
    assert part[int(0.99 * len(part))] == pytest.approx(whole[int(0.99 * len(whole))], rel=0.1)


@pytest.mark.parametrize("lengths", [lambda rng: rng.expovariate(0.01), lambda rng: rng.choice([10.0, 1_000.0])], ids=["M/M/1-PS", "M/G/1-PS"])
def test_a_gpu_shares_its_steps(lengths: Callable[[random.Random], float]) -> None:
    """Steps that take as long as there are samples are processor sharing: the mean stay is the work's over the room left, whatever its spread."""
    env, rng, taken = Environment(), random.Random(4), []
    gpu = Gpu(env, {"pool": EngineSettings(step=0.0, sequence=0.001, slots=10_000)})
    mean = sum(lengths(rng) for _ in range(50_000)) / 50_000 * 0.001

    def come():
        for number in range(20_000):
            yield env.timeout(rng.expovariate(0.7 / mean))
            gpu.draw("pool", lengths(rng), 0.0, lambda came=env.now, number=number: taken.append((number, env.now - came)))

    env.process(come())
    env.run()
    counted = [stay for number, stay in taken if number > 2_000]
    assert sum(counted) / len(counted) == pytest.approx(mean / 0.3, rel=0.1)


def test_a_step_takes_longer_the_more_are_in_it_and_reading_holds_it_up() -> None:
    env, ended = Environment(), []
    gpu = Gpu(env, {"a": EngineSettings(step=0.01, sequence=0.001, prompt=0.1), "b": EngineSettings(step=0.02, sequence=0.0)})
    gpu.draw("a", 10, 1.0, lambda: ended.append(("a", env.now)))
    gpu.draw("b", 20, 0.0, lambda: ended.append(("b", env.now)))
    env.run()
    assert ended == [("a", pytest.approx(0.1 + 10 * 0.031)), ("b", pytest.approx(0.1 + 10 * 0.031 + 10 * 0.02))]


def test_the_real_turnstile_decides_who_is_next() -> None:
    """Two permits and a queue of four; who had least comes first, and the longest line gives way."""
    env, told = Environment(), []
    gate = Gate(env, 2, 4)

    def ask(tenant: str, begin: float):
        yield env.timeout(begin)
        waiter, entered = permit(env)
        gate.come(tenant, waiter)
        try:
            yield entered
        except Exception as error:
            told.append((tenant, type(error).__name__))
            return
        told.append((tenant, env.now))
        yield env.timeout(1.0)
        gate.go(waiter)

    for number in range(7):
        env.process(ask("flood", number * 0.01))
    env.process(ask("calm", 0.5))
    env.run()
    assert told[:2] == [("flood", 0.0), ("flood", 0.01)]
    assert told.count(("flood", "Overloaded")) == 2  # the seventh, and the one that gave way to the calm one
    assert ("calm", 1.0) in told


def test_rows_that_wait_together_share_a_sync() -> None:
    env = Environment()
    disk, done = Disk(env, 0.01), []

    def write(begin: float):
        yield env.timeout(begin)
        yield disk.write()
        done.append(env.now)

    for begin in (0.0, 0.001, 0.002):
        env.process(write(begin))
    env.run()
    assert done == [pytest.approx(0.01), pytest.approx(0.02), pytest.approx(0.02)]


@pytest.mark.parametrize("kind", ["poisson", "measured"])
def test_arrivals_keep_the_pace(kind: str) -> None:
    """And measured ones their bursts."""
    gaps = [0.1] * 90 + [9.1] * 10
    came = arrivals(kind, 50.0, gaps, random.Random(5))
    drawn = [next(came) for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(1 / 50, rel=0.05)
    assert sum(gap == 0.1 / 50 for gap in drawn) / len(drawn) == pytest.approx(0.9 if kind == "measured" else 0.0, abs=0.03)
