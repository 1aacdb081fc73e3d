"""Where Parquet files are: folders of this machine, and, behind fsspec, object storage such as `s3://bucket/prefix`."""

import glob
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from router.errors import InvalidQuery, LogUnavailable

File = Path | str  # a string is the address of an object
T = TypeVar("T")


def parquet_files(source: File) -> list[File]:
    """The Parquet files of a folder tree, a file or a glob, here or at an address, in order of their names.

    InvalidQuery where there are none, or nothing that is installed knows such addresses; LogUnavailable where the storage does not answer.
    """
    if is_address(source):
        return [*_some(_objects(source), source)]
    return [*local_files(Path(source))]


def local_files(source: Path) -> list[Path]:
    """The same, of this machine."""
    if source.is_dir():
        found = sorted(path for path in source.rglob("*.parquet") if not path.name.startswith("."))
    else:
        found = [source] if source.is_file() else sorted(map(Path, glob.glob(str(source), recursive=True)))  # noqa: PTH207 - a pattern may be absolute
    return _some(found, source)


def is_address(source: File) -> bool:
    """Whether it is somewhere else."""
    return isinstance(source, str) and "://" in source


def fingerprint(file: File) -> bytes:
    """What changes where the file does: a digest of what is in it, or what its storage keeps for that."""
    if is_address(file):
        with answering(file):
            return str(_storage(str(file)).ukey(str(file))).encode()
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "blake2b").digest()


def mount(database: duckdb.DuckDBPyConnection, files: Iterable[File]) -> None:
    """Have DuckDB read these files where they are."""
    for protocol, file in {str(file).partition("://")[0]: str(file) for file in files if is_address(file)}.items():
        if protocol not in database.list_filesystems():
            database.register_filesystem(_storage(file))


@contextmanager
def answering(source: File) -> Iterator[None]:
    """Turns whatever a storage's client raises into LogUnavailable."""
    try:
        yield
    except InvalidQuery:
        raise
    except Exception as error:  # each storage has errors of its own, and fsspec lets them through
        raise LogUnavailable(f"{source} cannot be read: {error or type(error).__name__}", source=source) from error


def failure(error: duckdb.Error, told: str) -> InvalidQuery | LogUnavailable:
    """What went wrong in DuckDB: in a storage, whose error it passes on as Python has it; else in the log, about which `told` says more."""
    text = str(error)
    if text.startswith("Traceback"):
        why = [line for line in text.partition("\n\n")[0].split("\n") if not line.startswith(" ")][-1]
        return LogUnavailable(f"the log cannot be read from where it is kept: {why}; nothing was written, and the same command goes on")
    first = text.split("\n", maxsplit=1)[0]
    return InvalidQuery(f"{told}: {first}")


def _some(found: list[T], source: File) -> list[T]:
    if not found:
        raise InvalidQuery(f"{source} holds no Parquet file: there is no log to learn from yet", source=source)
    return found


def _objects(source: File) -> list[str]:
    address, pattern = str(source), glob.has_magic(str(source))
    storage = _storage(address)
    if address.endswith(".parquet") and not pattern:
        return [address]  # whether it is there is seen when it is read
    with answering(source):
        storage.invalidate_cache()
        found = storage.glob(address) if pattern else storage.find(address)
        names = sorted(one for one in found if one.endswith(".parquet") and not one.rpartition("/")[2].startswith("."))
        return [str(storage.unstrip_protocol(one)) for one in names]


def _storage(address: str) -> Any:  # noqa: ANN401 - fsspec has no types
    import fsspec  # noqa: PLC0415 - not needed for files of this machine

    try:
        return fsspec.url_to_fs(address)[0]
    except ImportError as error:
        raise InvalidQuery(f"{address}: {error}; for s3:// that is pip install 'rheostat[storage]'") from error
    except ValueError as error:
        raise InvalidQuery(f"{address}: {error}") from error
