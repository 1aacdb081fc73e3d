"""What every encoder must keep to."""

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from predictors.encoders import encoders


@pytest.fixture(scope="module", params=tuple(encoders.describe()))
def encoder(request):
    return encoders.build(request.param)


@given(texts=st.lists(st.text(st.characters(), max_size=30), max_size=4))
@example(texts=["7" * 1_000_000, "\ud800", "apples"])
def test_any_texts_give_finite_rows_of_unit_length_in_order(encoder, texts):
    rows = encoder.encode(texts)
    assert rows.shape == (len(texts), encoder.dim)
    assert rows.dtype == np.float32
    lengths = np.linalg.norm(rows, axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))
    assert np.allclose(rows, encoder.encode(texts[::-1])[::-1], atol=1e-6)


def test_an_empty_text_gives_zeros_and_words_do_not(encoder):
    empty, words = encoder.encode(["", "two apples"])
    assert not empty.any()
    assert words.any()


def test_its_version_is_told(encoder):
    assert encoder.version
    assert encoder.version == type(encoder)().version


def test_a_long_text_takes_no_longer_than_a_page(encoder):
    started = time.monotonic()
    encoder.encode(["word " * 1_000_000])
    assert time.monotonic() - started < 0.5
