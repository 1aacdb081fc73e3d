"""`python -m docs.generate [FOLDER]`: writes every page of the reference, by default into docs/reference."""

import sys
from collections.abc import Callable
from pathlib import Path

from docs.generate import api, commands, errors, log, metrics, settings

PAGES: dict[str, Callable[[], str]] = {
    "api.md": api.page,
    "commands.md": commands.page,
    "errors.md": errors.page,
    "log.md": log.page,
    "metrics.md": metrics.page,
    "settings.md": settings.page,
}
REFERENCE = Path(__file__).parents[1] / "reference"


def main() -> None:
    """Write them all."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else REFERENCE
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page())


if __name__ == "__main__":
    main()
