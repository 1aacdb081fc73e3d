"""Written: when a file was, for whoever waits for it to change."""

from pathlib import Path


def written(file: Path | None) -> int:
    """In nanoseconds; 0 where there is none, or none just now."""
    return file.stat().st_mtime_ns if file and file.exists() else 0
