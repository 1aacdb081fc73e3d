"""Where workers are found. A place is an address that stays, a name to be looked up, or a Ray cluster to be asked."""

from workers.discovery import dns, ray


async def addresses(place: str) -> frozenset[str]:
    """Addresses for gRPC of the workers at a place: `host:port` or `unix:/path`, `dns:///name:port`, or `ray://host:port` of Ray's dashboard.

    Raises BackendUnavailable where nobody can say.
    """
    if place.startswith(dns.SCHEME):
        return await dns.addresses(place)
    if place.startswith(ray.SCHEME):
        return await ray.addresses(place)
    return frozenset((place,))


def is_place(place: str) -> bool:
    """Whether it is written as one of them."""
    for scheme in (dns.SCHEME, ray.SCHEME):
        if place.startswith(scheme):
            return _has_port(place.removeprefix(scheme))
    return place.startswith(("unix:", "unix-abstract:")) or ("//" not in place and _has_port(place))


def _has_port(place: str) -> bool:
    host, _, port = place.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16
