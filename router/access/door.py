"""The door: who gets in, by the settings, and the services that administer this one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import grpc

from router.access.gate import Gate
from router.access.keyring import Keyring
from router.access.service import AccessService
from router.access.tls import Certificates
from router.access.tokens import Tokens
from router.background import background
from router.errors import StoreUnavailable
from router.settings import Settings
from router.store import Store
from router.tenancy.register import Register
from router.tenancy.service import TenantService
from router.tenants import Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The gate that calls pass, the TLS of the port, if any, and the services that administer this one."""

    gate: Gate
    credentials: grpc.ServerCredentials | None = None
    tenants: TenantService
    access: AccessService


@asynccontextmanager
async def open_door(settings: Settings, register: Register, store: Store, tenants: Tenants) -> AsyncIterator[Door]:
    """What it goes by, keys and certificates, is followed while this is open."""
    access, keyring = settings.access, Keyring(store)
    tokens = Tokens(access.jwt) if access.jwt else None
    with suppress(StoreUnavailable):
        await keyring.look()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(background(keys_follow=keyring.follow()))
        if tokens:
            await stack.enter_async_context(background(jwt_follow=tokens.follow()))
        yield Door(
            gate=Gate(keyring if access.keys else None, tokens, access.mtls),
            credentials=Certificates(settings.server.tls).credentials() if settings.server.tls else None,
            tenants=TenantService(register, store),
            access=AccessService(keyring, tenants),
        )
