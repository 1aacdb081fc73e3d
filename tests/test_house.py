"""The house is in order: what the papers say is so, names are ours, the repository stays small."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from router.telemetry.telemetry import our_version

ROOT = Path(__file__).parents[1]
PAPERS = [
    ROOT / name
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "client/README.md", "deploy/runbook.md")
]
PAPERS += sorted((ROOT / "docs").glob("**/*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MIB = 2**20


def block(paper, language):
    """The one block of code of this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / paper).read_text(), re.DOTALL)
    return found


def python(*arguments):
    """Run our own interpreter in the root; what it printed."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked():
    """Files git knows, with their sizes."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name: (ROOT / name).stat().st_size for name in names if name and (ROOT / name).exists()}


def test_our_import_names_are_ours():
    owners = packages_distributions()
    for name in ("router", "predictors", "policies", "workers", "rheostat"):
        assert set(owners.get(name, ())) <= {"rheostat"}


def test_the_version_stands_in_one_place():
    assert our_version() in {PROJECT["project"]["version"], "0"}  # 0: run from a tree that is not installed
    assert not [name for name in tracked() if name.endswith(".py") and re.search(r"^__version__", (ROOT / name).read_text(), re.M)]


def test_the_repository_stays_small():
    assert {name: size for name, size in tracked().items() if size > 16 * MIB} == {}
    assert sum(size for name, size in tracked().items() if name.startswith("workers/reasoner/models/")) <= 40 * MIB


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_what_papers_mention_exists(paper):
    text = paper.read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=[`\s]*(?:$|#|[`A-Z)]))", text, re.MULTILINE)) <= targets
    for name in re.findall(r"`((?:proto|router|predictors|policies|workers|tests)/[\w./]*)`", text):
        assert (ROOT / name).exists() or name == "policies/good_enough.py", name


def test_makefile_runs_modules_that_exist():
    modules = set(re.findall(r"python -m ([a-z_.]+)", (ROOT / "Makefile").read_text()))
    assert len(modules) >= 6
    assert [name for name in modules if find_spec(name) is None] == []


def test_the_settings_file_for_your_own_models_is_in_order(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text(block("docs/operators.md", "yaml"))
    assert "in order: 2 plans" in " ".join(python("-m", "router", "config", "check", str(file)).split())


def test_the_template_for_your_own_models_asks_for_what_is_read():
    template = yaml.safe_load(block("docs/operators.md", "yaml"))["worker"]["pools"]["qwen"]["backend"]["options"]["prompts"]["solve"]
    assert "{conversation}" in template
    assert "`Answer: `" in template


def test_the_plugin_in_contributing_is_whole(tmp_path):
    (tmp_path / "good_enough.py").write_text(block("CONTRIBUTING.md", "python"))
    told = python(
        "-c",
        f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import good_enough, numpy
from policies import policies
from router.types import *
names = "dear", "cheap", "poor"
forecasts = [Forecast(plan=n, success=s, low=0, high=1, tokens=1, cost=c, seconds=1) for n, s, c in zip(names, (.99, .85, .3), (90, 20, 1))]
plans = [Plan(id=name, pool="p", strategy="s") for name in names]
prediction = Prediction(in_hand=0, forecasts=tuple(forecasts), version="")
print(policies.build("good_enough", {{"bar": 0.8}}).weigh(prediction, Evidence(), plans, Knobs()).draw(numpy.random.default_rng(0)).plan)
""",
    )
    assert told.strip() == "cheap"


def test_every_dependency_has_its_reason():
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("## Dependencies")[2]
    for name in {re.split(r"[\[=><]", requirement)[0] for group in groups for requirement in group} - {"rheostat"}:
        family, _, member = name.partition("-")
        assert name in table or (family in table and f"-{member}" in table), name


def test_constraints_cover_what_is_installed():
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    wanted = {re.split(r"[\[=><]", requirement)[0] for group in groups for requirement in group}
    assert wanted - pinned == {"rheostat", "torch", "vllm"}  # the last is for an environment of its own


@pytest.mark.parametrize("module", ["router.app", "router.__main__"])
def test_the_router_loads_no_tensor_library(module):
    libraries = {"torch", "sklearn", "transformers", "openai", "duckdb", "onnxruntime", "ray"}  # pyarrow brings pandas where Ray has brought it
    heavy = python("-c", f"import {module}, sys; print(*sorted({libraries} & set(sys.modules)))")
    assert heavy.split() == []
