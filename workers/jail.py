"""Where a program that nobody has read runs: `python -I jail.py FOLDER SECONDS MEGABYTES`, the program on standard input. See `sandbox`.

Layers, each for what the others let through: resource limits; no rights, no network and no view beyond what Python needs (user, namespaces and
Landlock, where the kernel has them); and inside Python an audit hook that refuses what the system may not.
"""

import ctypes
import importlib
import os
import resource
import sys

FOLDER, SECONDS, MEGABYTES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
OUT_OF_MEMORY = 77
NOBODY = 65534
_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_NO_NEW_PRIVS = 38
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the Landlock system calls, the same on every architecture
_READ = 0b1100  # read a file, read a directory
_ALL = 0b1111111111111  # all that Landlock's first version handles

MODULES = (
    "math", "cmath", "fractions", "decimal", "itertools", "functools", "collections", "operator", "re", "string", "json", "random", "statistics",
    "datetime", "calendar", "heapq", "bisect", "copy", "textwrap", "typing", "dataclasses", "enum", "abc", "numbers", "array", "queue", "time",
)  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)


class Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (("handled", ctypes.c_uint64),)


class Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def limit() -> None:
    """No more time, memory, processes or disk than allowed."""
    for what, most in (
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, MEGABYTES << 20),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))


def leave() -> None:
    """Away from the network and, as far as the kernel lets, from the rights of whoever started this."""
    root = os.getuid() == 0
    libc.unshare(_NEWNET if root else _NEWUSER | _NEWNET)
    if root:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


def wall() -> None:
    """See only what Python needs, write only in the folder; nothing where the kernel has no Landlock."""
    rules = Ruleset(_ALL)
    handle = libc.syscall(_CREATE, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if handle < 0:
        return
    for path, allowed in ((sys.base_prefix, _READ), (sys.prefix, _READ), ("/usr/lib", _READ), ("/lib", _READ), ("/lib64", _READ), (FOLDER, _ALL)):
        if os.path.isdir(path):
            rule = Beneath(allowed, os.open(path, os.O_PATH))
            libc.syscall(_ADD, handle, 1, ctypes.byref(rule), 0)
    libc.syscall(_RESTRICT, handle, 0)


_NEVER = (
    "os.fork",
    "os.forkpty",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.kill",
    "os.setuid",
    "subprocess.",
    "socket.",
    "ctypes.",
    "pty.",
    "signal.pthread_kill",
)
_PLACES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime", "shutil.")


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """The audit hook."""
    if event.startswith(_NEVER):
        raise PermissionError(f"{event} is not allowed here")
    writes = event == "open" and (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    if (writes or event.startswith(_PLACES)) and not all(inside(one) for one in arguments if isinstance(one, str | bytes) and "/" in str(one)):
        raise PermissionError(f"{event}: only within the folder")


def inside(path: str | bytes) -> bool:
    """Whether a path is within the folder."""
    return os.path.realpath(os.fsdecode(path)).startswith(f"{FOLDER}{os.sep}")


def main() -> None:
    """Read the program, fetch what it will import, shut the door, run it."""
    source = sys.stdin.read()
    for name in MODULES:  # Python's own files may be out of sight afterwards
        if name in source:
            importlib.import_module(name)
    os.chdir(FOLDER)
    limit()
    leave()
    wall()
    sys.argv = ["program"]
    sys.addaudithook(refuse)
    try:
        exec(compile(source, "program", "exec"), {"__name__": "__main__"})  # noqa: S102 - that is what this file is for
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
