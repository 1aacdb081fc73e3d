"""The sender: the process that calls, as whoever measures has it."""

import json
import subprocess
import sys

import psutil

from tests.load.subjects import Subject, cores


class Client:
    """The process that calls, on the core that is not the server's, or this one."""

    def __init__(self, core: int | None = None) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "tests.load.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = psutil.Process(self._process.pid)
        self.process.cpu_affinity([cores()[1] if core is None else core])

    def send(self, subject: Subject, **order: float) -> dict:
        """What came of one order, with the processor seconds that the server took for each call."""
        before = sum(subject.process.cpu_times()[:2])
        self.begin(subject, **order)
        found = self.end()
        spent = sum(subject.process.cpu_times()[:2]) - before
        return found | {"cpu_us": spent / max(1, found["calls"]) * 1e6, "busy": spent / found["seconds"]}

    def begin(self, subject: Subject, **order: float) -> None:
        """Have it send; what came of it is had from `end`."""
        about = {name: getattr(subject, name) for name in ("kind", "target", "method", "bodies")}
        self._process.stdin.write(json.dumps(about | order) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict:
        """What came of what was begun."""
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
