"""`make audit`: what is pinned, held against the known vulnerabilities; says so where no advisory database can be reached."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def pinned() -> list[str]:
    """Every exact version: of constraints.txt, and those that only pyproject.toml has, such as torch's."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    torch = re.findall(r'"(torch==[\w.]+)"', (ROOT / "pyproject.toml").read_text())
    return lines + torch


def verdict(found: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """Exit code and lines for people, from what pip-audit says of each dependency."""
    audited = [one for one in found if "vulns" in one]
    bad = [one for one in audited if one["vulns"]]
    if not audited:
        return 0, ["NOT AUDITED: no advisory database could be reached from here. Run this where PyPI's or OSV's can be."]
    lines = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version'}"
        for one in bad
        for flaw in one["vulns"]
    ]
    lines.append(f"{len(audited)} of {len(found)} pinned packages audited, {len(bad)} with known vulnerabilities")
    lines += [f"not audited: {one['name']}: {one['skip_reason']}" for one in found if "vulns" not in one]
    return (1 if bad else 0), lines


def _told(one: dict[str, Any], flaw: dict[str, Any]) -> str:
    return f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version'}"


def ask() -> list[dict[str, Any]]:
    """What pip-audit says; nothing, where it could ask nobody."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "pinned.txt"
        wanted.write_text("\n".join(pinned()))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(wanted), "--no-deps", "--disable-pip", "--format", "json"]
        done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except ValueError:
        print(done.stderr.strip().rpartition("\n")[2], file=sys.stderr)
        return []


if __name__ == "__main__":
    code, lines = verdict(ask())
    print("\n".join(lines))
    sys.exit(code)
