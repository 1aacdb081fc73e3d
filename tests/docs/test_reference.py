"""The reference is what the contract and the code say, and every link leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate.api import PROTO
from docs.generate.metrics import instruments
from tests.docs.conftest import ROOT

PAGES = [*sorted((ROOT / "docs").glob("**/*.md")), *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"))]
PAGES += [ROOT / "client" / "README.md", ROOT / "deploy" / "runbook.md", ROOT / "notebooks" / "README.md"]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "")).strip().lower().replace(" ", "-") for title in titles}


def test_make_docs_has_nothing_to_change(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    subprocess.run([sys.executable, "-m", "docs.generate", str(tmp_path)], check=True, env=env, cwd=ROOT, timeout=60)
    made = {page.name: page.read_text() for page in tmp_path.iterdir()}
    kept = {page.name: page.read_text() for page in (ROOT / "docs" / "reference").iterdir()}
    assert set(made) == set(kept)
    for name, text in made.items():
        assert text == kept[name], f"{name} is old: run make docs"


def test_every_call_message_and_field_is_told() -> None:
    told = (ROOT / "docs" / "reference" / "api.md").read_text()
    for file in (PROTO / "rheostat" / "v1").glob("*.proto"):
        source = re.sub(r"//[^\n]*", "", file.read_text())
        for name in re.findall(r"^(?:service|message|enum) (\w+)", source, re.MULTILINE):
            assert re.search(rf"^##+ {name}$", told, re.MULTILINE), name
        for name in re.findall(r"^  rpc (\w+)|^  +(?:repeated |optional )?[\w.]+ (\w+) = \d+", source, re.MULTILINE):
            assert f"| `{name[0] or name[1]}` |" in told, name


def test_every_instrument_of_the_code_is_told() -> None:
    sources = "".join((ROOT / "router" / "telemetry" / name).read_text() for name in ("metrics.py", "gauges.py"))
    names = set(re.findall(r'"((?:rheostat|rpc)\.[a-z_.]+)"', sources)) - {"rpc.system.name", "rpc.method", "rpc.response.status_code"}
    assert {one.name for one in instruments()} == names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), link
        if anchor:
            assert anchor in anchors(there), link
