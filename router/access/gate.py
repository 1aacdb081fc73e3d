"""The gate: every call passes it before anything else is done for it."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from structlog.contextvars import bind_contextvars

from router.access import certificates
from router.access.keyring import Keyring
from router.access.keys import PREFIX
from router.access.principal import ANYONE, Principal, serve_as
from router.access.roles import CALLS, OPEN
from router.access.settings import IdentitySettings
from router.access.tokens import Tokens
from router.errors import InvalidCredentials, MissingCredentials, RoleLacking

_SCHEME = "bearer "


class Call(Protocol):
    """What the gate asks of a call; gRPC's context is one."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What the client sent."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What was found of the client when it connected."""


class Gate:
    """Knows who is calling by the kinds of credentials it is given; given none, it lets everybody do everything."""

    def __init__(
        self, keyring: Keyring | None = None, tokens: Tokens | None = None, identities: Mapping[str, IdentitySettings] | None = None
    ) -> None:
        self._keyring, self._tokens, self._identities = keyring, tokens, identities or {}
        self._open = keyring is None and tokens is None and not identities

    def admit(self, method: str, call: Call) -> None:
        """Have the rest of this task serve its caller.

        Raises MissingCredentials, InvalidCredentials, ExpiredCredentials and, where they are good, RoleLacking.
        """
        if method in OPEN:
            return
        principal = ANYONE if self._open else self._principal(call)
        if not self._open:
            bind_contextvars(subject=principal.subject)
        if not principal.roles & CALLS.get(method, frozenset()):
            raise RoleLacking(f"these credentials do not allow {method}", method=method)
        serve_as(principal)

    def _principal(self, call: Call) -> Principal:
        """By what the call brings, and only without that by the connection's certificate."""
        brought = [value for name, value in call.invocation_metadata() or () if name == "authorization"]
        if len(brought) > 1:
            raise InvalidCredentials
        if brought:
            return self._borne(brought[0])
        if self._identities and (found := certificates.principal(call.auth_context(), self._identities)):
            return found
        raise MissingCredentials("this service asks for credentials: send `authorization: Bearer ...` (--key of the commands), or show a certificate")

    def _borne(self, value: str | bytes) -> Principal:
        if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
            raise InvalidCredentials
        text = value[len(_SCHEME) :].strip()
        if text.startswith(PREFIX):
            if self._keyring:
                return self._keyring.principal(text)
        elif self._tokens:
            return self._tokens.principal(text)
        raise InvalidCredentials
