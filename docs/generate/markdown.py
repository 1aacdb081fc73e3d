"""Markdown: tables, and what would break them."""

from collections.abc import Iterable, Sequence

MADE = "<!-- Made by `make docs`: change the source, not this page. -->\n\n"


def cell(text: str) -> str:
    """One line, whose bars are no ends of cells."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, followed by an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell(one) for one in line)} |\n" for line in lines) + "\n"
