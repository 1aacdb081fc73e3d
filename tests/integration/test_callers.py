"""The client in the documentation, as it stands there, against a running service."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

CALLERS = (Path(__file__).parents[2] / "docs" / "callers.md").read_text()


async def test_the_client_in_the_documentation_gets_an_answer_and_its_price(running):
    (code,) = [one for one in re.findall(r"```python\n(.*?)```", CALLERS, re.DOTALL) if "rheostat.client" in one]
    code = code.replace("127.0.0.1:50051", running.address)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer, confidence, cost = done.stdout.split()
    assert answer.lstrip("-").isdigit()
    assert 0 < float(confidence) <= 1
    assert int(cost) > 0
