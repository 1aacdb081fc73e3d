"""Workers on Ray: the proxies of a Ray Serve application, which run on every node that has a replica, as Ray's dashboard tells."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from router.errors import BackendUnavailable

SCHEME = "ray://"
_PATH = "/api/serve/applications/"
_DASHBOARD = 8265  # where it is unless a place says otherwise
_ANSWERING = 5.0  # seconds


async def addresses(place: str) -> frozenset[str]:
    """gRPC addresses of the healthy proxies of the cluster at `ray://host:port`, the address of its dashboard.

    Raises BackendUnavailable when it does not answer, or serves no workers that run.
    """
    import httpx2  # noqa: PLC0415 - not needed where no workers are on Ray

    host = urlsplit(place)
    name = f"[{host.hostname}]" if ":" in (host.hostname or "") else host.hostname
    try:
        async with httpx2.AsyncClient(timeout=_ANSWERING) as client:
            answer = await client.get(f"http://{name}:{host.port or _DASHBOARD}{_PATH}")
            answer.raise_for_status()
            found = answer.json()
    except (httpx2.HTTPError, json.JSONDecodeError) as error:
        raise BackendUnavailable(f"the head of the Ray cluster at {place} does not answer: {error or type(error).__name__}") from error
    return _healthy(place, found)


def _healthy(place: str, found: Mapping[str, Any]) -> frozenset[str]:
    """The addresses in what the dashboard tells of Serve."""
    running = [name for name, one in found.get("applications", {}).items() if one.get("status") in {"RUNNING", "DEPLOYING", "UNHEALTHY"}]
    options = found.get("grpc_options") or {}
    if not running or not options.get("grpc_servicer_functions"):
        raise BackendUnavailable(f"the Ray cluster at {place} serves no workers over gRPC: serve deploy deploy/ray/serve.yaml")
    addresses = [one["node_ip"] for one in found.get("proxies", {}).values() if one.get("status") == "HEALTHY"]
    if not addresses:
        raise BackendUnavailable(f"none of the proxies of the Ray cluster at {place} is healthy")
    return frozenset(f"[{one}]:{options['port']}" if ":" in one else f"{one}:{options['port']}" for one in addresses)
