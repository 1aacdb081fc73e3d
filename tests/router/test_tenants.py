"""Who asks, on what terms."""

import pytest

from router.errors import UnknownTenant
from router.tenants import DAY, Retention, Tenant, Tenants


def test_an_unknown_tenant_is_refused_by_name() -> None:
    windows = (DAY._replace(limit=5),)
    tenants = Tenants({"acme": Tenant(id="acme", windows=windows)})
    assert tenants["acme"].windows == tenants.windows("acme") == windows
    assert [tenant.id for tenant in tenants] == ["acme"]
    with pytest.raises(UnknownTenant, match="'other'") as caught:
        tenants["other"]
    assert caught.value.metadata == {"tenant": "other"}


def test_retention_keeps_no_more_than_agreed() -> None:
    assert Tenant(id="a", retention=Retention.NONE).retain("secret") == ""
    assert Tenant(id="a", retention=Retention.FULL).retain("secret") == "secret"
    hashed = Tenant(id="a").retain("secret")
    assert hashed == Tenant(id="a").retain("secret")
    assert "secret" not in hashed
    assert hashed != Tenant(id="b").retain("secret")
    assert hashed != Tenant(id="a").retain("other")
