"""The HTTP door as such: its certificate, who may reach it, several processes behind it."""

import asyncio
import os
import signal
import ssl
import sys

import httpx2
import openai
import pytest
from cryptography import x509

from router.access.settings import AccessSettings, IdentitySettings, TlsSettings
from router.app import service
from router.openai.profiles import KnobSettings
from router.settings import Settings
from tests.integration.test_rolling import heard
from tests.integration.test_tls import HERE, Authority
from tests.loopback import free_port
from tests.openai.conftest import DOORS
from tests.openai.test_client import QUICK


def trusting(authority: Authority, *shown: object) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if shown:
        context.load_cert_chain(*shown)
    return context


async def served(url: str, context: ssl.SSLContext) -> int:
    """Serial number of the certificate that a new client is shown."""
    place = httpx2.URL(url)
    _, writer = await asyncio.open_connection(place.host, place.port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def test_its_certificate_is_the_services_and_is_exchanged(open_settings: Settings, tmp_path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", *HERE)
    server = DOORS.model_copy(update={"tls": TlsSettings(certificate=certificate, key=key)})
    async with service(open_settings.model_copy(update={"server": server})) as running:
        assert running.http.url.startswith("https://")
        context = trusting(authority)
        async with (
            httpx2.AsyncClient(verify=context) as http,
            openai.AsyncOpenAI(base_url=running.http.url, api_key="x", http_client=http) as client,
        ):
            assert (await client.chat.completions.create(**QUICK)).choices[0].message.content
        async with httpx2.AsyncClient() as plain:
            with pytest.raises(httpx2.HTTPError):
                await plain.get(running.http.url.replace("https", "http"))
        first = await served(running.http.url, context)
        key.write_text("not a key")
        await asyncio.sleep(1.2)
        assert await served(running.http.url, context) == first
        authority.issue("server", *HERE)
        async with asyncio.timeout(10):
            while await served(running.http.url, context) == first:
                await asyncio.sleep(0.1)


async def test_with_an_authority_for_clients_none_gets_in_without_a_certificate(open_settings: Settings, tmp_path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server", *HERE)
    server = DOORS.model_copy(update={"tls": TlsSettings(certificate=certificate, key=key, client_ca=authority.file)})
    async with service(open_settings.model_copy(update={"server": server})) as running:
        async with httpx2.AsyncClient(verify=trusting(authority, *authority.issue("client"))) as shown:
            assert (await shown.get(f"{running.http.url}/models")).status_code == 200
        async with httpx2.AsyncClient(verify=trusting(authority)) as bare:
            with pytest.raises(httpx2.HTTPError):
                await bare.get(f"{running.http.url}/models")


def test_it_is_not_opened_to_others_by_mistake(tmp_path) -> None:
    def settings(http: str, **access: object) -> Settings:
        return Settings(data=tmp_path, server={"http": http}, access=AccessSettings(**access))

    with pytest.raises(ValueError, match=r"server\.http 0\.0\.0\.0:50080 can be reached from elsewhere"):
        settings("0.0.0.0:50080").served()
    for fine in (settings("0.0.0.0:50080", keys=True), settings("0.0.0.0:50080", open=True), settings("127.0.0.1:50080"), settings("[::1]:50080")):
        assert fine.served() is fine
    identities = {"cn:ada": IdentitySettings(tenant="default", roles={"caller"})}
    tls = TlsSettings(certificate=tmp_path / "c", key=tmp_path / "k", client_ca=tmp_path / "a")
    with pytest.raises(ValueError, match="by keys and tokens only"):
        Settings(data=tmp_path, server={"http": "127.0.0.1:50080", "tls": tls}, access=AccessSettings(mtls=identities)).served()


def test_profiles_are_knobs_that_there_are() -> None:
    assert set(Settings().profiles) == {"rheostat-fast", "rheostat-best"}
    for name, profile, told in (
        ("rheostat", KnobSettings(), "no profile may be called rheostat"),
        ("nano-direct", KnobSettings(), "no profile may be called nano-direct"),
        ("mine", KnobSettings(plans=("none-such",)), "profile mine: no plan none-such"),
        ("mine", KnobSettings(policy="none-such"), "profile mine: no policy 'none-such'"),
    ):
        with pytest.raises(ValueError, match=told):
            Settings(profiles={name: profile})


async def test_an_address_that_is_taken_is_said(open_settings: Settings) -> None:
    async with service(open_settings) as running:
        taken = DOORS.model_copy(update={"http": running.http.url.removeprefix("http://").removesuffix("/v1")})
        other = open_settings.model_copy(update={"server": taken, "data": open_settings.data / "other"})
        with pytest.raises(RuntimeError, match=r"server\.http: cannot listen"):
            async with service(other):
                pass


async def test_several_processes_serve_it_and_are_renewed_without_a_failed_request(open_settings: Settings, tmp_path) -> None:
    """The client tries again where a connection was cut, as it does anyway."""
    place = f"127.0.0.1:{free_port()}"
    server = DOORS.model_copy(update={"http": place, "processes": 2, "drain_delay": 0.2})
    config = tmp_path / "settings.yaml"
    config.write_text(open_settings.model_copy(update={"server": server}).model_dump_json(exclude={"config"}))
    env = os.environ | {"RHEOSTAT_CONFIG": str(config), "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "router", "serve", env=env, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(100), openai.AsyncOpenAI(base_url=f"http://{place}/v1", api_key="x") as client:
            await heard(process, "Ready at")

            async def asking() -> None:
                while True:
                    assert (await client.chat.completions.create(**QUICK)).choices[0].message.content

            caller = asyncio.create_task(asking())
            process.send_signal(signal.SIGHUP)
            await heard(process, "Renewed")
            assert not caller.done()
            caller.cancel()
    finally:
        process.terminate()
        await asyncio.gather(process.stderr.read(), process.wait())
