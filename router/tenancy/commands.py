"""`rheostat tenants`: tenants as people and scripts see them, by way of a running service."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError
from rheostat.v1 import tenant_pb2
from rheostat.v1 import tenant_service_pb2 as pb
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub
from rich.progress import Progress
from rich.table import Table

from router import completing
from router.channel import Service
from router.tenancy import wire
from router.terminal import Json, calling, err, explained, out, run
from router.terms import BudgetSettings, TenantSettings

tenants = typer.Typer(help="See and change tenants of a running service; a change is in force within a second on every router.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The tenant's name.", autocompletion=completing.tenants)]
Etag = Annotated[str, typer.Option(help="Refuse if the tenant's etag is no longer this one.", show_default=False)]
Ask = Callable[[TenantServiceStub], Awaitable[Any]]
_OBJECTIVES = ("value", "floor", "cap")
_BUDGETS = tuple(name for name in BudgetSettings.model_fields if "per_" in name)


@tenants.command("list")
@calling
def list_(*, service: Service, as_json: Json = False) -> None:
    """List all tenants."""
    found = [wire.told(one) for one in run(_asked(service, _all))]
    if as_json:
        print(json.dumps(found, indent=1))
        return
    table = Table("name", "source", "objective", "budgets", "retention", "priority")
    for one in found:
        table.add_row(
            one["name"], one["source"], _stated(one, _OBJECTIVES), _stated(one, _BUDGETS), one.get("retention", ""), one.get("priority", "")
        )
    out.print(table)


@tenants.command("get")
@calling
def get(name: Name, *, service: Service, as_json: Json = False) -> None:
    """Show a tenant's terms, those with the service's defaults too."""
    _show(run(_asked(service, lambda stub: stub.GetTenant(pb.GetTenantRequest(name=name)))).tenant, as_json)


@tenants.command("set")
@calling
def set_(
    name: Name,
    terms: Annotated[
        list[str],
        typer.Argument(help="field=value, by the names that settings have; field= gives it the service's default.", autocompletion=completing.terms),
    ],
    *,
    etag: Etag = "",
    service: Service,
    as_json: Json = False,
) -> None:
    """Change some terms of a tenant, and store it if there is none: `rheostat tenants set acme floor=0.9 value= per_day=5000000 plans=once,vote`."""
    with explained():
        message, mask = tenant_pb2.Tenant(name=name, etag=etag), []
        for word in terms:
            term, value = _term(word)
            mask.append(wire.FIELDS[term])
            if value is not None:
                wire.state(message, {term: value})
    request = pb.UpdateTenantRequest(tenant=message, allow_missing=True)
    request.update_mask.paths.extend(mask)
    _show(run(_asked(service, lambda stub: stub.UpdateTenant(request))).tenant, as_json)


@tenants.command("delete")
@calling
def delete(name: Name, *, etag: Etag = "", service: Service, as_json: Json = False) -> None:
    """Remove a tenant's stored terms; one that the settings file has too goes on with the file's."""
    run(_asked(service, lambda stub: stub.DeleteTenant(pb.DeleteTenantRequest(name=name, etag=etag))))
    print(json.dumps({"deleted": name})) if as_json else out.print(f"What was stored of {name} is removed.")


@tenants.command("import")
@calling
def import_(
    file: Annotated[Path, typer.Argument(help="YAML file: tenants by name, with terms as in settings.", exists=True, dir_okay=False)],
    *,
    service: Service,
    as_json: Json = False,
) -> None:
    """Store every tenant of a file, in place of what was stored of it; all are checked before the first is."""
    with explained():
        requests = [_whole(name, terms) for name, terms in _mapping(file).items()]
    with Progress(console=err, disable=as_json, transient=True) as bar:
        made = run(_asked(service, lambda stub: _imported(stub, requests, bar)))
    print(json.dumps([wire.told(one) for one in made], indent=1)) if as_json else out.print(f"{len(made)} tenants are stored.")


@tenants.command("changes")
@calling
def changes(
    name: Annotated[str, typer.Argument(help="Of this tenant; of all, if not given.", autocompletion=completing.tenants)] = "",
    *,
    most: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 50,
    service: Service,
    as_json: Json = False,
) -> None:
    """Show who changed which tenant or key, the latest first."""
    found = [wire.told_change(one) for one in run(_asked(service, lambda stub: _changes(stub, name, most)))]
    if as_json:
        print(json.dumps(found, indent=1))
        return
    table = Table("when (UTC)", "who", "tenant", "what", "from what to what")
    for one in found:
        fields = "\n".join(f"{field}: {json.dumps(both['from'])} -> {json.dumps(both['to'])}" for field, both in one["fields"].items())
        table.add_row(one["at"][:19].replace("T", " "), one["actor"], one["tenant"], one["action"], fields)
    out.print(table)


def _stated(one: Mapping[str, Any], names: Sequence[str]) -> str:
    """Those of these terms that the tenant has, a line each."""
    return "\n".join(f"{name} {one[name]:,}" for name in names if one.get(name) is not None)


async def _asked(service: Service, ask: Ask) -> Any:  # noqa: ANN401 - whatever is asked
    async with service.channel() as channel:
        return await ask(TenantServiceStub(channel))  # type: ignore[no-untyped-call]


async def _all(stub: TenantServiceStub) -> list[tenant_pb2.Tenant]:
    found: list[tenant_pb2.Tenant] = []
    token = ""
    while True:
        page: pb.ListTenantsResponse = await stub.ListTenants(pb.ListTenantsRequest(page_size=1_000, page_token=token))
        found += page.tenants
        if not (token := page.next_page_token):
            return found


async def _changes(stub: TenantServiceStub, name: str, most: int) -> list[tenant_pb2.TenantChange]:
    found: list[tenant_pb2.TenantChange] = []
    token = ""
    while len(found) < most:
        request = pb.ListTenantChangesRequest(tenant=name, page_size=min(most - len(found), 1_000), page_token=token)
        page: pb.ListTenantChangesResponse = await stub.ListTenantChanges(request)
        found += page.changes
        if not (token := page.next_page_token):
            break
    return found


async def _imported(stub: TenantServiceStub, requests: list[pb.UpdateTenantRequest], bar: Progress) -> list[tenant_pb2.Tenant]:
    made = []
    for told, dry in (("checking", True), ("storing", False)):
        for request in bar.track(requests, description=told):
            request.validate_only = dry
            made.append((await stub.UpdateTenant(request)).tenant)
    return made[len(requests) :]


def _mapping(file: Path) -> dict[str, dict[str, Any]]:
    """Also of a settings file, which has them under `tenants`."""
    found = yaml.safe_load(file.read_text()) or {}
    found = found.get("tenants", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(terms, dict | None) for terms in found.values()):
        raise ValueError(f"{file}: a mapping of tenants is wanted, such as `acme: {{floor: 0.9}}`")
    return {str(name): terms or {} for name, terms in found.items()}


def _whole(name: str, terms: dict[str, Any]) -> pb.UpdateTenantRequest:
    """All terms at once, checked here already as far as can be without the service."""
    with _named(name):
        given = TenantSettings(**terms).model_dump(mode="json", exclude_unset=True, exclude_none=True)
    request = pb.UpdateTenantRequest(tenant=tenant_pb2.Tenant(name=name), allow_missing=True)
    wire.state(request.tenant, given)
    request.update_mask.paths.append("*")
    return request


def _term(word: str) -> tuple[str, Any]:
    """The name and the value of `field=value`; None for `field=`."""
    name, equals, text = word.partition("=")
    if not equals or name not in TenantSettings.model_fields:
        raise ValueError(f"{word!r}: write field=value, with one of {', '.join(TenantSettings.model_fields)}")
    value = [one.strip() for one in text.strip("[]").split(",")] if name == "plans" else text
    return name, _typed(name, value) if text else None


def _typed(name: str, value: object) -> Any:  # noqa: ANN401 - of the term's type
    """As the term has it; text of numbers and truth is understood."""
    with _named(name):
        given = TenantSettings(**({name: value} | ({"cap": 1} if name == "window" else {})))
    return given.model_dump(mode="json")[name]


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Whose term is not in order."""
    try:
        yield
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in error.errors())
        raise ValueError(f"{name}: {told}") from error


def _show(tenant: tenant_pb2.Tenant, as_json: bool) -> None:
    found = wire.told(tenant)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    table = Table("term", "is", title=found["name"])
    for name, value in found.items():
        table.add_row(name, ", ".join(value) if isinstance(value, list) else str(value))
    out.print(table)
