"""TenantService over the register: tenants as resources."""

import re

import grpc
from rheostat.v1 import tenant_service_pb2 as pb
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceServicer

from router import paging
from router.access.principal import acting_for, bearer
from router.errors import InvalidTerms
from router.rows import changes
from router.store import Store
from router.tenancy import wire
from router.tenancy.register import Register

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class TenantService(TenantServiceServicer):
    """The public service. Who may call what is decided before; here only whose terms an operator may see."""

    def __init__(self, register: Register, store: Store) -> None:
        self._register = register
        self._store = store

    async def GetTenant(
        self, request: pb.GetTenantRequest, context: grpc.aio.ServicerContext[pb.GetTenantRequest, pb.GetTenantResponse]
    ) -> pb.GetTenantResponse:
        """Tells a tenant's terms."""
        return pb.GetTenantResponse(tenant=wire.tenant_to_pb(self._register[acting_for(request.name)]))

    async def ListTenants(
        self, request: pb.ListTenantsRequest, context: grpc.aio.ServicerContext[pb.ListTenantsRequest, pb.ListTenantsResponse]
    ) -> pb.ListTenantsResponse:
        """Tells all, a page at a time."""
        found, following = paging.page(self._register.tenancies.values(), lambda one: one.name, request.page_size, request.page_token)
        return pb.ListTenantsResponse(tenants=map(wire.tenant_to_pb, found), next_page_token=following)

    async def CreateTenant(
        self, request: pb.CreateTenantRequest, context: grpc.aio.ServicerContext[pb.CreateTenantRequest, pb.CreateTenantResponse]
    ) -> pb.CreateTenantResponse:
        """Stores a new one."""
        name = _name(request.tenant.name)
        try:
            made = await self._register.create(name, wire.given(request.tenant), actor=bearer().subject, dry=request.validate_only)
        except InvalidTerms as error:
            raise wire.located(error) from error
        return pb.CreateTenantResponse(tenant=wire.tenant_to_pb(made))

    async def UpdateTenant(
        self, request: pb.UpdateTenantRequest, context: grpc.aio.ServicerContext[pb.UpdateTenantRequest, pb.UpdateTenantResponse]
    ) -> pb.UpdateTenantResponse:
        """Changes what the mask names."""
        name = _name(request.tenant.name) if request.allow_missing else request.tenant.name
        change = wire.masked(request.tenant, request.update_mask.paths)
        who, dry = bearer().subject, request.validate_only
        try:
            made = await self._register.update(name, change, actor=who, etag=request.tenant.etag, missing=request.allow_missing, dry=dry)
        except InvalidTerms as error:
            raise wire.located(error) from error
        return pb.UpdateTenantResponse(tenant=wire.tenant_to_pb(made))

    async def DeleteTenant(
        self, request: pb.DeleteTenantRequest, context: grpc.aio.ServicerContext[pb.DeleteTenantRequest, pb.DeleteTenantResponse]
    ) -> pb.DeleteTenantResponse:
        """Removes what is stored."""
        await self._register.delete(request.name, actor=bearer().subject, etag=request.etag)
        return pb.DeleteTenantResponse()

    async def ListTenantChanges(
        self, request: pb.ListTenantChangesRequest, context: grpc.aio.ServicerContext[pb.ListTenantChangesRequest, pb.ListTenantChangesResponse]
    ) -> pb.ListTenantChangesResponse:
        """Tells the audit trail, a page at a time."""
        before = paging.place(request.page_token)
        if before and not re.fullmatch(r"\d{1,19}-\d{1,19}", before):
            raise paging.foreign()
        found, last = await changes(self._store, request.tenant, paging.size(request.page_size), before)
        return pb.ListTenantChangesResponse(changes=map(wire.change_to_pb, found), next_page_token=paging.token(last))


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        told = "a name has up to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
        raise InvalidTerms(violations=[("tenant.name", told)])
    return name
