"""compose.yaml: in order by the Compose specification, hardened, and with settings that exist."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from router.settings import Settings
from workers.discovery import is_place

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("router-1", "router-2", "worker", "worker-vllm", "trainer")

each = pytest.mark.parametrize("name", SERVICES)


def test_it_is_in_order() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    if not checker.exists():
        pytest.skip("check-jsonschema, which has the schema of the Compose specification, is not installed")
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_a_container_can_do_no_more_than_it_has_to(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "user" in service or name in OURS, "our images are nobody's by themselves"
    assert not service.get("privileged")
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))


@each
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert ("@sha256:" in image) == (name not in (*OURS, "vllm"))
    assert not image.endswith(":latest")


@each
def test_what_a_container_waits_for_says_when_it_is_ready(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] == "service_healthy"
        assert "healthcheck" in SERVICES[other] or other in OURS, "our images have HEALTHCHECK"


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_settings_exist_and_lead_to_workers_of_their_profile(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = DEPLOY / COMPOSE["configs"]["settings"]["file"].replace("${COMPOSE_PROFILES:-cpu}", profile)
    for name in ("router-1", "router-2"):
        for key, value in SERVICES[name]["environment"].items():
            monkeypatch.setenv(key, value)
        settings = Settings(config=file).served()
        assert settings.access.keys
        (place,) = settings.worker.places
        assert is_place(place)
        assert SERVICES[place.partition(":")[0]]["profiles"] == [profile]
        assert settings.telemetry.prometheus == "0.0.0.0:9464"
        assert settings.redis_url
        assert settings.journal.name == f"journal-{name[-1]}"


def test_files_that_are_mounted_are_there() -> None:
    mounted = [volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", []) if volume.startswith("./")]
    named = [one["file"].replace("${COMPOSE_PROFILES:-cpu}", "gpu") for one in COMPOSE["configs"].values()]
    assert [name for name in (*mounted, *named) if not (DEPLOY / name).exists()] == []
    assert {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", []) if volume[0].isalpha()} == set(
        COMPOSE["volumes"]
    )


def test_there_is_no_secret_in_the_files() -> None:
    assert all(set(secret) == {"environment"} for secret in COMPOSE["secrets"].values())
    told = {name for service in SERVICES.values() for name in service.get("environment", {})} | {(DEPLOY / ".env").read_text().split("\n")[1]}
    assert [name for name in told if any(word in name for word in ("PASSWORD", "SECRET", "TOKEN", "KEY")) and not name.endswith("_FILE")] == []


def test_the_collector_uses_what_it_declares() -> None:
    collector = yaml.safe_load((DEPLOY / "compose" / "collector.yaml").read_text())
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(collector[kind])
    used = {one for pipeline in collector["service"]["pipelines"].values() for one in pipeline["receivers"]}
    endpoint = collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert used == {"otlp"}
    assert SERVICES["worker"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].endswith(f"collector:{endpoint.rpartition(':')[2]}")
