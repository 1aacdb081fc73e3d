"""The process in which questions are answered does not outlive its router."""

import subprocess
import sys
import time

import psutil
import pytest

HOLDS = """
import sys, time
from router.evaluation.desk import Desk
from router.settings import Settings

if __name__ == "__main__":
    desk = Desk(Settings())
    desk._process().submit(int).result()
    time.sleep(1.0)  # until the next one waits, and this one has ended
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    time.sleep(60)
"""


@pytest.mark.timeout(60)
def test_it_ends_with_a_router_that_is_killed(tmp_path) -> None:
    script = tmp_path / "holds.py"
    script.write_text(HOLDS)
    router = psutil.Popen([sys.executable, script], stdout=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)})
    assert router.stdout.readline() == b"ready\n"
    while not (children := [one for one in router.children() if "spawn_main" in " ".join(one.cmdline())]):
        time.sleep(0.05)
    router.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    for one in alive:
        one.kill()
    assert alive == []
    router.wait()
    router.stdout.close()
