"""The exported MiniLM against the model it was made from, and folders that do not hold one."""

import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from predictors.encoders.minilm import MiniLM
from predictors.training.distill import source
from predictors.training.export import VARIED
from router.errors import BadArtifact

TEXTS = (
    *VARIED,
    "snake_case __init__ a\x00b na\u00efve caf\u00e9 e\u0301 \u0130stanbul",
    "3 \u00d7 4 = 12 \u20ac, \u00b2 \u2460, \U0001f600",
    "x" * 100 + " " + "x" * 101,
    "",
)


@pytest.fixture(scope="module")
def encoder(minilm):
    return MiniLM(path=str(minilm))


@pytest.fixture(scope="module")
def reference(minilm):
    """Piece ids and the unit vector of a text, by transformers and torch."""
    tokenizer, model = AutoTokenizer.from_pretrained(source()), AutoModel.from_pretrained(source()).eval()

    def encode(text):
        ids = tokenizer(text, truncation=True, max_length=256, return_tensors="pt").input_ids
        with torch.inference_mode():
            mean = model(ids).last_hidden_state[0].mean(0)
        return ids[0].tolist(), (mean / mean.norm()).numpy()

    return encode


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_pieces_are_the_models_own(encoder, reference, text):
    assert encoder._tokenizer.encode(text).ids == reference(text)[0]


def test_vectors_point_where_the_models_do(encoder, reference):
    cosines = [float(encoder.encode([text])[0] @ reference(text)[1]) for text in TEXTS if text]
    assert min(cosines) > 0.93  # eight bits; .957 was measured
    assert np.mean(cosines) > 0.98


def test_what_means_the_same_lies_near(encoder):
    cat, kitten, tax = encoder.encode(["The cat sat on the mat.", "A kitten is lying on the rug.", "The tax return is due in April."])
    assert cat @ kitten > cat @ tax + 0.4


def test_only_the_beginning_of_a_long_text_is_read(encoder):
    start = "apples and pears " * 90  # 270 pieces
    assert np.array_equal(*encoder.encode([start + "alpha", start + "omega"]))


def test_a_missing_folder_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(BadArtifact, match="make minilm"):
        MiniLM(path=str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "version"])
def test_a_damaged_or_missing_file_is_refused(minilm, tmp_path, name):
    folder = tmp_path / "minilm"
    shutil.copytree(minilm, folder)
    whole = (folder / name).read_bytes()
    place = len(whole) // 2
    for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], b""):
        (folder / name).write_bytes(content)
        with pytest.raises(BadArtifact, match="make minilm"):
            MiniLM(path=str(folder))
    (folder / name).unlink()
    with pytest.raises(BadArtifact, match="make minilm"):
        MiniLM(path=str(folder))
