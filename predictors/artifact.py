"""A fitted predictor on disk: plain numpy arrays and a JSON manifest, no pickle; checked as a whole before it may serve."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.errors import BadArtifact

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What `save` writes and `load` reads; `version` is a digest of all the rest."""

    kind: str
    version: str
    plans: tuple[str, ...]
    feature_version: str
    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, object]  # how it was fitted: rows, dates, held-out figures


def save(
    directory: Path,
    *,
    kind: str,
    plans: tuple[str, ...],
    feature_version: str,
    arrays: Mapping[str, NDArray[Any]],
    facts: Mapping[str, object],
) -> str:
    """Write an artifact so that a reader sees the old one or the new one, never half of each; returns its version."""
    directory.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    described = {"format": FORMAT, "kind": kind, "plans": plans, "feature_version": feature_version, "facts": facts}
    digest = _digest(packed.getvalue(), described)
    path = _arrays(directory, digest)
    _replace(path, packed.getvalue())
    _replace(directory / MANIFEST, json.dumps({**described, "digest": digest}, indent=2).encode() + b"\n")
    for old in directory.glob("arrays-*"):
        if old != path:
            old.unlink()
    return _version(digest)


def load(directory: Path, *, kind: str) -> Artifact:
    """Read and verify; BadArtifact says what is wrong with it."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        digest = manifest.pop("digest")
        packed = _arrays(directory, digest).read_bytes()
        if _digest(packed, manifest) != digest:
            raise BadArtifact(f"{directory} holds arrays and a manifest that do not belong together", path=directory)
        if manifest["format"] != FORMAT or manifest["kind"] != kind:
            found = f"{manifest['kind']!r} of format {manifest['format']}"
            raise BadArtifact(f"{directory} holds a {found}, wanted {kind!r} of format {FORMAT}: run `rheostat retrain` again")
        with np.load(io.BytesIO(packed), allow_pickle=False) as saved:
            arrays = dict(saved)
        if any(not np.isfinite(array).all() for array in arrays.values()):
            raise BadArtifact(f"{directory} holds numbers that are not finite", path=directory)
        return Artifact(
            kind=kind,
            version=_version(digest),
            plans=tuple(manifest["plans"]),
            feature_version=manifest["feature_version"],
            arrays=arrays,
            facts=manifest["facts"],
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadArtifact(f"{directory} holds no readable predictor ({error}); run `rheostat retrain` again", path=directory) from error


def changed(directory: Path, version: str) -> bool:
    """Whether the manifest on disk names another version; quick enough to ask every few seconds."""
    try:
        return _version(json.loads((directory / MANIFEST).read_bytes())["digest"]) != version
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _digest(packed: bytes, described: Mapping[str, object]) -> str:
    """Of arrays and manifest together, so that damage to either shows."""
    return hashlib.blake2b(packed + json.dumps(described, sort_keys=True).encode(), digest_size=16).hexdigest()


def _version(digest: str) -> str:
    return digest[:12]


def _arrays(directory: Path, digest: str) -> Path:
    return directory / f"arrays-{_version(digest)}.npz"


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
