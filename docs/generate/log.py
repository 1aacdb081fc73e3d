"""The columns of the decision log, from the noun that its rows are."""

import ast
import inspect
import io
import textwrap
import tokenize

from docs.generate.markdown import MADE, table
from router.types import SCHEMA_VERSION, Record

_HEAD = """# The decision log

Parquet files under `journal*/parquet` of the data folder, a folder for each day; the same rows, as they come, are in the Redis stream that policies
learn from. Columns are only ever added, and an older file is read with the defaults below. How to work with it: [for researchers](../researchers.md).

"""


def page() -> str:
    """What a row is, and a line for each column."""
    source = textwrap.dedent(inspect.getsource(Record))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    told = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    rows = []
    for line in body.body:
        if isinstance(line, ast.AnnAssign):
            if line.lineno not in told:
                raise LookupError(f"Record.{ast.unparse(line.target)}: nobody has said what it is")
            default = ast.unparse(line.value) if line.value else ""
            rows.append((f"`{ast.unparse(line.target)}`", f"`{ast.unparse(line.annotation)}`", f"`{default}`" if default else "", told[line.lineno]))
    about = "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(Record) or "").split("\n\n"))
    version = f"`SCHEMA_VERSION` is {SCHEMA_VERSION} today.\n\n"
    return MADE + _HEAD + f"{about}\n\n{version}" + table(("column", "type", "default", "what it is"), rows)
