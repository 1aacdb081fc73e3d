"""The sandbox, with programs that try to get out of it."""

import asyncio
import os
import socket
import time

import pytest

from workers.sandbox import ProcessSandbox

BOX = ProcessSandbox(seconds=1, megabytes=256, characters=500)


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("print(6 * 7)", "42\n"),
        ("from math import gcd\nprint(gcd(48, 18))", "6\n"),
        ("from fractions import Fraction\nimport itertools, re, json\nprint(Fraction(1, 3) + Fraction(1, 6))", "1/2\n"),
        ("if __name__ == '__main__':\n    print('main')", "main\n"),
        ("open('notes', 'w').write('kept')\nprint(open('notes').read())", "kept\n"),
        ("print('\\u2211')", "\u2211\n"),
        ("", ""),
    ],
)
async def test_an_honest_program_runs(program, output):
    run = await BOX.run(program)
    assert (run.output, run.ending) == (output, "done")
    assert 0 < run.seconds < 2


@pytest.mark.parametrize(
    "program",
    [
        "syntax error(",
        "raise SystemExit(3)",
        "print(input())",
        "import os\nos.fork()",
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.run(['ls'])",
        "import os\nos.system('true')",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import ctypes\nctypes.CDLL(None).fork()",
        "import os\nos.kill(os.getppid(), 9)",
        "print(open('/etc/passwd').read())",
        "import os\nos.mkdir('/var/tmp/rheostat')",
        "import numpy",
    ],
)
async def test_what_is_not_allowed_ends_the_program(program):
    run = await BOX.run(program)
    assert (run.output, run.ending) == ("", "error")


async def test_a_loop_ends_in_time():
    started = time.monotonic()
    assert (await BOX.run("while True: pass")).ending == "time"
    assert (await BOX.run("import time\ntime.sleep(60)")).ending == "time"
    assert time.monotonic() - started < 5


async def test_memory_disk_and_output_are_limited():
    assert (await BOX.run("x = [0] * 10**9")).ending == "memory"
    assert (await BOX.run("open('big', 'wb').write(b'x' * 2**24)")).ending in ("error", "output")
    run = await BOX.run("while True: print('x' * 100)")
    assert (run.ending, len(run.output)) == ("output", 500)


@pytest.mark.parametrize(
    "way", ["open({path!r}, 'w').write('x')", "import os\nos.rename('own', {path!r})", "import os\nos.symlink({path!r}, 'link')\nopen('link', 'w')"]
)
async def test_nothing_is_written_outside_its_folder(way, tmp_path):
    tmp_path.chmod(0o777)
    target = tmp_path / "outside"
    run = await BOX.run(f"open('own', 'w').write('x')\n{way.format(path=str(target))}")
    assert run.ending == "error"
    assert not target.exists()


async def test_an_audit_hook_that_is_got_around_leaves_the_kernels_walls(tmp_path):
    """The hook lives in the program's own memory; what the kernel refuses does not."""
    tmp_path.chmod(0o777)
    program = (
        "import gc\n"
        "from types import FunctionType\n"
        "main = next(one for one in gc.get_objects() if isinstance(one, FunctionType) and one.__name__ == 'refuse')\n"
        "main.__code__ = (lambda event, arguments: None).__code__\n"
        f"try: open({str(tmp_path / 'out')!r}, 'w')\n"
        "except OSError: print('walled')\n"
        "import os\n"
        "try: os.fork()\n"
        "except OSError: print('alone')\n"
    )
    run = await BOX.run(program)
    assert (run.output, run.ending) == ("walled\nalone\n", "done")


async def test_the_network_is_not_there():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        run = await BOX.run(f"import socket\nsocket.create_connection(('127.0.0.1', {listener.getsockname()[1]}))")
        assert run.ending == "error"
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


async def test_cancelling_ends_the_process_and_its_folder_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    task = asyncio.create_task(BOX.run("while True: pass"))
    await asyncio.sleep(0.3)
    assert any(tmp_path.iterdir())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(tmp_path.iterdir())


async def test_many_run_side_by_side():
    runs = await asyncio.gather(*(BOX.run(f"print({number})") for number in range(20)))
    assert [run.output for run in runs] == [f"{number}\n" for number in range(20)]


async def test_nothing_of_our_environment_is_told(monkeypatch):
    monkeypatch.setitem(os.environ, "SECRET", "s3cret")
    run = await BOX.run("import os\nprint(os.environ.get('SECRET'), len(os.listdir('.')))")
    assert run.output == "None 0\n"
