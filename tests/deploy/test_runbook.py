"""The runbook: its commands exist, with these options, and what it names is there."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from router.__main__ import app

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "deploy" / "runbook.md").read_text()
BLOCKS = re.findall(r"```sh[^\n]*\n(.*?)```", RUNBOOK, re.DOTALL)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = sorted(
    {found[1] for line in LINES if (found := re.search(r"(?:^|-- |router-\d )(rheostat \w.*)$", line))}
    | {one.replace("\n", " ") for one in re.findall(r"`(rheostat \w[^`]+)`", RUNBOOK)}
)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 12


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_takes_what_it_is_given(line: str) -> None:
    """Words are read before help is given, so an option that is not there is an error."""
    done = CliRunner().invoke(app, [*shlex.split(line)[1:], "--help"])
    assert done.exit_code == 0, done.output


def test_files_and_folders_that_are_named_are_there() -> None:
    for name in re.findall(r"\b(deploy/[\w./-]*[\w/])", RUNBOOK):
        assert (ROOT / name).exists(), name


def test_dashboards_and_settings_that_are_named_are_there() -> None:
    files = (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
    titles = {json.loads(file.read_text())["title"].removeprefix("Rheostat: ") for file in files}
    assert set(re.findall(r"\*(objectives|pools|learning)\*", RUNBOOK)) <= titles
    settings = (ROOT / "router" / "settings.py").read_text()
    for name in re.findall(r"`server\.(\w+)`", RUNBOOK):
        assert f"    {name}: " in settings, name
