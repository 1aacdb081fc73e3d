"""Every command with its options, from the command line itself."""

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from docs.generate.markdown import MADE, table
from router.__main__ import app
from router.terminal import EXITS

_HEAD = """# Commands

`rheostat --install-completion` installs completion for the shell it is called from (bash, zsh or fish): of commands, options, and names of plans,
tenants, terms and knobs. Every command that prints a result takes `--json`; an error is then JSON too, on standard error. Tables have colours on a
terminal that has them; `NO_COLOR=1` turns them off.

## Exit codes

"""


def page() -> str:
    """Exit codes, then the tree of commands."""
    command = get_command(app)
    context = typer.Context(command, info_name="rheostat")
    tree = get_docs_for_click(obj=command, ctx=context, indent=1, name="rheostat")
    codes = table(("code", "what it means"), [(str(code), told) for code, told in EXITS.items()])
    return MADE + _HEAD + codes + tree.rstrip() + "\n"
