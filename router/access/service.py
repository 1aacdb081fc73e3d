"""AccessService over the keyring."""

import grpc
from rheostat.v1 import access_service_pb2 as pb
from rheostat.v1.access_service_pb2_grpc import AccessServiceServicer

from router import paging
from router.access import wire
from router.access.keyring import Keyring
from router.access.principal import bearer
from router.tenants import Tenants


class AccessService(AccessServiceServicer):
    """The public service. Who may call it is decided before."""

    def __init__(self, keyring: Keyring, tenants: Tenants) -> None:
        self._keyring = keyring
        self._tenants = tenants

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: grpc.aio.ServicerContext[pb.CreateApiKeyRequest, pb.CreateApiKeyResponse]
    ) -> pb.CreateApiKeyResponse:
        """Makes a key; raises UnknownTenant where nobody has that name."""
        if request.tenant:
            self._tenants[request.tenant]
        ttl = request.ttl_seconds if request.HasField("ttl_seconds") else None
        roles = wire.roles_from_pb(request.roles)
        key, secret = await self._keyring.create(request.tenant, roles, actor=bearer().subject, note=request.note, ttl=ttl)
        return pb.CreateApiKeyResponse(key=wire.key_to_pb(key), secret=secret)

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: grpc.aio.ServicerContext[pb.ListApiKeysRequest, pb.ListApiKeysResponse]
    ) -> pb.ListApiKeysResponse:
        """Tells which there are, a page at a time."""
        keys = [key for key in self._keyring.keys.values() if request.tenant in ("", key.tenant)]
        found, following = paging.page(keys, lambda key: key.id, request.page_size, request.page_token)
        return pb.ListApiKeysResponse(keys=map(wire.key_to_pb, found), next_page_token=following)

    async def RotateApiKey(
        self, request: pb.RotateApiKeyRequest, context: grpc.aio.ServicerContext[pb.RotateApiKeyRequest, pb.RotateApiKeyResponse]
    ) -> pb.RotateApiKeyResponse:
        """Gives a key a new secret."""
        key, secret = await self._keyring.rotate(request.id, request.overlap_seconds, actor=bearer().subject)
        return pb.RotateApiKeyResponse(key=wire.key_to_pb(key), secret=secret)

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: grpc.aio.ServicerContext[pb.RevokeApiKeyRequest, pb.RevokeApiKeyResponse]
    ) -> pb.RevokeApiKeyResponse:
        """Removes a key."""
        await self._keyring.revoke(request.id, actor=bearer().subject)
        return pb.RevokeApiKeyResponse()
