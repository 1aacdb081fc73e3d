"""Where workers are found: what a place may be, what is kept while nobody can say, and who comes and goes."""

import asyncio

import pytest

from router.errors import BackendUnavailable
from router.settings import WorkerSettings
from workers.discovery import addresses
from workers.discovery.lookout import KEPT, LOOK, Lookout

A, B = "10.0.0.1:50052", "10.0.0.2:50052"


@pytest.mark.parametrize("place", ["unix:/run/w.sock", "127.0.0.1:50052", "[::1]:50052", "worker.local:50052"])
async def test_an_address_is_where_it_says(place):
    assert await addresses(place) == {place}


async def test_a_name_is_every_address_that_it_has():
    found = await addresses("dns:///localhost:50052")
    assert "127.0.0.1:50052" in found
    assert found <= {"127.0.0.1:50052", "[::1]:50052"}


async def test_a_name_that_nobody_knows_is_told():
    with pytest.raises(BackendUnavailable, match=r"dns:///nobody\.invalid:50052 cannot be looked up"):
        await addresses("dns:///nobody.invalid:50052")


@pytest.mark.parametrize(
    "place", ["50052", "host", "host:", "host:port", "host:99999", "dns:///host", "ray://head", "http://host:80", "dns://8.8.8.8/h:1"]
)
def test_what_is_no_place_is_refused_before_anything_starts(place):
    with pytest.raises(ValueError, match="is none of host:port"):
        WorkerSettings(address=f"127.0.0.1:50052, {place}")


class Zone:
    """What each look finds, one after the other, at times that the test sets."""

    def __init__(self, *looks):
        self.looks = list(looks)
        self.now = 0.0

    async def find(self, place):
        found = self.looks.pop(0)
        if found is None:
            raise BackendUnavailable("the name server does not answer")
        return frozenset(found)


async def seen(zone, step, monkeypatch):
    """What is found at each look, `step` seconds apart."""
    told = []
    lookout = Lookout(["dns:///workers:50052"], zone.find, lambda: zone.now)

    def tell(found):
        told.append(found)
        zone.now += step
        if not zone.looks:
            raise EOFError

    monkeypatch.setattr("workers.discovery.lookout.LOOK", 0)
    with pytest.raises(ExceptionGroup):
        await lookout.keep(tell)
    return told


async def test_names_flap_and_workers_stay(monkeypatch):
    zone = Zone({A, B}, {A}, None, set(), {B}, {A, B})
    assert await seen(zone, LOOK, monkeypatch) == [{A, B}] * 6


async def test_who_is_not_found_for_long_enough_is_gone(monkeypatch):
    told = await seen(Zone({A, B}, {A}, {A}, {A}), KEPT / 2, monkeypatch)
    assert told == [{A, B}, {A, B}, {A}, {A}]


async def test_while_nobody_can_say_the_last_known_go_on_and_time_does_not_run(monkeypatch):
    told = await seen(Zone({A, B}, None, None, set(), {A}, {A}), KEPT * 0.6, monkeypatch)
    assert told == [{A, B}] * 5 + [{A}]


async def test_a_place_that_takes_long_holds_up_no_other():
    stuck, told = asyncio.Event(), asyncio.Queue()

    async def find(place):
        if place == "slow":
            await stuck.wait()
        return frozenset({place})

    keeping = asyncio.create_task(Lookout(["slow", "quick"], find).keep(told.put_nowait))
    async with asyncio.timeout(2):
        assert await told.get() == {"quick"}
        stuck.set()
        while await told.get() != {"quick", "slow"}:
            pass
    keeping.cancel()
    await asyncio.wait([keeping])
