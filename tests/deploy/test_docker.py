"""The images: linted, and what their Dockerfiles install and start is installed and started here, without Docker, from the very same lines."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Stage, allowed, stages
from tests.predictors.world import practice, written
from tests.test_house import PROJECT, tracked

ROOT = Path(__file__).parents[2]
FILES = {name: ROOT / "deploy" / "docker" / f"{name}.Dockerfile" for name in ("router", "worker", "trainer")}
INSTALLING = 600.0  # alone it takes a tenth of that
STARTING = 60.0
pytestmark = pytest.mark.timeout(900)

each = pytest.mark.parametrize("name", FILES)


class Image:
    """What a Dockerfile makes, as a folder: its virtual environment, from the context that Docker would be sent."""

    def __init__(self, file: Path, folder: Path, context: Path, layer: "Image | None" = None, most: int | None = None) -> None:
        """With the first `most` of its commands; those that made the `layer`, which are the same, are not run again."""
        self.build, self.run = stages(file)
        self.venv = folder / "venv"
        python = folder / "python"
        python.mkdir(parents=True)
        (python / "python").symlink_to(sys._base_executable)
        env = _outer() | self.build.environment | {"VIRTUAL_ENV": str(self.venv), "PATH": f"{self.venv}/bin:{python}:{os.environ['PATH']}"}
        self.commands = self.build.commands[:most]
        if layer:
            assert self.commands[: len(layer.commands)] == layer.commands
            _copy(layer.venv, self.venv)
        for command in self.commands[len(layer.commands) if layer else 0 :]:
            done = subprocess.run(["/bin/sh", "-c", command], cwd=context, env=env, capture_output=True, text=True, timeout=INSTALLING, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"

    def environment(self, **other: str) -> dict[str, str]:
        """Of a container, with its own virtual environment in the place of /opt/rheostat."""
        found = {name: value for name, value in self.run.environment.items() if name != "PATH"}
        return _outer() | found | {"PATH": f"{self.venv}/bin:/usr/bin:/bin"} | other

    def has(self, module: str) -> bool:
        done = subprocess.run(
            [str(self.venv / "bin/python"), "-c", f"import {module}"], env=self.environment(), capture_output=True, check=False, cwd="/"
        )
        return done.returncode == 0


def _outer() -> dict[str, str]:
    """What this machine needs for its own sake; none of our settings, and not our own tree."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RHEOSTAT_", "PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Docker would be sent: files that git knows and .dockerignore lets through."""
    folder, wanted = tmp_path_factory.mktemp("context"), allowed(ROOT / ".dockerignore")
    for name in tracked():
        if any(name == one or name.startswith(f"{one}/") for one in wanted):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, context: Path) -> dict[str, Image]:
    """All three, side by side; worker and trainer share the layer that they have in common, as Docker would have it."""
    folder = tmp_path_factory.mktemp("images")
    with ThreadPoolExecutor() as pool:
        router = pool.submit(Image, FILES["router"], folder / "router", context)
        torch = Image(FILES["worker"], folder / "torch", context, most=2)
        others = {name: pool.submit(Image, FILES[name], folder / name, context, torch) for name in ("worker", "trainer")}
        return {"router": router.result(), **{name: one.result() for name, one in others.items()}}


@pytest.fixture
def router(images: dict[str, Image]) -> Image:
    return images["router"]


@pytest.fixture
def worker(images: dict[str, Image]) -> Image:
    return images["worker"]


@pytest.fixture
def trainer(images: dict[str, Image]) -> Image:
    return images["trainer"]


@each
def test_a_linter_has_nothing_to_say(name: str) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([str(linter), str(FILES[name])], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@each
def test_an_image_is_pinned_small_and_nobodys(name: str) -> None:
    build, run = stages(FILES[name])
    assert build.base == run.base
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", run.base)
    assert run.last("USER") == "65532:65532"
    assert not [one for one in run.commands if "pip" in one or "apt" in one], "what is installed with is left behind"
    assert f'org.opencontainers.image.version="{PROJECT["project"]["version"]}"' in run.last("LABEL")
    assert "org.opencontainers.image.licenses" in run.last("LABEL")
    assert (run.probe is None) == (name == "trainer")


@each
def test_what_is_installed_is_what_the_project_says(name: str) -> None:
    build, _ = stages(FILES[name])
    extras = {one for one in build.environment["EXTRAS"].split(",") if one}
    assert extras <= set(PROJECT["project"]["optional-dependencies"])
    torch = re.findall(r"torch==[\d.]+", " ".join(build.commands))
    assert torch == ([] if name == "router" else [one for one in PROJECT["project"]["optional-dependencies"]["embedded"] if one.startswith("torch")])


def test_docker_is_sent_what_is_needed_and_nothing_else(context: Path) -> None:
    sent = {path.relative_to(context).parts[0] for path in context.rglob("*") if path.is_file()}
    assert sent == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE", "router", "predictors", "policies", "workers", "proto"}
    assert {path.name for path in (context / "proto").iterdir()} == {"gen"}


@pytest.mark.slow
def test_a_router_and_a_worker_serve_from_their_images(router: Image, worker: Image, redis_url: str, tmp_path: Path) -> None:
    assert not router.has("torch")
    assert worker.run.command == ["rheostat", "work", "--address", "0.0.0.0:50052"]
    assert router.run.environment["RHEOSTAT_SERVER__ADDRESS"] == "0.0.0.0:50051"
    assert router.run.environment["RHEOSTAT_DATA"] == router.run.last("VOLUME") == "/data"
    inner, outer = (f"127.0.0.1:{port}" for port in _ports(2))
    settings = {"RHEOSTAT_SERVER__ADDRESS": outer, "RHEOSTAT_DATA": str(tmp_path / "data"), "RHEOSTAT_REDIS_URL": redis_url}
    with _running(worker, _at(inner, worker.run.command), worker.environment()):
        probe = worker.run.probe
        assert probe
        _until_healthy(worker, _at(inner, probe))
        with _running(router, router.run.command, router.environment(**settings, RHEOSTAT_WORKER__ADDRESS=inner)):
            assert router.run.probe == ["rheostat", "health"]
            _until_healthy(router, router.run.probe, RHEOSTAT_ADDRESS=outer)
            asked = ["rheostat", "ask", "What is 2 + 2?", "--plan", "nano-direct", "--address", outer, "--json"]
            done = subprocess.run(
                _whole(router, asked), env=router.environment(), capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert '"receipt"' in done.stdout


@pytest.mark.slow
def test_an_exposed_router_that_nobody_said_who_may_call_does_not_start(router: Image, tmp_path: Path) -> None:
    env = router.environment(RHEOSTAT_DATA=str(tmp_path))
    done = subprocess.run(_whole(router, router.run.command), env=env, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 5
    assert "access.open" in done.stderr


@pytest.mark.slow
def test_a_trainer_fits_the_log_from_its_image(trainer: Image, tmp_path: Path) -> None:
    log = tmp_path / "journal" / "parquet" / "date=2026-01-01"
    log.mkdir(parents=True)
    written(practice(300, seed=3), log)
    config = tmp_path / "settings.yaml"
    plan = {"pool": "nano", "strategy": "direct", "cost": 100, "price": [0.1, 0.4, 0]}
    config.write_text(json.dumps({"plans": {"cheap": plan, "dear": plan}}))
    env = trainer.environment(RHEOSTAT_DATA=str(tmp_path), RHEOSTAT_CONFIG=str(config))
    done = subprocess.run(_whole(trainer, trainer.run.command), env=env, capture_output=True, text=True, timeout=200, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "predictor" / "manifest.json").exists()
    assert trainer.has("s3fs")


def _copy(venv: Path, to: Path) -> None:
    """A virtual environment at another place: the same files, and scripts that begin with its own interpreter."""
    shutil.copytree(venv, to, symlinks=True, copy_function=os.link)
    for script in (to / "bin").iterdir():
        if not script.is_symlink():
            text = script.read_text().replace(str(venv), str(to))
            script.unlink()
            script.write_text(text)
            script.chmod(0o755)


def _whole(image: Image, command: list[str]) -> list[str]:
    """The command as the image's PATH finds it."""
    return [str(image.venv / "bin" / command[0]), *command[1:]]


def _at(address: str, command: list[str]) -> list[str]:
    """The same command at an address of this machine's loopback."""
    return [re.sub(r"^(0\.0\.0\.0|127\.0\.0\.1):\d+$", address, word) for word in command]


def _until_healthy(image: Image, probe: list[str], **env: str) -> None:
    ends = time.monotonic() + STARTING
    while True:
        done = subprocess.run(_whole(image, probe), env=image.environment(**env), capture_output=True, text=True, timeout=30, check=False, cwd="/")
        if done.returncode == 0:
            return
        assert time.monotonic() < ends, done.stdout + done.stderr


@contextlib.contextmanager
def _running(image: Image, command: list[str], env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(_whole(image, command), env=env, cwd="/", start_new_session=True)
    try:
        yield
        assert process.poll() is None
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def test_the_stage_that_runs_takes_nothing_but_the_environment() -> None:
    for file in FILES.values():
        run: Stage = stages(file)[1]
        assert run.all("COPY") == ["--from=build /opt/rheostat /opt/rheostat"]
