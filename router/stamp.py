"""The stamp in a decision's id: any router sees that a decision was made for a tenant without having to find it.

So routers keep nothing that another one needs: what an answer was worth is taken by whichever is told.
"""

import hashlib
import hmac
from uuid import uuid4

_BYTES = 8  # of the stamp: one guess in 2^64 is right


class Stamp:
    """Makes ids of decisions and knows them again, by a secret that all routers of one Redis share."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def new(self, tenant: str) -> str:
        """An id for a decision of this tenant: 48 hexadecimal digits."""
        name = uuid4().hex
        return name + self._mark(name, tenant)

    def known(self, decision_id: str, tenant: str) -> bool:
        """Whether a router with the same secret made this id for this tenant."""
        name, mark = decision_id[: -2 * _BYTES], decision_id[-2 * _BYTES :]
        return hmac.compare_digest(self._mark(name, tenant).encode(), mark.encode())

    def _mark(self, name: str, tenant: str) -> str:
        return hashlib.blake2b(f"{name}/{tenant}".encode(), key=self._secret, digest_size=_BYTES).hexdigest()
