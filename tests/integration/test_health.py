"""Health: what a probe is told, by a router and by nobody."""

import json

from router.app import Service
from router.channel import Service as Client
from router.health import health
from tests.integration.door import commanded


async def test_a_router_serves_and_what_is_not_there_is_unknown(running: Service) -> None:
    client = Client(address=running.address)
    assert await health(client) == "SERVING"
    assert await health(client, "") == "SERVING"
    assert await health(client, "rheostat.v1.WorkerService") == "UNKNOWN"
    code, out, _ = await commanded("health", "--address", running.address, "--json")
    assert (code, json.loads(out)["status"]) == (0, "SERVING")


async def test_nobody_is_unreachable_within_the_seconds_given() -> None:
    code, out, _ = await commanded("health", "--address", "127.0.0.1:1", "--seconds", "0.3")
    assert code == 1
    assert "UNREACHABLE" in out


async def test_one_that_drains_says_so(running: Service) -> None:
    await running.server._health.enter_graceful_shutdown()
    assert await health(Client(address=running.address)) == "NOT_SERVING"
