"""The bundled static embedding, and files that are not one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.encoders.static import BUNDLED, Static
from router.errors import BadArtifact


@pytest.fixture(scope="module")
def encoder():
    return Static()


@given(st.lists(st.text(max_size=40), max_size=5))
def test_rows_are_unit_or_zero_and_do_not_depend_on_company(encoder, texts):
    rows = encoder.encode(texts)
    assert rows.shape == (len(texts), encoder.dim)
    assert rows.dtype == np.float32
    for text, row in zip(texts, rows, strict=True):
        norm = np.linalg.norm(row)
        assert norm == pytest.approx(1.0, abs=1e-5) or norm == 0.0
        assert np.array_equal(row, encoder.encode([text])[0])


def test_what_means_the_same_lies_near(encoder):
    cat, kitten, tax = encoder.encode(["The cat sat on the mat.", "A kitten is lying on the rug.", "The tax return is due in April."])
    assert cat @ kitten > cat @ tax + 0.1


def test_only_the_beginning_of_a_long_text_is_read(encoder):
    start = "apples and pears " * 400
    assert np.array_equal(*encoder.encode([start + "alpha", start + "omega"]))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "static.npz"
    rows = np.eye(3, dtype=np.float16)
    np.savez_compressed(path, rows=rows, vocabulary=np.frombuffer(b"a\nb\nc", np.uint8), version="tiny")
    return path


def test_a_file_of_ones_own(saved):
    tiny = Static(path=str(saved))
    assert (tiny.dim, tiny.version) == (3, "tiny")
    assert tiny.encode(["b"]).tolist() == [[0, 1, 0]]
    assert tiny.encode(["a b"])[0] == pytest.approx([0.5**0.5, 0.5**0.5, 0])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nonsense", b"\x80\x04N."], ids=["empty", "half", "nonsense", "pickle"])
def test_a_file_that_is_no_embedding_is_refused(tmp_path, content):
    path = tmp_path / "static.npz"
    path.write_bytes(content)
    with pytest.raises(BadArtifact, match="not a static embedding"):
        Static(path=str(path))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadArtifact):
        Static(path=str(tmp_path / "none.npz"))


def test_a_cut_file_is_refused(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), 37):
        saved.write_bytes(whole[:length])
        with pytest.raises(BadArtifact):
            Static(path=str(saved))


def test_no_damage_leads_to_anything_but_a_refusal(saved):
    whole = saved.read_bytes()
    refused = 0
    places = range(0, len(whole), 3)
    for place in places:
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert np.isfinite(Static(path=str(saved)).encode(["a b c"])).all()
        except BadArtifact:
            refused += 1
    assert refused > len(places) / 2  # dates and the like in a zip file do not matter


@pytest.mark.parametrize(
    "changes",
    [{"rows": np.eye(2)}, {"rows": np.full((3, 3), np.nan)}, {"rows": np.zeros(3)}, {"vocabulary": np.array([255], np.uint8)}],
    ids=["fewer rows", "NaN", "one axis", "not UTF-8"],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changes):
    path = tmp_path / "static.npz"
    np.savez(path, **{"rows": np.eye(3), "vocabulary": np.frombuffer(b"a\nb\nc", np.uint8), "version": "x"} | changes)
    with pytest.raises(BadArtifact):
        Static(path=str(path))


def test_the_bundled_one_is_small():
    assert BUNDLED.stat().st_size < 10 * 2**20
