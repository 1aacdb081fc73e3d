"""AccessService's messages from and to keys."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rheostat.v1 import access_service_pb2 as pb

from router.access.keys import ApiKey
from router.access.roles import Role


def key_to_pb(key: ApiKey) -> pb.ApiKey:
    """A key without anything that is secret."""
    return pb.ApiKey(
        id=key.id,
        tenant=key.tenant,
        roles=roles_to_pb(key.roles),
        note=key.note,
        create_time=datetime.fromtimestamp(key.created, UTC),
        expire_time=datetime.fromtimestamp(key.expires, UTC) if key.expires else None,
        rotate_time=datetime.fromtimestamp(key.rotated, UTC) if key.rotated else None,
    )


def roles_to_pb(roles: Iterable[Role]) -> list[str]:
    """In the order of their names."""
    return [f"ACCESS_ROLE_{role.name}" for role in sorted(roles)]


def roles_from_pb(roles: Iterable[pb.AccessRole]) -> list[Role]:
    """Roles as the message names them."""
    return [Role[pb.AccessRole.Name(role).removeprefix("ACCESS_ROLE_")] for role in roles]


def told(key: pb.ApiKey) -> dict[str, Any]:
    """A key for people and for JSON."""
    times = {name: getattr(key, name).ToJsonString() for name in ("create_time", "expire_time", "rotate_time") if key.HasField(name)}
    return {"id": key.id, "tenant": key.tenant, "roles": [str(role) for role in roles_from_pb(key.roles)], "note": key.note} | times
