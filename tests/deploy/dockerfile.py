"""A Dockerfile as a test can run it: its instructions, stage by stage."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from string import Template


@dataclass(slots=True)
class Stage:
    """One stage: what it begins from, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return self.all(instruction)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV and the defaults of ARG make of an empty environment."""
        found: dict[str, str] = {}
        for name, text in self.steps:
            if name in ("ENV", "ARG"):
                key, _, value = text.partition("=")
                found[key] = Template(value.strip('"')).safe_substitute(found)
        return found

    @property
    def command(self) -> list[str]:
        """What a container runs: ENTRYPOINT and CMD."""
        return [*json.loads(self.last("ENTRYPOINT")), *json.loads(self.last("CMD"))]

    @property
    def probe(self) -> list[str] | None:
        """The command of HEALTHCHECK; None where it is NONE."""
        _, found, command = self.last("HEALTHCHECK").partition("CMD ")
        return json.loads(command) if found else None

    @property
    def commands(self) -> list[str]:
        """What RUN hands to the shell."""
        return [re.sub(r"--mount=\S+\s+", "", text) for text in self.all("RUN")]


def stages(file: Path) -> list[Stage]:
    """Of a Dockerfile."""
    found: list[Stage] = []
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        name, _, text = line.partition(" ")
        if name == "FROM":
            found.append(Stage(text.split()[0]))
        elif found:
            found[-1].steps.append((name, re.sub(r"\s+", " ", text.strip())))
    return found


def allowed(ignore: Path) -> set[str]:
    """What a .dockerignore that begins with `*` lets through."""
    lines = [line for line in ignore.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "an allow-list"
    return {line[1:] for line in lines if line.startswith("!")}
