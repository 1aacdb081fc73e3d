"""What is served is what the sources give."""

import subprocess
from pathlib import Path

from tests.console.conftest import PAGE

ASSETS = PAGE.parent / "assets"


def done(*command: str, at: Path) -> None:
    found = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_page_is_built_from_its_sources_byte_for_byte(installed: Path) -> None:
    done("npm", "run", "check", at=installed)
    done("npm", "run", "build", at=installed)
    assert contents(installed.parent / "assets") == contents(ASSETS)


def test_nothing_in_it_comes_from_elsewhere_and_nothing_is_inline() -> None:
    page = (ASSETS / "index.html").read_text()
    assert "<style" not in page
    assert 'style="' not in page
    assert page.count("<script") == page.count("<script type=") == page.count('.js"></script>') == 1
    for name, content in contents(ASSETS).items():
        assert len(content) < 200_000, name
        assert b"https://" not in content, name


def test_versions_are_pinned_and_name_no_registry() -> None:
    assert "^" not in (PAGE / "package.json").read_text()
    assert '"resolved"' not in (PAGE / "package-lock.json").read_text()
