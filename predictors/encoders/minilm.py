"""all-MiniLM-L6-v2, a sentence encoder of six layers (Wang et al. 2020, arXiv 2002.10957), in eight bits, run by onnxruntime on one core.

A sentence is the mean of the last layer over its pieces, as in Sentence-BERT (Reimers and Gurevych 2019, arXiv 1908.10084, section 3).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from predictors.encoders import encoders, readable
from router.errors import BadArtifact
from router.types import Vector

FOLDER = Path("rheostat-models", "minilm")
MODEL, TOKENIZER, VERSION = "model.onnx", "tokenizer.json", "version"
DIM = 384
PIECES = 256  # word pieces read, the two that open and close every text among them


@encoders.register("minilm")
@dataclass(frozen=True, slots=True)
class MiniLM:
    """A folder that `make minilm` wrote; reads the first 256 word pieces.

    Texts are run one by one. In eight bits the numbers of a batch share a scale, so that a row would depend on its company; and one core is hardly
    quicker with a batch: by 4 % at 60 pieces.
    """

    path: str = str(FOLDER)
    _session: Any = field(init=False, repr=False)
    _tokenizer: Any = field(init=False, repr=False)
    _version: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import onnxruntime  # noqa: PLC0415 - heavy, and of an extra
        import tokenizers  # noqa: PLC0415 - of an extra

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        folder = Path(self.path)
        try:
            model, pieces = (folder / MODEL).read_bytes(), (folder / TOKENIZER).read_bytes()
            version = (folder / VERSION).read_text()
            if version_of(model, pieces) != version:
                raise ValueError("its files do not belong together")
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            tokenizer = tokenizers.Tokenizer.from_buffer(pieces)
        except (OSError, ValueError) as error:
            raise BadArtifact(f"{folder} holds no MiniLM ({error}); make one with `make minilm`", path=folder) from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(PIECES)
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_tokenizer", tokenizer)
        object.__setattr__(self, "_version", version)

    @property
    def dim(self) -> int:
        """Width of the model."""
        return DIM

    @property
    def version(self) -> str:
        """Digest of the model and its word pieces."""
        return self._version

    @property
    def quick(self) -> bool:
        """No: milliseconds."""
        return False

    def encode(self, texts: Sequence[str]) -> Vector:
        """Unit vectors, (texts, 384); zeros where there is nothing to read."""
        out = np.zeros((len(texts), DIM), np.float32)
        for place, text in enumerate(texts):
            ids = self._tokenizer.encode(readable(text)).ids
            if len(ids) > 2:
                out[place] = self._session.run(None, {"ids": np.array([ids])})[0]
        return out


def version_of(model: bytes, pieces: bytes) -> str:
    """What the folder's `version` must hold, so that damage to either file shows."""
    return "minilm-int8-" + hashlib.blake2b(model + pieces, digest_size=6).hexdigest()
