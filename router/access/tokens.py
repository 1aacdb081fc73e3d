"""JSON Web Tokens: whether one is the issuer's and for us, and whose call it makes."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from router.access.principal import Principal
from router.access.roles import Role
from router.access.settings import JwtSettings
from router.errors import ExpiredCredentials, InvalidCredentials
from router.written import written

log = structlog.get_logger("rheostat.access")
_LOOK = 1.0  # seconds between two looks at the file of keys
_MOST = 4_096  # verified tokens that are remembered

Key = Any  # a public key, of whatever kind `cryptography` has


class Tokens:
    """Verifies tokens; what was verified is remembered until it ends. Raises ValueError where the file of keys is not in order when this is made."""

    def __init__(self, settings: JwtSettings, now: Callable[[], float] = time.time) -> None:
        self._settings, self._now = settings, now
        self._file = settings.jwks_file or settings.public_key or Path()
        self._stamp = written(self._file)
        self._keys = self._read()
        self._known: dict[bytes, tuple[Principal, float]] = {}

    def principal(self, token: str) -> Principal:
        """Whose token this is. Raises InvalidCredentials, and ExpiredCredentials for one of the issuer's that has ended."""
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        if digest not in self._known:
            claims, ends = self._verified(token)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[digest] = self._bearer(claims), ends
        principal, ends = self._known[digest]
        if self._now() >= ends:
            raise ExpiredCredentials
        return principal

    async def follow(self) -> None:
        """Read the file of keys again when it changes; one that is not in order is reported once, and the old keys go on."""
        while True:
            await asyncio.sleep(_LOOK)
            if (stamp := written(self._file)) in (self._stamp, 0):
                continue
            self._stamp = stamp
            try:
                self._keys = await asyncio.to_thread(self._read)
                self._known.clear()
                log.info("jwt_keys_reloaded", keys=len(self._keys))
            except ValueError as error:
                log.error("jwt_keys_refused", error=str(error))

    def _verified(self, token: str) -> tuple[Mapping[str, Any], float]:
        """Its claims, and when it ends, in Unix seconds: `principal` looks at that, and so tells it only of one with which nothing else is wrong."""
        try:
            claims = self._decoded(token)
            return claims, int(claims["exp"]) + self._settings.leeway
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError) as error:  # whatever a forged one brings the library to
            raise InvalidCredentials from error

    def _decoded(self, token: str) -> Mapping[str, Any]:
        """Raises whatever the library does, but not for a token that has ended."""
        return jwt.decode(
            token,
            self._key(jwt.get_unverified_header(token).get("kid")),
            algorithms=self._settings.algorithms,
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=self._settings.leeway,
            options={"require": ["exp", "iss", "aud"], "verify_exp": False},
        )

    def _key(self, name: object) -> Key:
        """The one that the token names, or the only one."""
        if isinstance(name, str) and name in self._keys:
            return self._keys[name]
        if len(self._keys) == 1 and (name is None or "" in self._keys):
            return next(iter(self._keys.values()))
        raise InvalidCredentials

    def _bearer(self, claims: Mapping[str, Any]) -> Principal:
        """Roles that are not known here count for nothing."""
        stated = claims.get(self._settings.roles_claim, ())
        words = stated.split() if isinstance(stated, str) else stated if isinstance(stated, list) else ()
        tenant = claims.get(self._settings.tenant_claim, "")
        roles = frozenset(Role(word) for word in words if word in tuple(Role))
        return Principal(f"jwt:{claims.get('sub', '')}"[:100], roles, tenant if isinstance(tenant, str) else "")

    def _read(self) -> dict[str, Key]:
        """Keys by their ids; that of a PEM file has none. Only public ones: what signs with a secret is none of these."""
        try:
            if self._settings.public_key:
                return {"": load_pem_public_key(self._file.read_bytes())}
            stated = json.loads(self._file.read_bytes())["keys"]
            keys = {str(one.get("kid", place)): jwt.PyJWK(one) for place, one in enumerate(stated) if one["kty"] != "oct"}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError) as error:
            raise ValueError(f"access.jwt: {self._file}: {error}") from error
        if not keys:
            raise ValueError(f"access.jwt: {self._file} has no public key")
        return dict(keys)
