"""API keys: good, rotated, expired, revoked, forged; and that nothing secret is kept."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from router.access.keyring import Keyring
from router.access.keys import ApiKey
from router.access.roles import Role
from router.background import background
from router.errors import ExpiredCredentials, InvalidCredentials, InvalidTerms, StoreUnavailable, UnknownKey
from router.rows import changes
from router.store import Store, open_redis, rows_key


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keyring(store: Store, clock: Clock) -> Keyring:
    found = Keyring(store, clock)
    await found.look()
    return found


def everything(url: str) -> str:
    """All that Redis holds."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        kinds: dict[str, Any] = {"string": client.get, "hash": client.hgetall, "stream": client.xrange}
        return repr([(key, kinds[client.type(key)](key)) for key in client.scan_iter()])


async def test_a_key_opens_and_is_kept_nowhere(keyring: Keyring, store: Store, redis_url: str) -> None:
    key, text = await keyring.create("acme", [Role.CALLER], actor="ada", note="for tests")
    assert re.fullmatch(rf"rheo_{key.id}_[0-9a-f]{{64}}", text)
    principal = keyring.principal(text)
    assert (principal.subject, principal.tenant, principal.roles) == (f"key:{key.id}", "acme", {Role.CALLER})
    secret = text.rpartition("_")[2]
    assert secret not in everything(redis_url)
    assert secret not in repr(keyring.keys)
    other, another = await keyring.create("acme", [Role.CALLER], actor="ada")
    assert (other.id != key.id, another != text) == (True, True)
    assert [(one.tenant, one.action) for one in (await changes(store, "", 9, ""))[0]] == [("acme", "key created")] * 2


async def test_only_an_admin_may_be_of_no_tenant(keyring: Keyring) -> None:
    with pytest.raises(InvalidTerms, match="name the tenant"):
        await keyring.create("", [Role.OPERATOR], actor="ada")
    _, text = await keyring.create("", [Role.ADMIN], actor="ada")
    assert keyring.principal(text).tenant == ""


async def test_a_forged_key_opens_nothing(keyring: Keyring) -> None:
    key, text = await keyring.create("acme", [Role.CALLER], actor="ada")
    _, other = await keyring.create("acme", [Role.CALLER], actor="ada")
    secret = text.rpartition("_")[2]
    forged = [
        "",
        "rheo_",
        "rheo__",
        f"rheo_{key.id}",
        f"rheo_{key.id}_",
        f"rheo_{key.id}_{secret[:-1]}",
        f"rheo_{key.id}_{secret}0",
        f"rheo__{secret}",
    ]
    forged += [f"rheo_{key.id}_{other.rpartition('_')[2]}", f"rheo_{key.id}_{key.digest}", f"rheo_{key.id}_{'0' * 64}", f"rheo_none_{'0' * 64}"]
    forged += [text.upper(), f"rheo_{key.id}_\udcff", f"rheo_{key.id}_{secret}_x"]
    for one in forged:
        with pytest.raises(InvalidCredentials) as caught:
            keyring.principal(one)
        assert caught.value.message == "these credentials are not accepted"  # whatever is wrong with it


async def test_a_key_ends(keyring: Keyring, clock: Clock) -> None:
    _, text = await keyring.create("acme", [Role.CALLER], actor="ada", ttl=60.0)
    clock.at += 59.9
    keyring.principal(text)
    clock.at += 0.1
    with pytest.raises(ExpiredCredentials):
        keyring.principal(text)
    with pytest.raises(InvalidCredentials):  # whoever does not have it is not told that it was good
        keyring.principal(f"{text[:-1]}x")


async def test_rotation_lets_the_old_secret_live_as_long_as_is_said(keyring: Keyring, clock: Clock) -> None:
    key, first = await keyring.create("acme", [Role.CALLER], actor="ada")
    _, second = await keyring.rotate(key.id, 30.0, actor="ada")
    assert keyring.principal(first) == keyring.principal(second)
    clock.at += 30.0
    with pytest.raises(ExpiredCredentials):
        keyring.principal(first)
    _, third = await keyring.rotate(key.id, 0.0, actor="ada")
    with pytest.raises(ExpiredCredentials):
        keyring.principal(second)
    with pytest.raises(InvalidCredentials):
        keyring.principal(first)
    keyring.principal(third)


async def test_a_revoked_key_opens_nothing(keyring: Keyring, store: Store) -> None:
    key, text = await keyring.create("acme", [Role.CALLER], actor="ada")
    await keyring.revoke(key.id, actor="bob")
    with pytest.raises(InvalidCredentials):
        keyring.principal(text)
    for late in (keyring.revoke(key.id, actor="bob"), keyring.rotate(key.id, 0.0, actor="bob")):
        with pytest.raises(UnknownKey):
            await late
    assert [(one.actor, one.action) for one in (await changes(store, "acme", 9, ""))[0]] == [("bob", "key revoked"), ("ada", "key created")]


async def test_a_revocation_reaches_others_within_a_second_and_keys_outlive_redis(tmp_path: Path, mortal_redis: Any) -> None:
    async with open_redis(mortal_redis.url, tmp_path) as store:
        here, there = Keyring(store), Keyring(store)
        with pytest.raises(StoreUnavailable):  # not known yet is not the same as not good
            there.principal("rheo_1_2")
        async with background(there=there.follow()):
            kept, (gone, text) = (await here.create("acme", [Role.CALLER], actor="ada"))[1], await here.create("acme", [Role.CALLER], actor="ada")
            async with asyncio.timeout(1.0):
                while gone.id not in there.keys:
                    await asyncio.sleep(0.01)
            there.principal(text)
            await here.revoke(gone.id, actor="ada")
            async with asyncio.timeout(1.0):
                while gone.id in there.keys:
                    await asyncio.sleep(0.01)
            with pytest.raises(InvalidCredentials):
                there.principal(text)
            mortal_redis.kill()
            await asyncio.sleep(0.5)
            there.principal(kept)


async def test_a_damaged_row_opens_nothing_is_not_shown_and_can_be_revoked(keyring: Keyring, redis_url: str) -> None:
    key, text = await keyring.create("acme", [Role.CALLER], actor="ada")
    with redis.Redis.from_url(redis_url) as client, capture_logs() as logs:
        client.hset(rows_key("keys"), key.id, b'{"digest": "some hash"}')
        await keyring.create("acme", [Role.CALLER], actor="ada")
    assert [one["key"] for one in logs if one["event"] == "key_damaged"] == [key.id]
    assert "some hash" not in repr(logs)
    with pytest.raises(InvalidCredentials):
        keyring.principal(text)
    with pytest.raises(UnknownKey, match="revoke"):
        await keyring.rotate(key.id, 0.0, actor="ada")
    await keyring.revoke(key.id, actor="ada")


def test_a_stored_key_says_nothing_of_its_secret() -> None:
    assert set(ApiKey.model_fields) == {"id", "tenant", "roles", "note", "digest", "created", "expires", "rotated", "old_digest", "old_expires"}
