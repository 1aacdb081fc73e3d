"""Models: what stands behind the pools, so that answers of other models are not given for theirs."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from router.settings import PoolSettings

_HEAD = 2**20  # bytes of a file that tell it from others, with its length


def models_behind(pools: Mapping[str, PoolSettings]) -> str:
    """A digest of all that pools are configured to be, and of the beginning of every file of a model that lies on disk; blocks."""
    digest = blake2b(digest_size=16)
    for name, pool in sorted(pools.items()):
        digest.update(f"{name} {pool.model_dump_json(exclude={'joules_per_token'})}".encode())
        folder = pool.backend.options.get("directory")
        for file in sorted(Path(str(folder)).iterdir()) if folder and Path(str(folder)).is_dir() else ():
            digest.update(f"{file.name} {file.stat().st_size}".encode())
            if file.is_file():
                with file.open("rb") as opened:
                    digest.update(opened.read(_HEAD))
    return digest.hexdigest()
