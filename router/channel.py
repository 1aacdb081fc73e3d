"""A client's channel to a running service, with the credentials that it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc

from router.access.settings import exposed

SYSTEM = "system"


class _Details(Protocol):
    """What grpc.aio passes on with a call."""

    metadata: Any

    def _replace(self, **changes: Any) -> Any: ...  # noqa: ANN401 - a named tuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service, how a client shows it who it is, and what the client trusts; with no more than an address the channel is plain text."""

    address: str
    key: str = ""
    """API key or token."""
    ca: str = ""
    """PEM file of who signs the service's certificate; `system`: those that this machine trusts."""
    certificate: Path | None = None
    certificate_key: Path | None = None

    def channel(self, *, longest: int = 4 * 2**20) -> grpc.aio.Channel:
        """TLS where anything here needs it. `longest` is the bytes a response may have, -1 for any number.

        Raises ValueError before a key would travel in the clear, and where files are missing.
        """
        options = (("grpc.max_receive_message_length", longest),)
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("--cert and --cert-key go together")
        interceptors = _bearing(self.key) if self.key else []
        if self.ca or self.certificate:
            return grpc.aio.secure_channel(self.address, self._trust(), options=options, interceptors=interceptors)
        if self.key and exposed(self.address):
            raise ValueError(f"the key would travel to {self.address} in the clear: say with --ca who signs its certificate ({SYSTEM}: the usual)")
        return grpc.aio.insecure_channel(self.address, options=options, interceptors=interceptors)

    def _trust(self) -> grpc.ChannelCredentials:
        roots = Path(self.ca).read_bytes() if self.ca not in ("", SYSTEM) else None
        key, certificate = (file.read_bytes() if file else None for file in (self.certificate_key, self.certificate))
        return grpc.ssl_channel_credentials(roots, key, certificate)


def _bearing(key: str) -> list[grpc.aio.ClientInterceptor]:
    """One for each kind of call: grpc.aio takes an interceptor for the first kind that it is of."""
    return [_Unary(key), _Stream(key)]


class _Bearer:
    """Adds the key to every call."""

    def __init__(self, key: str) -> None:
        self._header = ("authorization", f"Bearer {key}")

    def _with_key(self, details: _Details) -> Any:  # noqa: ANN401 - the same kind of details
        return details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), self._header))


class _Unary(_Bearer, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:  # noqa: ANN401
        """With the key."""
        return await continuation(self._with_key(client_call_details), request)


class _Stream(_Bearer, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:  # noqa: ANN401
        """With the key."""
        return await continuation(self._with_key(client_call_details), request)
