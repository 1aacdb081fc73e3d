"""API keys: how one is made, what is kept of it, and whether one that is shown is good."""

import hashlib
import hmac
import secrets

from router.access.principal import Principal
from router.access.roles import Role
from router.errors import ExpiredCredentials, InvalidCredentials
from router.section import Section

PREFIX = "rheo_"
_NONE = "0" * 64


class ApiKey(Section):
    """What is kept of a key. Times are Unix seconds, None for never.

    Its secret has 256 random bits, so that a fast hash is enough: there is nothing to guess, as there is of a password.
    """

    id: str
    tenant: str
    roles: frozenset[Role]
    note: str = ""
    digest: str
    created: float
    expires: float | None = None
    rotated: float | None = None
    old_digest: str = _NONE
    """Of the secret before, which is good too until `old_expires`."""
    old_expires: float = 0.0

    def principal(self, secret: str, at: float) -> Principal:
        """Whose call it is that shows this secret; raises InvalidCredentials or, for one that was good once, ExpiredCredentials."""
        shown = digest(secret)
        new, old = hmac.compare_digest(shown, self.digest), hmac.compare_digest(shown, self.old_digest)
        if not (new or old):
            raise InvalidCredentials
        if (self.expires is not None and at >= self.expires) or (old and at >= self.old_expires):
            raise ExpiredCredentials
        return Principal(f"key:{self.id}", self.roles, self.tenant)


def digest(secret: str) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


NOBODY = ApiKey(id="", tenant="", roles=frozenset(), digest=_NONE, created=0.0)
"""A key that no secret opens: so that looking for one that is not there takes as long."""


def new_id() -> str:
    """An id that nobody has."""
    return secrets.token_hex(8)


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_hex(32)


def shown(key_id: str, secret: str) -> str:
    """As callers have it."""
    return f"{PREFIX}{key_id}_{secret}"


def parts(text: str) -> tuple[str, str]:
    """Id and secret of a key as callers have it; of what is no key, such as nobody has."""
    key_id, _, secret = text.removeprefix(PREFIX).partition("_")
    return key_id, secret
