"""The keyring: all API keys, in Redis as hashes, and the same on every router within a second."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import structlog
from pydantic import ValidationError

from router.access.keys import NOBODY, ApiKey, digest, new_id, new_secret, parts, shown
from router.access.principal import Principal
from router.access.roles import Role
from router.errors import EtagMismatch, InvalidTerms, StoreUnavailable, UnknownKey
from router.rows import Change, FieldChange, Rows
from router.store import Store

log = structlog.get_logger("rheostat.access")


class Keyring:
    """Every key that this router knows, in `keys`, by id. Who is calling is looked up here, without Redis."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self.keys: Mapping[str, ApiKey] = {}
        self._now = now
        self._rows = Rows(store, "keys", self._see)
        self.look, self.follow = self._rows.look, self._rows.follow

    def principal(self, text: str) -> Principal:
        """Whose key this is. Raises InvalidCredentials, ExpiredCredentials, and StoreUnavailable before any key was ever seen."""
        if not self._rows.seen:
            raise StoreUnavailable("the keys are not known yet: Redis has not answered since this router began")
        key_id, secret = parts(text)
        return self.keys.get(key_id, NOBODY).principal(secret, self._now())

    async def create(self, tenant: str, roles: Iterable[Role], *, actor: str, note: str = "", ttl: float | None = None) -> tuple[ApiKey, str]:
        """A new key, and what its bearer shows, which is kept nowhere. `ttl` is in seconds."""
        key_id, secret, now, held = new_id(), new_secret(), self._now(), frozenset(roles)
        if not tenant and Role.ADMIN not in held:
            raise InvalidTerms(violations=[("tenant", "name the tenant: only an admin's key may be of none")])
        expires = None if ttl is None else now + ttl
        key = ApiKey(id=key_id, tenant=tenant, roles=held, note=note, digest=digest(secret), created=now, expires=expires)
        await self._put(key_id, b"", key, self._change(actor, key, "key created", new=f"{key_id}: {', '.join(sorted(held))}"))
        return key, shown(key_id, secret)

    async def rotate(self, key_id: str, overlap: float, *, actor: str) -> tuple[ApiKey, str]:
        """A new secret for a key; the old one is good for `overlap` seconds more, and one that was old already no more. Raises UnknownKey."""
        row, old = await self._one(key_id)
        if not old.id:
            raise UnknownKey(f"key {key_id!r} is damaged: revoke it", key=key_id)
        secret, now = new_secret(), self._now()
        new = {"digest": digest(secret), "rotated": now, "old_digest": old.digest, "old_expires": now + overlap}
        key = old.model_copy(update=new)
        await self._put(key_id, row, key, self._change(actor, key, "key rotated", old=key_id, new=key_id))
        return key, shown(key_id, secret)

    async def revoke(self, key_id: str, *, actor: str) -> None:
        """Remove a key. Raises UnknownKey."""
        row, key = await self._one(key_id)
        await self._put(key_id, row, None, self._change(actor, key, "key revoked", old=key_id))

    async def _one(self, key_id: str) -> tuple[bytes, ApiKey]:
        """A key as it is stored; one that is damaged there opens nothing, and can only be revoked."""
        row = await self._rows.one(key_id)
        if not row:
            raise UnknownKey(f"there is no key {key_id!r}", key=key_id)
        try:
            return row, ApiKey.model_validate_json(row)
        except ValidationError:
            return row, NOBODY

    async def _put(self, key_id: str, was: bytes, key: ApiKey | None, change: Change) -> None:
        if not await self._rows.put(key_id, was, key.model_dump_json().encode() if key else b"", change):
            raise EtagMismatch("somebody else changed this key in this moment: look again", key=key_id)
        await self._rows.look()

    def _change(self, actor: str, key: ApiKey, action: Literal["key created", "key rotated", "key revoked"], old: str = "", new: str = "") -> Change:
        fields = (FieldChange(field="key", old=_json(old), new=_json(new)),)
        return Change(at=self._now(), actor=actor, tenant=key.tenant, action=action, fields=fields)

    def _see(self, rows: Mapping[str, bytes]) -> None:
        """A row that is damaged opens nothing."""
        keys = {}
        for key_id, row in rows.items():
            try:
                keys[key_id] = ApiKey.model_validate_json(row)
            except ValidationError:  # whose text would show the row
                log.error("key_damaged", key=key_id)
        self.keys = keys


def _json(text: str) -> str:
    return f'"{text}"' if text else ""
