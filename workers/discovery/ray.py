"""Workers on Ray: the gRPC proxies of Ray Serve, of which every node with a replica has one, as Ray's dashboard tells."""

import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.errors import BackendUnavailable

SCHEME = "ray://"
_PATH = "/api/serve/applications/"
_ANSWERING = 5.0  # seconds
_REFUSALS = frozenset({401, 403})
_BEGUN = frozenset({"RUNNING", "DEPLOYING", "UNHEALTHY"})  # states of an application in which some replicas may serve


async def addresses(place: str) -> frozenset[str]:
    """`host:port` of every healthy proxy of the cluster whose dashboard is at `ray://host:port`.

    A cluster that asks for a token is given that of RAY_AUTH_TOKEN, or of the file RAY_AUTH_TOKEN_PATH, as by Ray itself. Raises BackendUnavailable
    where it does not answer, refuses, or serves no workers.
    """
    import httpx2  # noqa: PLC0415 - not needed where no workers are on Ray

    trusting_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # of no use to plain HTTP, but to read whom the machine trusts takes 30 ms
    try:
        async with httpx2.AsyncClient(timeout=_ANSWERING, verify=trusting_nobody) as client:
            answer = await client.get(f"http://{place.removeprefix(SCHEME)}{_PATH}", headers=_credentials())
            if answer.status_code in _REFUSALS:
                raise BackendUnavailable(f"the Ray cluster at {place} asks for its token: set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH")
            answer.raise_for_status()
            found = answer.json()
    except (httpx2.HTTPError, json.JSONDecodeError, OSError) as error:
        raise BackendUnavailable(f"the head of the Ray cluster at {place} does not answer: {error or type(error).__name__}") from error
    return _healthy(place, found)


def _credentials() -> dict[str, str]:
    file = os.environ.get("RAY_AUTH_TOKEN_PATH")
    token = os.environ.get("RAY_AUTH_TOKEN") or (Path(file).read_text().strip() if file else "")
    return {"authorization": f"Bearer {token}"} if token else {}


def _healthy(place: str, found: Mapping[str, Any]) -> frozenset[str]:
    """The addresses in what the dashboard tells of Serve."""
    options = found.get("grpc_options") or {}
    if not any(one["status"] in _BEGUN for one in found["applications"].values()) or not options.get("grpc_servicer_functions"):
        raise BackendUnavailable(f"the Ray cluster at {place} serves no workers by gRPC: serve deploy deploy/ray/serve.yaml")
    hosts = [one["node_ip"] for one in found["proxies"].values() if one["status"] == "HEALTHY"]
    if not hosts:
        raise BackendUnavailable(f"no proxy of the Ray cluster at {place} is healthy")
    return frozenset(f"[{host}]:{options['port']}" if ":" in host else f"{host}:{options['port']}" for host in hosts)
