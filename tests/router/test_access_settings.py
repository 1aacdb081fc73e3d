"""Who is let in by the settings, whose a certificate is, for whom a principal acts, and what is blotted out of text."""

from typing import Any

import pytest
from pydantic import ValidationError

from router.access import certificates
from router.access.principal import ANYONE, Principal
from router.access.roles import Role
from router.access.settings import AccessSettings, IdentitySettings, JwtSettings, exposed
from router.errors import ForeignTenant, InvalidCredentials
from router.redaction import masked, redact
from router.settings import ServerSettings, Settings


@pytest.mark.parametrize(
    "address", ["127.0.0.1:50051", "127.9.9.9:1", "localhost:50051", "[::1]:50051", "ipv4:127.0.0.1:5", "unix:/run/r.sock", "unix-abstract:r"]
)
def test_what_only_this_machine_can_reach(address: str) -> None:
    assert not exposed(address)
    Settings(server=ServerSettings(address=address)).served()


@pytest.mark.parametrize(
    "address", ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "example.org:50051", "ipv6:[::]:5", "*:5", ":50051", "localhost.example.org:5"]
)
def test_what_others_can_reach_is_not_served_to_everybody(address: str) -> None:
    assert exposed(address)
    server = ServerSettings(address=address)
    with pytest.raises(ValueError, match=r"access\.open: true"):
        Settings(server=server).served()
    Settings(server=server, access=AccessSettings(open=True)).served()
    Settings(server=server, access=AccessSettings(keys=True)).served()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"open": True, "keys": True}, "open contradicts"),
        ({"mtls": {"spiffe://x": {"tenant": "a", "roles": ["caller"]}}}, "begin with uri:"),
        ({"mtls": {"uri:spiffe://x": {"roles": ["caller"]}}}, "name the tenant"),
        ({"mtls": {"uri:spiffe://x": {"tenant": "a", "roles": []}}}, "roles"),
        ({"mtls": {"uri:spiffe://x": {"tenant": "a", "roles": ["root"]}}}, "roles"),
        ({"jwt": {"issuer": "i", "audience": "a"}}, "exactly one of jwks_file and public_key"),
        ({"jwt": {"issuer": "i", "audience": "a", "jwks_file": "j", "public_key": "p"}}, "exactly one of jwks_file and public_key"),
        ({"jwt": {"issuer": "i", "audience": "a", "jwks_file": "j", "algorithms": ["HS256"]}}, "algorithms"),
        ({"jwt": {"issuer": "i", "audience": "a", "jwks_file": "j", "algorithms": ["none"]}}, "algorithms"),
        ({"jwt": {"issuer": "i", "audience": "", "jwks_file": "j"}}, "audience"),
    ],
)
def test_settings_that_let_in_the_wrong_ones_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        AccessSettings(**given)


def test_certificates_are_asked_for_where_they_count() -> None:
    access = AccessSettings(mtls={"cn:a": IdentitySettings(tenant="a", roles={Role.CALLER})})
    with pytest.raises(ValidationError, match="client_ca"):
        Settings(access=access)
    assert access.asked_for
    assert access.told == "certificates"
    assert AccessSettings().told == "anyone may do everything"
    assert AccessSettings(keys=True, jwt=JwtSettings(issuer="i", audience="a", jwks_file="j")).told == "API keys, tokens of i"


def test_a_certificate_is_whose_its_names_say() -> None:
    one, two, three = (IdentitySettings(tenant=name, roles={Role.CALLER}) for name in ("one", "two", "three"))
    known = {"uri:spiffe://x": one, "dns:a.example": two, "cn:ada": three}
    pem = {"x509_pem_cert": [b"..."]}
    found = {
        "one": certificates.principal({**pem, "peer_uri": [b"spiffe://y", b"spiffe://x"], "peer_dns": [b"a.example"]}, known),
        "two": certificates.principal({**pem, "peer_dns": [b"a.example"], "x509_common_name": [b"ada"]}, known),
        "three": certificates.principal({**pem, "x509_common_name": [b"ada"]}, known),
    }
    assert {name: one and one.tenant for name, one in found.items()} == {name: name for name in found}
    assert found["one"] is not None
    assert found["one"].subject == "certificate:uri:spiffe://x"
    assert certificates.principal({"peer_uri": [b"spiffe://x"]}, known) is None  # nobody showed a certificate
    for peer in ({"x509_common_name": [b"uri:spiffe://x"]}, {"peer_dns": [b"b.example"], "x509_common_name": [b"ada"]}, {"peer_uri": [b"\xff"]}, {}):
        with pytest.raises(InvalidCredentials):
            certificates.principal({**pem, **peer}, known)


def test_for_whom_a_principal_acts() -> None:
    ours = Principal("key:1", frozenset({Role.CALLER, Role.OPERATOR}), "acme")
    assert [ours.acting_for(name) for name in ("", "acme")] == ["acme", "acme"]
    nobodys = Principal("jwt:1", frozenset({Role.OPERATOR}))
    for principal, name in ((ours, "other"), (ours, "default"), (nobodys, ""), (nobodys, "acme"), (nobodys, "default")):
        with pytest.raises(ForeignTenant):
            principal.acting_for(name)
    admin = Principal("key:2", frozenset({Role.ADMIN}), "acme")
    assert [admin.acting_for(name) for name in ("", "acme", "other")] == ["acme", "acme", "other"]
    assert [ANYONE.acting_for(name) for name in ("", "other")] == ["default", "other"]


def test_secrets_are_blotted_out() -> None:
    key = f"rheo_0123456789abcdef_{'5' * 64}"
    token = f"eyJ{'a' * 20}.eyJ{'b' * 20}.{'c' * 30}"
    told = masked(f"no tenant '{key}', nor {token}; redis://:secret@host:6379 or redis://ada:secret@host")
    assert told == "no tenant 'rheo_0123456789abcdef_***', nor eyJ***; redis://:***@host:6379 or redis://ada:***@host"
    assert redact(None, "info", {"tenant": key, "ms": 5}) == {"tenant": "rheo_0123456789abcdef_***", "ms": 5}
    for plain in ("key:0123456789abcdef", "https://host:8080/a@b", "a.b.c", "rheo"):
        assert masked(plain) == plain
