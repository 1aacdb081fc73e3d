"""Workers by a name: every address that it has, such as those of the ready pods of a headless service."""

import asyncio
import socket

from router.errors import BackendUnavailable

SCHEME = "dns:///"


async def addresses(place: str) -> frozenset[str]:
    """`host:port` of every address of `dns:///name:port`; raises BackendUnavailable where the name has none, or nobody says."""
    name, _, port = place.removeprefix(SCHEME).rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise BackendUnavailable(f"{place} cannot be looked up: {error}") from error
    return frozenset(f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}" for family, _, _, _, (host, *_) in found)
