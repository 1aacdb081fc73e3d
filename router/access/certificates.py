"""Certificates of clients, which gRPC has verified, and whose they are."""

from collections.abc import Iterable, Mapping

from router.access.principal import Principal
from router.access.settings import IdentitySettings
from router.errors import InvalidCredentials


def names(peer: Mapping[str, Iterable[bytes]]) -> list[str]:
    """The names in a certificate, by kind, surest first; the subject's is none where there are others (RFC 6125)."""
    found = [f"{kind}:{name.decode(errors='replace')}" for kind in ("uri", "dns") for name in peer.get(f"peer_{kind}", ())]
    return found or [f"cn:{name.decode(errors='replace')}" for name in peer.get("x509_common_name", ())]


def principal(peer: Mapping[str, Iterable[bytes]], identities: Mapping[str, IdentitySettings]) -> Principal | None:
    """Whose call it is by its certificate; None without one. Raises InvalidCredentials for one that is nobody's."""
    if "x509_pem_cert" not in peer:
        return None
    for name in names(peer):
        if one := identities.get(name):
            return Principal(f"certificate:{name}", one.roles, one.tenant)
    raise InvalidCredentials
