"""The command line as scripts and shells see it: exit codes, JSON, completion, and terminals of every kind."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from rheostat.v1 import answer_pb2, usage_pb2
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from router.__main__ import app
from router.ask import _receipt
from router.completing import knobs, plans, tenants, terms
from router.errors import RouterError
from router.terminal import EXITS, SHORT, exit_code

PRINTS_NOTHING = {"serve", "work"}
"""Commands without a result: they run until they are stopped."""
NOBODY = "127.0.0.1:1"


def leaves(group: TyperGroup, *names: str) -> Iterator[tuple[str, object]]:
    """Every command that does something, by its full name."""
    for name, one in group.commands.items():
        if isinstance(one, TyperGroup):
            yield from leaves(one, *names, name)
        else:
            yield " ".join((*names, name)), one


COMMANDS = dict(leaves(get_command(app)))  # type: ignore[arg-type]


def invoked(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*words])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert all(one.help for one in command.params if one.name != "help"), [one.name for one in command.params if not one.help]
    assert (name in PRINTS_NOTHING) != any("--json" in one.opts for one in command.params)


def test_every_group_and_command_stands_in_a_panel() -> None:
    assert [name for name, one in get_command(app).commands.items() if not one.rich_help_panel] == []


def test_every_error_has_a_number_and_a_next_step() -> None:
    assert set(SHORT) <= set(EXITS)
    for kind in RouterError.__subclasses__():
        assert exit_code(kind.code) in set(EXITS) - {0, 1, 2, 9}, kind
        assert kind.remedy != RouterError.remedy, kind
    assert {grpc.StatusCode[kind.code] for kind in (RouterError, *RouterError.__subclasses__())}  # KeyError for a code that there is not
    assert exit_code(RouterError.code) == exit_code("UNKNOWN") == 9


@pytest.mark.parametrize("words", [("ask", "hi"), ("trace", "x"), ("tenants", "list"), ("keys", "list")], ids=lambda words: words[0])
def test_with_nobody_there_an_error_names_the_cause_and_the_next_step(words: tuple[str, ...]) -> None:
    code, out, err = invoked(*words, "--address", NOBODY)
    assert (code, out) == (3, "")
    assert err.startswith("UNAVAILABLE: ")
    assert "Next: `rheostat serve`" in err
    code, out, err = invoked(*words, "--address", NOBODY, "--json")
    assert (code, out) == (3, "")
    assert json.loads(err)["error"].keys() == {"reason", "code", "message", "next", "exit"}
    assert json.loads(err)["error"]["exit"] == 3


def test_words_that_are_not_in_order_are_json_too() -> None:
    code, out, err = invoked("ask", "--json")
    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["reason"] == "USAGE"
    assert "question" in json.loads(err)["error"]["message"]
    assert invoked("ask")[0] == 2
    assert invoked("health", "--json", "--address", NOBODY, "--seconds", "0.2")[0] == 1


def test_settings_that_are_not_in_order_are_explained(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("server: {adress: nowhere}")
    code, _, err = invoked("config", "check", str(tmp_path / "wrong.yaml"), "--json")
    assert code == json.loads(err)["error"]["exit"] == 5
    assert "server.adress" in json.loads(err)["error"]["message"]
    (tmp_path / "wrong.yaml").write_text("plans: {")
    code, _, err = invoked("config", "check", str(tmp_path / "wrong.yaml"))
    assert (code, "no YAML" in err, "Next: Mend" in err) == (5, True, True)


def test_names_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plans("small-") == ["small-best", "small-solve", "small-vote"]
    assert terms("flo") == ["floor="]
    assert knobs("abs") == ["abstain_below"]
    monkeypatch.setenv("RHEOSTAT_ADDRESS", NOBODY)
    context = type("Context", (), {"params": {}})()
    assert tenants(context, "") == ["default"]
    monkeypatch.setenv("RHEOSTAT_PLANS", "{")
    assert plans("") == []


def test_a_receipt_fits_eighty_columns_and_has_no_colour_where_none_is_wanted() -> None:
    usage = usage_pb2.Usage(
        calls=8, prompt_tokens=1_161, kept_tokens=1_064, discarded_tokens=312, cost_microdollars=12_094, seconds=10.44, joules=11.3
    )
    stages = [answer_pb2.StageUsage(plan="small-vote", usage=usage)]
    printed = io.StringIO()
    console = Console(file=printed, width=80, force_terminal=True, no_color=True)
    console.print(_receipt(answer_pb2.Receipt(stages=stages, usage=usage)))
    lines = re.sub(r"\x1b\[[\d;]*m", "", printed.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in printed.getvalue()
    assert "\x1b[3" not in printed.getvalue()
    assert "cancelled" not in printed.getvalue()
    assert "1,161" in printed.getvalue()


def test_colour_goes_where_it_is_not_wanted() -> None:
    """In a real terminal of 80 columns."""
    script = shutil.which("script")
    if script is None:
        pytest.skip("there is no `script` here, which makes a terminal")
    command = f"stty cols 80; {sys.executable} -m router trace x --address {NOBODY}"
    usual = {"TERM": "xterm-256color"}
    coloured, plain, dumb = (run(script, "-qec", command, "/dev/null", **env) for env in (usual, usual | {"NO_COLOR": "1"}, {"TERM": "dumb"}))
    assert "\x1b[31m" in coloured
    assert "\x1b[31m" not in plain + dumb
    assert all("Next: " in one for one in (coloured, plain, dumb))


def run(*words: str, **env: str) -> str:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("RHEOSTAT_", "NO_COLOR"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{given['PATH']}"
    done = subprocess.run(
        words, env=given | {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": path} | env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


BASH = """
rheostat --install-completion
source ~/.bashrc
complete -p rheostat
for words in "ret" "ask --plan small-" "tenants set acme flo"; do
    COMP_WORDS=(rheostat $words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    _rheostat_completion rheostat
    echo "$words: ${COMPREPLY[*]//$'\\n'/ }"
done
"""


def test_bash_completes(tmp_path: Path) -> None:
    told = run("bash", "-c", BASH, RHEOSTAT_ADDRESS=NOBODY, HOME=str(tmp_path))
    assert "_rheostat_completion rheostat" in told
    assert "ret: retrain" in told
    assert "ask --plan small-: small-best small-solve small-vote" in " ".join(told.split())
    assert "tenants set acme flo: floor=" in told


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(tmp_path: Path) -> None:
    told = run("fish", "-c", 'rheostat --show-completion | source; complete -C "rheostat ask --plan small-"', HOME=str(tmp_path))
    assert [line.split("\t")[0] for line in told.splitlines()] == ["small-best", "small-solve", "small-vote"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(tmp_path: Path) -> None:
    script = """
autoload -U compinit && compinit -u
source <(rheostat --show-completion)
print -r -- "by $_comps[rheostat]"
_arguments() { print -rl -- "$@"; }
    words=(rheostat ask --plan small-); CURRENT=4
_rheostat_completion
"""
    told = run("zsh", "-fc", script, HOME=str(tmp_path))
    assert "by _rheostat_completion" in told
    for plan in ("small-best", "small-solve", "small-vote"):
        assert plan in told
