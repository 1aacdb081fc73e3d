"""TLS: plain text and old versions refused, clients known by their certificates, and a certificate exchanged while it serves."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.access.roles import Role
from router.access.settings import AccessSettings, IdentitySettings, TlsSettings
from router.app import service
from router.settings import ServerSettings, Settings
from tests.integration.door import bearing, keys_of, planned


class Authority:
    """Signs certificates into files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._certificate, self._key = self._made("authority", None)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _made(self, name: str, sans: list[x509.GeneralName] | None, days: float = 1) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if sans is None else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(sans is None, None), critical=True)
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return builder.sign(key if sans is None else self._key, hashes.SHA256()), key

    def issue(self, name: str, *sans: x509.GeneralName, days: float = 1) -> tuple[Path, Path]:
        """Files of a certificate and its key, good for so many days from now."""
        certificate, key = self._made(name, list(sans), days)
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files[1].write_bytes(private)
        return files


HERE = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "tls").mkdir()
    return Authority(tmp_path / "tls")


def with_tls(settings: Settings, authority: Authority, access: AccessSettings, client_ca: Path | None = None) -> Settings:
    certificate, key = authority.issue("server", *HERE)
    tls = TlsSettings(certificate=certificate, key=key, client_ca=client_ca)
    return settings.model_copy(update={"access": access, "server": ServerSettings(address="127.0.0.1:0", drain_delay=0.0, tls=tls)})


@asynccontextmanager
async def securely(address: str, ca: Path, own: tuple[Path, Path] | None = None) -> AsyncIterator[RouterServiceStub]:
    """A client of its own connection."""
    certificate, key = (file.read_bytes() for file in own) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)
    async with grpc.aio.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield RouterServiceStub(channel)


def handshake(port: int, ca: Path, most: ssl.TLSVersion) -> str:
    """The version that a client speaks which knows none newer than this; raises where the server will not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that refuses
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = most
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
        return secure.version() or ""


async def test_plain_text_and_old_tls_are_refused(secured_settings: Settings, authority: Authority) -> None:
    keys = await keys_of(secured_settings)
    async with service(with_tls(secured_settings, authority, AccessSettings(keys=True))) as running:
        async with securely(running.address, authority.file) as stub:
            assert await planned(stub, metadata=bearing(keys["caller"])) == "OK"
            assert await planned(stub) == "MISSING_CREDENTIALS"
        async with grpc.aio.insecure_channel(running.address) as channel:
            assert await planned(RouterServiceStub(channel), metadata=bearing(keys["caller"])) == "UNAVAILABLE"
        (authority.folder / "other").mkdir()
        async with securely(running.address, Authority(authority.folder / "other").file) as stub:
            assert await planned(stub, metadata=bearing(keys["caller"])) == "UNAVAILABLE"  # the client does not trust it
        port = running.server.port
        assert await asyncio.to_thread(handshake, port, authority.file, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert await asyncio.to_thread(handshake, port, authority.file, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        for old in ("TLSv1_1", "TLSv1"):
            with pytest.warns(DeprecationWarning, match="TLSv1"), pytest.raises(ssl.SSLError, match="UNEXPECTED_EOF"):  # the server hung up
                handshake(port, authority.file, ssl.TLSVersion[old])


async def test_a_certificate_is_whose_call_it_is(secured_settings: Settings, authority: Authority) -> None:
    access = AccessSettings(
        mtls={
            "uri:spiffe://cluster/poor": IdentitySettings(tenant="poor", roles={Role.CALLER}),
            "cn:boss": IdentitySettings(roles={Role.ADMIN}),
        }
    )
    async with service(with_tls(secured_settings, authority, access, authority.file)) as running:
        poor = authority.issue("any", x509.UniformResourceIdentifier("spiffe://cluster/poor"))
        async with securely(running.address, authority.file, poor) as stub:
            assert await planned(stub, "poor") == "OK"
            assert await planned(stub, "default") == "FOREIGN_TENANT"
            assert await planned(stub, metadata=bearing("rheo_1_2")) == "INVALID_CREDENTIALS"  # what is brought counts before the certificate
        async with securely(running.address, authority.file, authority.issue("boss")) as stub:
            assert await planned(stub, "poor") == "OK"
        async with securely(running.address, authority.file, authority.issue("boss2", x509.DNSName("boss"))) as stub:
            assert await planned(stub, "poor") == "INVALID_CREDENTIALS"
        async with securely(running.address, authority.file) as stub:
            assert await planned(stub, "poor") == "UNAVAILABLE"
        async with securely(running.address, authority.file, authority.issue("boss", days=-1)) as stub:
            assert await planned(stub, "poor") == "UNAVAILABLE"  # it has ended
        (authority.folder / "other").mkdir()
        async with securely(running.address, authority.file, Authority(authority.folder / "other").issue("boss")) as stub:
            assert await planned(stub, "poor") == "UNAVAILABLE"


def shown(port: int) -> str:
    """The name in the certificate that the next client is shown."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    return str(x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string())


async def test_a_new_certificate_is_the_next_clients_and_cuts_nobody_off(secured_settings: Settings, authority: Authority) -> None:
    keys = await keys_of(secured_settings)
    settings = with_tls(secured_settings, authority, AccessSettings(keys=True))
    tls = settings.server.tls
    assert tls
    async with service(settings) as running, securely(running.address, authority.file) as stub:
        assert await planned(stub, metadata=bearing(keys["caller"])) == "OK"
        assert await asyncio.to_thread(shown, running.server.port) == "CN=server"
        tls.key.write_bytes(b"no key")
        assert await asyncio.to_thread(shown, running.server.port) == "CN=server"  # half written, or wrong: the old one goes on
        for source, target in zip(authority.issue("renewed", *HERE), (tls.certificate, tls.key), strict=True):
            target.write_bytes(source.read_bytes())
        assert await asyncio.to_thread(shown, running.server.port) == "CN=renewed"
        assert await planned(stub, metadata=bearing(keys["caller"])) == "OK"  # over the connection that there was
        async with securely(running.address, authority.file) as another:
            assert await planned(another, metadata=bearing(keys["caller"])) == "OK"


async def test_a_certificate_that_is_wrong_from_the_start_is_told(secured_settings: Settings, authority: Authority) -> None:
    settings = with_tls(secured_settings, authority, AccessSettings(keys=True))
    assert settings.server.tls
    settings.server.tls.key.write_bytes(authority.issue("another")[1].read_bytes())
    with pytest.raises(ValueError, match=r"server\.tls"):
        async with service(settings):
            pass
