"""Tenants as messages, and field masks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rheostat.v1 import tenant_pb2 as pb

from router.errors import InvalidTerms
from router.tenancy import wire
from router.tenancy.register import Tenancy
from router.terms import TenantSettings

FULL = TenantSettings(
    cap=5,
    window=60.0,
    abstain_below=0.1,
    risk=0.5,
    seconds=3.0,
    exploration=0.0,
    max_stages=2,
    plans=("a", "b"),
    policy="p",
    cache=False,
    per_minute=1,
    per_day=2,
    per_month=3,
    tokens_per_minute=4,
    tokens_per_day=5,
    tokens_per_month=6,
    requests_per_minute=7,
    concurrency=8,
    priority="high",
    cache_scope="public",
    semantic_risk=0.25,
    retention="full",
    guard=False,
)


def test_every_term_goes_there_and_back() -> None:
    message = wire.tenant_to_pb(Tenancy(name="acme", terms=FULL, etag="e", stored=True, created=1.0, updated=2.5))
    assert TenantSettings(**wire.given(message)) == FULL
    assert set(wire.given(message)) == set(TenantSettings.model_fields) - {"value", "floor"}
    assert (message.name, message.etag, message.source) == ("acme", "e", pb.TENANT_SOURCE_STORED)
    assert message.update_time.ToJsonString() == "1970-01-01T00:00:02.500Z"
    for terms in (TenantSettings(), TenantSettings(value=0.0), TenantSettings(floor=0.5)):
        assert TenantSettings(**wire.given(wire.tenant_to_pb(Tenancy(name="a", terms=terms, etag="")))) == terms


def test_every_term_is_a_field_and_every_field_a_term_or_the_services() -> None:
    fields = set(pb.Tenant.DESCRIPTOR.fields_by_name)
    assert fields - set(wire.FIELDS.values()) == {"name", "source", "create_time", "update_time", "etag"}
    assert set(wire.FIELDS.values()) <= fields


@pytest.mark.parametrize(
    ("mask", "stated", "after"),
    [
        ([], {"value_microdollars": 5.0}, {"per_day": 9, "value": 5.0, "plans": ["a"]}),
        (["value_microdollars"], {"value_microdollars": 5.0, "risk": 0.5}, {"per_day": 9, "value": 5.0, "plans": ["a"]}),
        (["per_day_microdollars"], {}, {"value": 1.0, "plans": ["a"]}),
        (["plans"], {}, {"value": 1.0, "per_day": 9}),
        (["value_microdollars", "floor"], {"floor": 0.5}, {"per_day": 9, "floor": 0.5, "plans": ["a"]}),
        (["*"], {"retention": "RETENTION_NONE"}, {"retention": "none"}),
        (["retention"], {"retention": "RETENTION_UNSPECIFIED"}, {"value": 1.0, "per_day": 9, "plans": ["a"]}),
    ],
)
def test_a_mask_says_what_changes(mask: list[str], stated: dict, after: dict) -> None:
    assert wire.masked(pb.Tenant(**stated), mask)({"value": 1.0, "per_day": 9, "plans": ["a"]}) == after


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (["floor", "none_such"], "no field 'none_such'"),
        (["value"], "no field 'value'"),
        (["plans.a"], "no field 'plans.a'"),
        (["floor..cap"], "no field 'floor..cap'"),
        ([""], "no field ''"),
        (["name"], "'name' cannot be changed"),
        (["etag"], "'etag' cannot be changed"),
        (["create_time"], "'create_time' cannot be changed"),
        (["*", "floor"], "`\\*` stands alone"),
    ],
)
def test_a_mask_that_is_not_in_order_is_refused_by_name(mask: list[str], told: str) -> None:
    with pytest.raises(InvalidTerms, match=told) as caught:
        wire.masked(pb.Tenant(), mask)
    assert {field for field, _ in caught.value.violations} == {"update_mask"}


def test_violations_have_the_paths_of_the_message() -> None:
    found = wire.located(InvalidTerms(violations=[("value", "a"), ("risk", "b"), ("", "c")], tenant="acme"))
    assert found.violations == (("tenant.value_microdollars", "a"), ("tenant.risk", "b"), ("tenant", "c"))
    assert found.metadata == {"tenant": "acme"}


KINDS = {
    pb.Tenant.DESCRIPTOR.fields_by_name["floor"].cpp_type: st.floats() | st.sampled_from([0.0, 0.5, 1.0, 60.0]),
    pb.Tenant.DESCRIPTOR.fields_by_name["concurrency"].cpp_type: st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9),
    pb.Tenant.DESCRIPTOR.fields_by_name["max_stages"].cpp_type: st.integers(-(2**31), 2**31 - 1) | st.integers(0, 9),
    pb.Tenant.DESCRIPTOR.fields_by_name["guard"].cpp_type: st.booleans(),
    pb.Tenant.DESCRIPTOR.fields_by_name["priority"].cpp_type: st.integers(0, 2),
    pb.Tenant.DESCRIPTOR.fields_by_name["policy"].cpp_type: st.text(max_size=9),
}
STATED = {field: KINDS[pb.Tenant.DESCRIPTOR.fields_by_name[field].cpp_type] for field in set(wire.FIELDS.values()) - {"plans"}}


@given(st.fixed_dictionaries({}, optional=STATED | {"plans": st.lists(st.text(max_size=3), max_size=3)}))
def test_whatever_a_message_states_is_understood_or_refused(stated: dict) -> None:
    try:
        terms = TenantSettings(**wire.given(pb.Tenant(**stated)))
    except ValidationError:  # which names the field
        return
    one = Tenancy(name="acme", terms=terms, etag="")
    assert TenantSettings(**wire.given(wire.tenant_to_pb(one))) == terms
    json.dumps(wire.told(wire.tenant_to_pb(one)), allow_nan=False)
