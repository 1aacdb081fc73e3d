"""Who asks, on what terms."""

import pytest
from pydantic import ValidationError

from router.errors import UnknownTenant
from router.tenants import DAY, Retention, Tenant, Tenants, Window
from router.terms import TenantSettings
from router.types import Objective


def test_an_unknown_tenant_is_refused_by_name() -> None:
    windows = (DAY._replace(limit=5),)
    tenants = Tenants({"acme": Tenant(id="acme", windows=windows)})
    assert tenants["acme"].windows == tenants.windows("acme") == windows
    assert [tenant.id for tenant in tenants] == ["acme"]
    with pytest.raises(UnknownTenant, match="'other'") as caught:
        tenants["other"]
    assert caught.value.metadata == {"tenant": "other"}


def test_tenants_come_and_go_but_what_is_owed_is_still_settled() -> None:
    tenants = Tenants({"acme": Tenant(id="acme", windows=(Window("day", 86_400, 5),))})
    tenants.swap({"other": Tenant(id="other")})
    assert [tenant.id for tenant in tenants] == ["other"]
    with pytest.raises(UnknownTenant):
        tenants["acme"]
    assert tenants.windows("acme") == (Window("day", 86_400, 5),)
    with pytest.raises(UnknownTenant):
        tenants.windows("nobody")
    tenants.swap({"acme": Tenant(id="acme", windows=(Window("day", 86_400, 7),))})
    assert tenants.windows("acme") == tenants["acme"].windows == (Window("day", 86_400, 7),)


def test_retention_keeps_no_more_than_agreed() -> None:
    assert Tenant(id="a", retention=Retention.NONE).retain("secret") == ""
    assert Tenant(id="a", retention=Retention.FULL).retain("secret") == "secret"
    hashed = Tenant(id="a").retain("secret")
    assert hashed == Tenant(id="a").retain("secret")
    assert "secret" not in hashed
    assert hashed != Tenant(id="b").retain("secret")
    assert hashed != Tenant(id="a").retain("other")


def test_settings_name_one_objective() -> None:
    plain, priced, floored, capped = (TenantSettings(**terms).tenant("acme") for terms in ({}, {"value": 0.0}, {"floor": 0.9}, {"cap": 500}))
    assert (plain.objective, plain.knobs.value, plain.windows) == (None, 8_000, (DAY,))
    assert (priced.objective, priced.knobs.value) == (None, 0)
    assert (floored.objective, floored.windows) == (Objective(floor=0.9), (DAY,))
    assert (capped.objective, capped.windows) == (Objective(cap=500), (DAY, Window("cap", 86_400, 500)))
    hourly = TenantSettings(cap=500, window=3_600, per_minute=50, per_day=900).tenant("acme")
    assert hourly.objective == Objective(cap=500, window=3_600)
    assert hourly.windows == (Window("minute", 60, 50), Window("day", 86_400, 900), Window("cap", 3_600, 500))


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"value": 5.0, "floor": 0.9}, "value and floor contradict one another: a tenant has exactly one objective, so keep one"),
        ({"value": 5.0, "floor": 0.9, "cap": 5}, "value and floor and cap contradict"),
        ({"floor": 0.9, "cap": 5}, "floor and cap contradict"),
        ({"value": 5.0, "window": 60}, "name a cap, or remove window"),
        ({"window": 60}, "name a cap, or remove window"),
        ({"cap": 0}, "cap\n.*greater than 0"),
        ({"cap": -1}, "cap\n.*greater than 0"),
        ({"cap": 5, "window": 0}, "window\n.*greater than or equal to 1"),
        ({"cap": 5, "window": float("inf")}, "window\n.*finite"),
        ({"floor": 0.0}, "floor\n.*greater than 0"),
        ({"floor": 1.1}, "floor\n.*less than or equal to 1"),
        ({"floor": float("nan")}, "floor\n"),
        ({"value": float("inf")}, "value\n.*finite"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(terms: dict[str, float], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TenantSettings.model_validate(terms)
