"""What is lost when parts of the fleet end under load: routers and workers that are killed, routers that are renewed."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.load.sender import Client
from tests.scale.town import Town, town

RATE, RETRIES = 20.0, 3
PACE, SLOTS = 0.05, 16


def losses(seconds: float) -> dict[str, dict]:
    """Calls under way while it happens: how many there were, how many clients made again, how many failed for good."""
    return {
        "a router of two killed": under_load(seconds, kill_router, routers=2),
        "a worker of two killed": under_load(seconds, kill_worker, workers=2),
        "both routers behind a port renewed": under_load(seconds, renew, processes=2, until_done=True),
    }


def under_load(seconds: float, act: Callable[[Town], None], *, until_done: bool = False, **kinds: int) -> dict:
    """`until_done`: what is done may take longer than the load was to last, which then goes on until it is done."""
    kinds = {"routers": 1, "workers": 1} | kinds
    with tempfile.TemporaryDirectory(prefix="rheostat-scale-") as folder, town(Path(folder), **kinds, pace=PACE, slots=SLOTS) as place:
        client, acted = Client(), threading.Event()
        found = {"calls": 0, "failed": 0, "again": 0, "wrong": {}}

        def do() -> None:
            time.sleep(seconds / 3)
            act(place)
            acted.set()

        threading.Thread(target=do, daemon=True).start()
        while True:
            row = client.send(place.subject, rate=RATE, seconds=seconds, retries=RETRIES)
            found = {name: found[name] + row[name] for name in ("calls", "failed", "again")} | {"wrong": found["wrong"] | row["wrong"]}
            if acted.is_set() or not until_done:
                break
        client.close()
    return found


def kill_router(place: Town) -> None:
    os.kill(place.routers[0].pid, signal.SIGKILL)


def kill_worker(place: Town) -> None:
    os.kill(place.workers[0].pid, signal.SIGKILL)


def renew(place: Town) -> None:
    """Return when no router is there that was there before."""
    before = _routers(place)
    place.routers[0].send_signal(signal.SIGHUP)
    end = time.monotonic() + 120
    while before & _routers(place):
        if time.monotonic() > end:
            raise RuntimeError("the routers were not renewed within two minutes")
        time.sleep(0.2)


def _routers(place: Town) -> set[psutil.Process]:
    return {one for one in place.routers[0].children() if one.is_running() and "router" in one.cmdline()}
