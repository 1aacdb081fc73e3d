"""Where the service is, and how it is come by: its address, credentials, trust, and when a call is made again."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

import grpc

SYSTEM = "system"
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    # A server of gRPC's core that ends cancels what has come and was not begun (grpc issue 41785). What the caller cancels is not made again.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],  # one call after the other to another router
    "methodConfig": [{"name": [{"service": "rheostat.v1.RouterService"}], "retryPolicy": _RETRY}],  # requests have ids, so none is paid for twice
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The service, as one client comes by it. Raises ValueError before a key would travel to another machine in the clear."""

    address: str
    key: str = ""
    ca: str | Path = ""
    certificate: Path | None = None
    certificate_key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together")
        if self.key and not self.credentials and _elsewhere(self.address):
            raise ValueError(f"the key would travel to {self.address} in the clear: say with ca who signs its certificate ({SYSTEM!r}: the usual)")

    @property
    def options(self) -> list[tuple[str, str | int]]:
        """Of the channel."""
        return [("grpc.service_config", json.dumps(_CONFIG)), ("grpc.keepalive_time_ms", 30_000), ("grpc.max_receive_message_length", -1)]

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """None: plain text."""
        if not self.ca and not self.certificate:
            return None
        roots = Path(self.ca).read_bytes() if str(self.ca) not in ("", SYSTEM) else None
        key, certificate = (file.read_bytes() if file else None for file in (self.certificate_key, self.certificate))
        return grpc.ssl_channel_credentials(roots, key, certificate)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Of every call."""
        return (("authorization", f"Bearer {self.key}"),) if self.key else ()


def _elsewhere(address: str) -> bool:
    """Whether this is not surely this machine."""
    if address.startswith(("unix:", "unix-abstract:")):
        return False
    host = address.rpartition("/")[2].rpartition(":")[0].removeprefix("ipv4:").removeprefix("ipv6:").strip("[]")
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
