"""What the shell may complete with: names that the settings have, and those that a running service tells of."""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import typer

from router.channel import Service
from router.evaluation.question import KNOBS
from router.terms import TenantSettings

_PATIENCE = 0.7  # seconds; whoever presses a key waits
Completion = Callable[[str], list[str]]


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in set(names) if name.startswith(incomplete))


def _configured(section: str) -> Iterator[str]:
    """Names in a section of the settings; none where those are not in order."""
    from router.settings import Settings  # noqa: PLC0415 - reads files

    try:
        yield from getattr(Settings(), section)
    except (ValueError, FileNotFoundError):
        return


def plans(incomplete: str) -> list[str]:
    """Ids of configured plans."""
    return _starting(_configured("plans"), incomplete)


def knobs(incomplete: str) -> list[str]:
    """Knobs that can be turned on paper."""
    return _starting(KNOBS, incomplete)


def terms(incomplete: str) -> list[str]:
    """`field=` for each term of a tenant."""
    return _starting((f"{name}=" for name in TenantSettings.model_fields), incomplete)


def tenants(ctx: typer.Context, incomplete: str) -> list[str]:
    """Tenants of the settings, and of the service if it answers at once."""
    return _starting((*_configured("tenants"), *_stored(ctx.params)), incomplete)


def _stored(given: dict[str, Any]) -> list[str]:
    from rheostat.v1 import tenant_service_pb2 as pb  # noqa: PLC0415 - for this alone
    from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub  # noqa: PLC0415

    def of(name: str) -> str:
        return str(given.get(name) or os.environ.get(f"RHEOSTAT_{name.upper()}") or "")

    async def asked() -> list[str]:
        async with Service(address=of("address") or "127.0.0.1:50051", key=of("key"), ca=of("ca")).channel() as channel:
            found = await TenantServiceStub(channel).ListTenants(pb.ListTenantsRequest(page_size=1_000), timeout=_PATIENCE)  # type: ignore[no-untyped-call]
            return [one.name for one in found.tenants]

    try:
        return asyncio.run(asked())
    except Exception:
        return []
