"""JSON Web Tokens: whose they are, and every way in which one may be wrong."""

import asyncio
import base64
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from structlog.testing import capture_logs

from router.access.roles import Role
from router.access.settings import JwtSettings
from router.access.tokens import Tokens
from router.background import background
from router.errors import ExpiredCredentials, InvalidCredentials

ISSUER, AUDIENCE = "https://issuer.example", "rheostat"
RSA, OTHER = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))
EC, ED = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
KINDS: dict[str, Any] = {
    "rsa": json.loads(RSAAlgorithm.to_jwk(RSA.public_key())),
    "ec": json.loads(ECAlgorithm.to_jwk(EC.public_key())),
    "ed": json.loads(OKPAlgorithm.to_jwk(ED.public_key())),
    "shared": {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode()},
}


def claims(**other: Any) -> dict[str, Any]:
    now = time.time()
    found = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 3_600, "nbf": now - 60, "tenant": "acme", "roles": ["caller"]}
    return {name: value for name, value in (found | other).items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa", **other: Any) -> str:
    return jwt.encode(claims(**other), key, algorithm=algorithm, headers={"kid": kid} if kid else {})


def signed(header: dict[str, Any], secret: bytes, **other: Any) -> str:
    """By hand, as the library would not."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, claims(**other))]
    signature = hmac.digest(secret, b".".join(parts), "sha256") if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def jwks(file: Path, *kinds: str) -> Path:
    file.write_text(json.dumps({"keys": [{**KINDS[kind], "kid": kind} for kind in kinds]}))
    return file


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jwt")


@pytest.fixture(scope="session")
def tokens(folder: Path) -> Tokens:
    file = jwks(folder / "jwks.json", "rsa", "ec", "ed", "shared")
    return Tokens(JwtSettings(issuer=ISSUER, audience=AUDIENCE, jwks_file=file, leeway=5.0))


@pytest.fixture(scope="session")
def by_pem(folder: Path) -> Tokens:
    (folder / "key.pem").write_bytes(PEM)
    return Tokens(JwtSettings(issuer=ISSUER, audience=AUDIENCE, public_key=folder / "key.pem", leeway=5.0))


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")])
def test_a_good_token_says_whose_call_it_is(tokens: Tokens, key: Any, algorithm: str, kid: str) -> None:
    for _ in range(2):  # the second time from memory
        principal = tokens.principal(token(key, algorithm, kid, roles="operator caller none-such"))
        assert (principal.subject, principal.tenant, principal.roles) == ("jwt:ada", "acme", {Role.OPERATOR, Role.CALLER})


def test_one_public_key_needs_no_id(by_pem: Tokens) -> None:
    assert by_pem.principal(token(kid=None)).tenant == "acme"
    assert by_pem.principal(token(kid="whatever")).tenant == "acme"


FORGED = {
    "another's key": token(OTHER),
    "unknown key id": token(kid="none-such"),
    "no key id among several": token(kid=None),
    "a key id of another kind": token(kid="ec"),
    "a shared secret of the key set": token(b"s" * 32, "HS256", "shared"),
    "wrong audience": token(aud="other"),
    "no audience": token(aud=None),
    "wrong issuer": token(iss="https://other.example"),
    "no issuer": token(iss=None),
    "wrong audience, and ended": token(aud="other", exp=time.time() - 600),
    "wrong issuer, and ended": token(iss="https://other.example", exp=time.time() - 600),
    "another's key, and ended": token(OTHER, exp=time.time() - 600),
    "no end": token(exp=None),
    "an end beyond all time": token(exp=10**400),
    "an end that is no time": token(exp="soon"),
    "not yet": token(nbf=time.time() + 36_000),
    "algorithm none": signed({"alg": "none", "kid": "rsa"}, b""),
    "algorithm None": signed({"alg": "None", "kid": "rsa"}, b""),
    "no algorithm": signed({"kid": "rsa"}, b""),
    "HS256 by the public key": signed({"alg": "HS256", "kid": "rsa"}, PEM),
    "HS256 by nothing": signed({"alg": "HS256", "kid": "rsa"}, b"\0"),
    "an algorithm not accepted": token(algorithm="RS512"),
    "a key in its own header": signed({"alg": "RS256", "kid": "rsa", "jwk": KINDS["rsa"]}, b"x"),
    "claims that are no object": jwt.api_jws.encode(b"[1]", RSA, algorithm="RS256", headers={"kid": "rsa"}),
    "other claims under a good signature": ".".join(
        (token().split(".")[0], token(tenant="other").split(".")[1], token().split(".")[2]),
    ),
    "nothing": "",
    "dots": "..",
    "noise": "a.b.c",
    "a number as key id": jwt.encode(claims(), RSA, algorithm="RS256"),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_token_that_is_not_the_issuers_for_us_now_is_refused_without_saying_why(tokens: Tokens, forged: str) -> None:
    with pytest.raises(InvalidCredentials) as caught:
        tokens.principal(forged)
    assert caught.value.message == "these credentials are not accepted"
    assert caught.value.metadata == {}


@pytest.mark.parametrize(
    "forged", [signed({"alg": "HS256"}, PEM), signed({"alg": "HS256", "kid": ""}, PEM), signed({"alg": "none"}, b""), token(OTHER)]
)
def test_a_public_key_is_no_shared_secret(by_pem: Tokens, forged: str) -> None:
    with pytest.raises(InvalidCredentials):
        by_pem.principal(forged)


def test_a_token_ends_also_when_it_is_remembered(folder: Path) -> None:
    now = [time.time()]
    tokens = Tokens(JwtSettings(issuer=ISSUER, audience=AUDIENCE, jwks_file=jwks(folder / "ends.json", "rsa"), leeway=5.0), lambda: now[0])
    good = token(exp=now[0] + 60)
    tokens.principal(good)
    now[0] += 64
    tokens.principal(good)
    now[0] += 2
    with pytest.raises(ExpiredCredentials):
        tokens.principal(good)
    with pytest.raises(ExpiredCredentials):
        tokens.principal(token(exp=time.time() - 6))
    now[0] = time.time()
    tokens.principal(token(exp=time.time() - 3))  # within what clocks may differ by


def test_a_token_without_tenant_or_known_roles_may_do_nothing(tokens: Tokens) -> None:
    for other in ({"tenant": None, "roles": None}, {"tenant": ["acme"], "roles": {"admin": True}}, {"tenant": 5, "roles": 5}):
        principal = tokens.principal(token(**other))
        assert (principal.tenant, principal.roles) == ("", frozenset())


async def test_keys_are_exchanged_while_it_runs_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    file = jwks(tmp_path / "jwks.json", "rsa")
    tokens = Tokens(JwtSettings(issuer=ISSUER, audience=AUDIENCE, jwks_file=file))
    old, new = token(), token(EC, "ES256", "ec")
    tokens.principal(old)

    async def written(text: str, event: str) -> None:
        before = file.stat().st_mtime_ns
        file.write_text(text)
        os.utime(file, ns=(before + 1, before + 1))  # even within one tick of the clock
        async with asyncio.timeout(3.0):
            while event not in [one["event"] for one in logs]:
                await asyncio.sleep(0.02)

    with capture_logs() as logs:
        async with background(follow=tokens.follow()):
            await written("{}", "jwt_keys_refused")
            tokens.principal(old)
            await written(jwks(tmp_path / "next.json", "ec").read_text(), "jwt_keys_reloaded")
    assert tokens.principal(new).tenant == "acme"
    with pytest.raises(InvalidCredentials):  # also what was remembered
        tokens.principal(old)


@pytest.mark.parametrize("text", ["", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', '{"keys": 5}', "[]", '{"keys": [{}]}'])
def test_a_file_without_public_keys_is_refused_at_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(text)
    for named in ({"jwks_file": file}, {"public_key": file}, {"jwks_file": tmp_path / "missing"}):
        with pytest.raises(ValueError, match=r"access\.jwt"):
            Tokens(JwtSettings(issuer=ISSUER, audience=AUDIENCE, **named))


@given(st.one_of(st.text(max_size=60), st.integers(0, 400).map(lambda at: token()[:at] + "x" + token()[at + 1 :])))
def test_noise_is_refused_and_breaks_nothing(tokens: Tokens, text: str) -> None:
    if text == token():
        return
    try:
        principal = tokens.principal(text)
    except InvalidCredentials:
        return
    assert principal.tenant == "acme"  # a letter that changes no bit of the signature
