"""A static embedding distilled from MiniLM-L6: one row per word piece, averaged; numpy at run time.

Made by `predictors.training.distill` in the manner of model2vec (MinishLab, 2024): every piece is passed through the sentence encoder by itself, the
rows are reduced by PCA and weighted down by how common they are.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from predictors.encoders import LIMIT, encoders
from predictors.encoders.wordpiece import WordPiece
from router.errors import BadArtifact
from router.types import Vector

BUNDLED = Path(__file__).parent / "static.npz"


@encoders.register("static")
@dataclass(frozen=True, slots=True)
class Static:
    """Mean of fixed word-piece rows, made unit length; reads the first 4,000 characters."""

    path: str = str(BUNDLED)
    _rows: Vector = field(init=False, repr=False)
    _pieces: WordPiece = field(init=False, repr=False)
    _version: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            with np.load(io.BytesIO(Path(self.path).read_bytes()), allow_pickle=False) as saved:  # numpy leaves a damaged file open
                rows, version = saved["rows"].astype(np.float32), str(saved["version"])
                vocabulary = bytes(saved["vocabulary"]).decode().split("\n")
            if rows.ndim != 2 or len(rows) != len(vocabulary) or not np.isfinite(rows).all():
                raise ValueError(f"rows of shape {rows.shape} for {len(vocabulary)} pieces")
        except Exception as error:  # a damaged file makes numpy and zipfile raise a dozen kinds
            raise BadArtifact(f"{self.path} is not a static embedding ({error}); make one with `make probe`", path=self.path) from error
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_pieces", WordPiece(vocabulary))
        object.__setattr__(self, "_version", version)

    @property
    def dim(self) -> int:
        """Width of a row."""
        return int(self._rows.shape[1])

    @property
    def version(self) -> str:
        """Digest of the rows."""
        return self._version

    @property
    def quick(self) -> bool:
        """Yes: a tenth of a millisecond."""
        return True

    def encode(self, texts: Sequence[str]) -> Vector:
        """Unit vectors, (texts, dim); zeros where nothing was recognised."""
        out = np.zeros((len(texts), self.dim), np.float32)
        for index, text in enumerate(texts):
            pieces = self._pieces.encode(text[:LIMIT])
            if pieces:
                total = np.add.reduce(self._rows.take(pieces, axis=0))
                norm = math.sqrt(total @ total)
                out[index] = total / norm if norm else total
        return out
