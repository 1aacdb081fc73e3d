"""What files state of access: which credentials are accepted, and whose they are."""

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from router.access.roles import Role
from router.section import Section

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class IdentitySettings(Section):
    """Whose a certificate is."""

    tenant: str = ""
    """The tenant that it calls for; only an admin may be of none."""
    roles: frozenset[Role] = Field(min_length=1)
    """What it may do: `caller`, `operator`, `admin`."""

    @model_validator(mode="after")
    def _somebodys(self) -> "IdentitySettings":
        if not self.tenant and Role.ADMIN not in self.roles:
            raise ValueError("name the tenant: only an admin may be of none")
        return self


class JwtSettings(Section):
    """JSON Web Tokens of one issuer; with exactly one of `jwks_file` and `public_key`, which are read again when they change."""

    issuer: str = Field(min_length=1)
    """Who makes the tokens: their claim `iss`."""
    audience: str = Field(min_length=1)
    """Whom they have to be for: their claim `aud`."""
    jwks_file: Path | None = None
    """File of the issuer's public keys, as JSON."""
    public_key: Path | None = None
    """PEM file."""
    algorithms: tuple[Algorithm, ...] = Field(("RS256", "ES256", "EdDSA"), min_length=1)
    """Only such as need no shared secret."""
    tenant_claim: str = "tenant"
    """The claim that has the tenant's name."""
    roles_claim: str = "roles"
    """The claim that has the roles."""
    leeway: float = Field(30.0, ge=0, le=600)
    """Seconds by which clocks may differ."""

    @model_validator(mode="after")
    def _one_key(self) -> "JwtSettings":
        if (self.jwks_file is None) == (self.public_key is None):
            raise ValueError("name exactly one of jwks_file and public_key")
        return self


class AccessSettings(Section):
    """Who may call. With nothing here anyone may do everything, and the service listens on the loopback address only."""

    open: bool = False
    """Let anyone who can reach the service do everything, for any tenant, on whatever address it listens."""
    keys: bool = False
    """Accept API keys; `rheostat keys create --role admin --offline` makes the first."""
    mtls: dict[str, IdentitySettings] = Field(default_factory=dict)
    """Whose the clients' certificates are, by `uri:` or `dns:` and a name in them, or `cn:` and the subject's for those that have no other."""
    jwt: JwtSettings | None = None

    @property
    def asked_for(self) -> bool:
        """Whether credentials are."""
        return self.keys or bool(self.mtls) or self.jwt is not None

    @property
    def told(self) -> str:
        """For people: which credentials are."""
        kinds = {"API keys": self.keys, "certificates": bool(self.mtls), f"tokens of {self.jwt.issuer}" if self.jwt else "": self.jwt is not None}
        return ", ".join(kind for kind, accepted in kinds.items() if accepted) or "anyone may do everything"

    @field_validator("mtls")
    @classmethod
    def _kinds(cls, mtls: dict[str, IdentitySettings]) -> dict[str, IdentitySettings]:
        if odd := [name for name in mtls if name.partition(":")[0] not in ("uri", "dns", "cn")]:
            raise ValueError(f"{', '.join(odd)}: begin with uri:, dns: or cn:")
        return mtls

    @model_validator(mode="after")
    def _open_or_not(self) -> "AccessSettings":
        if self.open and self.asked_for:
            raise ValueError("open contradicts keys, mtls and jwt: remove it, or them")
        return self


class TlsSettings(Section):
    """The service's certificate, as PEM files, which are read again when they change."""

    certificate: Path
    """With those between it and the root, if there are any."""
    key: Path
    """Its private key."""
    client_ca: Path | None = None
    """Who signs clients' certificates; with it every client needs one."""


def exposed(address: str) -> bool:
    """Whether others than this machine can reach what listens at this gRPC address."""
    if address.startswith(("unix:", "unix-abstract:")):
        return False
    host = address.rpartition(":")[0].removeprefix("ipv4:").removeprefix("ipv6:").strip("[]").partition("%")[0]
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
