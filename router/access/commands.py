"""`rheostat keys`: API keys, by way of a running service, or for the first of them straight into its Redis."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from rheostat.v1 import access_service_pb2 as pb
from rheostat.v1.access_service_pb2_grpc import AccessServiceStub
from rich.table import Table

from router import completing
from router.access import wire
from router.access.roles import Role
from router.channel import Service
from router.settings import Settings
from router.terminal import Json, calling, err, out, read_settings, run

keys = typer.Typer(help="Make, list, rotate and revoke API keys; a change is in force within a second on every router.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The key's id: what stands between its first two underscores.")]
_OFFLINE = "Write straight into the Redis of these settings, without a service's leave: for the first key of all."


@keys.command("create")
@calling
def create(
    *,
    role: Annotated[list[Role], typer.Option(help="What the key may do; may be repeated.")],
    tenant: Annotated[
        str, typer.Option(help="Whose requests it makes; only an admin's may be of none.", show_default=False, autocompletion=completing.tenants)
    ] = "",
    note: Annotated[str, typer.Option(help="What it is for.", show_default=False)] = "",
    days: Annotated[float | None, typer.Option(min=0.001, help="Days after which it ends; never, if not given.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help=_OFFLINE)] = False,
    service: Service,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed this once: keep it where you keep secrets."""
    request = pb.CreateApiKeyRequest(tenant=tenant, roles=wire.roles_to_pb(role), note=note, ttl_seconds=days and days * 86_400)
    made = run(_offline(read_settings(), request)) if offline else run(_asked(service, lambda stub: stub.CreateApiKey(request)))
    _secret(made, as_json)


@keys.command("list")
@calling
def list_(
    *,
    tenant: Annotated[str, typer.Option(help="Only keys of this tenant.", show_default=False, autocompletion=completing.tenants)] = "",
    service: Service,
    as_json: Json = False,
) -> None:
    """List keys, without their secrets, which nobody has but their bearers."""
    found = [wire.told(one) for one in run(_asked(service, lambda stub: _all(stub, tenant)))]
    if as_json:
        print(json.dumps(found, indent=1))
        return
    table = Table("id", "tenant", "roles", "made (UTC)", "rotated", "ends", "note")
    for one in found:
        times = (one.get(name, "")[:19].replace("T", " ") for name in ("create_time", "rotate_time", "expire_time"))
        table.add_row(one["id"], one["tenant"], ", ".join(one["roles"]), *times, one["note"])
    out.print(table)


@keys.command("rotate")
@calling
def rotate(
    key_id: Id,
    *,
    overlap: Annotated[float, typer.Option(min=0.0, help="Seconds for which the old secret is good too; 0 ends it at once.")],
    service: Service,
    as_json: Json = False,
) -> None:
    """Give a key a new secret, which is printed this once."""
    request = pb.RotateApiKeyRequest(id=key_id, overlap_seconds=overlap)
    _secret(run(_asked(service, lambda stub: stub.RotateApiKey(request))), as_json)


@keys.command("revoke")
@calling
def revoke(key_id: Id, *, service: Service, as_json: Json = False) -> None:
    """Remove a key."""
    run(_asked(service, lambda stub: stub.RevokeApiKey(pb.RevokeApiKeyRequest(id=key_id))))
    print(json.dumps({"revoked": key_id})) if as_json else out.print(f"Key {key_id} opens nothing any more, within a second on every router.")


async def _asked(service: Service, ask: Callable[[AccessServiceStub], Awaitable[Any]]) -> Any:  # noqa: ANN401 - whatever is asked
    async with service.channel() as channel:
        return await ask(AccessServiceStub(channel))  # type: ignore[no-untyped-call]


async def _all(stub: AccessServiceStub, tenant: str) -> list[pb.ApiKey]:
    found: list[pb.ApiKey] = []
    token = ""
    while True:
        page: pb.ListApiKeysResponse = await stub.ListApiKeys(pb.ListApiKeysRequest(tenant=tenant, page_size=1_000, page_token=token))
        found += page.keys
        if not (token := page.next_page_token):
            return found


async def _offline(settings: Settings, request: pb.CreateApiKeyRequest) -> pb.CreateApiKeyResponse:
    """For whoever may write into Redis, who may do everything anyhow."""
    from router.access.keyring import Keyring  # noqa: PLC0415 - brings Redis
    from router.store import attached  # noqa: PLC0415
    from router.tenancy.register import registered  # noqa: PLC0415

    async with attached(settings.redis_url, settings.data / "redis") as store:
        if request.tenant:
            (await registered(store, settings))[request.tenant]
        ttl = request.ttl_seconds if request.HasField("ttl_seconds") else None
        key, secret = await Keyring(store).create(request.tenant, wire.roles_from_pb(request.roles), actor="offline", note=request.note, ttl=ttl)
        return pb.CreateApiKeyResponse(key=wire.key_to_pb(key), secret=secret)


def _secret(made: pb.CreateApiKeyResponse | pb.RotateApiKeyResponse, as_json: bool) -> None:
    """The secret alone on standard output, so that a script can take it from there."""
    if as_json:
        print(json.dumps({**wire.told(made.key), "secret": made.secret}, indent=1))
        return
    print(made.secret)
    err.print(f"Key {made.key.id}. It is not shown again; RHEOSTAT_KEY, or `authorization: Bearer ...`, is where it goes.", highlight=False)
