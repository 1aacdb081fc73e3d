"""TenantService's messages from and to tenancies, and what a field mask makes of them."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rheostat.v1 import tenant_pb2 as pb

from router.errors import InvalidTerms
from router.terms import TenantSettings

if TYPE_CHECKING:  # commands read these messages, and wait for no Redis
    from router.rows import Change
    from router.tenancy.register import Tenancy

_MONEY = ("value", "cap", "per_minute", "per_day", "per_month")
FIELDS = {name: f"{name}_microdollars" if name in _MONEY else {"window": "window_seconds"}.get(name, name) for name in TenantSettings.model_fields}
"""The message's name of every term."""
_TERMS = {field: name for name, field in FIELDS.items()}
_ENUMS = {"priority": pb.Priority, "cache_scope": pb.CacheScope, "retention": pb.Retention}


def tenant_to_pb(one: "Tenancy") -> pb.Tenant:
    """With every term that is in force, defaults too."""
    found = pb.Tenant(
        name=one.name,
        etag=one.etag,
        source=pb.TENANT_SOURCE_STORED if one.stored else pb.TENANT_SOURCE_FILE,
        create_time=datetime.fromtimestamp(one.created, UTC) if one.stored else None,
        update_time=datetime.fromtimestamp(one.updated, UTC) if one.stored else None,
    )
    state(found, {name: value for name, value in one.terms.model_dump(mode="json").items() if value is not None})
    return found


def state(message: pb.Tenant, terms: dict[str, Any]) -> None:
    """State terms in a message; raises TypeError or ValueError for a value that is of no such kind."""
    for name, value in terms.items():
        if name == "plans":
            message.plans[:] = value
        else:
            setattr(message, FIELDS[name], f"{name.upper()}_{value.upper()}" if name in _ENUMS else value)


def given(tenant: pb.Tenant) -> dict[str, Any]:
    """The terms that a message states."""
    found: dict[str, Any] = {_TERMS[field.name]: value for field, value in tenant.ListFields() if field.name in _TERMS}
    for name, enum in _ENUMS.items():
        if word := found.pop(name, 0):
            found[name] = enum.Name(word).removeprefix(f"{name.upper()}_").lower()
    return found | ({"plans": list(tenant.plans)} if tenant.plans else {})


def masked(tenant: pb.Tenant, mask: Sequence[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a change with this mask makes of stated terms; without a mask it is the terms that the message states. Raises InvalidTerms by name."""
    if odd := [path for path in mask if path not in _TERMS and path != "*"]:
        raise InvalidTerms(violations=[("update_mask", _unmaskable(path)) for path in odd])
    if "*" in mask and len(mask) > 1:
        raise InvalidTerms(violations=[("update_mask", "`*` stands alone: it names every field already")])
    stated = given(tenant)
    names = set(_TERMS.values()) if "*" in mask else {_TERMS[path] for path in mask} or set(stated)
    return lambda old: {name: value for name, value in old.items() if name not in names} | {name: stated[name] for name in names & set(stated)}


def _unmaskable(path: str) -> str:
    if path in pb.Tenant.DESCRIPTOR.fields_by_name:
        return f"{path!r} cannot be changed"
    return f"a tenant has no field {path!r}"


def located(error: InvalidTerms) -> InvalidTerms:
    """With the paths of the message's fields in place of the terms' names."""
    return InvalidTerms(violations=[(f"tenant.{FIELDS.get(name, name)}".rstrip("."), told) for name, told in error.violations], **error.metadata)


def change_to_pb(change: "Change") -> pb.TenantChange:
    """One line of the audit trail."""
    return pb.TenantChange(
        change_time=datetime.fromtimestamp(change.at, UTC),
        actor=change.actor,
        tenant=change.tenant,
        action=change.action,
        fields=[pb.FieldChange(field=FIELDS.get(one.field, one.field), old=one.old, new=one.new) for one in change.fields],
    )


def told(tenant: pb.Tenant) -> dict[str, Any]:
    """A tenant for people and for JSON: terms by the names that settings have for them."""
    about = {"name": tenant.name, "source": "stored" if tenant.source == pb.TENANT_SOURCE_STORED else "file", "etag": tenant.etag}
    times = {name: getattr(tenant, name).ToJsonString() for name in ("create_time", "update_time") if tenant.HasField(name)}
    terms = given(tenant)
    return about | times | {name: terms[name] for name in TenantSettings.model_fields if name in terms}


def told_change(change: pb.TenantChange) -> dict[str, Any]:
    """A change for people and for JSON."""
    fields = {one.field: {"from": json.loads(one.old or "null"), "to": json.loads(one.new or "null")} for one in change.fields}
    return {"at": change.change_time.ToJsonString(), "actor": change.actor, "tenant": change.tenant, "action": change.action, "fields": fields}
