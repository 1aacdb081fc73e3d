"""What every encoder must keep to. A new encoder is added to BUILDERS."""

import time
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from predictors.encoders import encoders
from tests.predictors.embedder import DIM, Embedder, served


@contextmanager
def static(request):
    yield {}


@contextmanager
def minilm(request):
    yield {"path": str(request.getfixturevalue("minilm"))}


@contextmanager
def endpoint(request):
    with served(Embedder()) as url:
        yield {"url": url, "model": "m", "dim": DIM}


BUILDERS = {"static": static, "minilm": minilm, "endpoint": endpoint}


@pytest.fixture(scope="module", params=tuple(encoders.describe()))
def name_and_options(request):
    with BUILDERS[request.param](request) as options:
        yield request.param, options


@pytest.fixture(scope="module")
def encoder(name_and_options):
    return encoders.build(*name_and_options)


@given(texts=st.lists(st.text(st.characters(), max_size=30), max_size=4))  # lone surrogates too
@example(texts=["7" * 100_000, "\ud800", "apples"])
@example(texts=["e\u0301 \u0130 \u4e2d\u6587 \U0001f468\u200d\U0001f469\u200d\U0001f467 \x00\x1c\ufffd", "\u202e\u200b", "\U0010ffff" * 9])
def test_any_texts_give_rows_of_unit_length_in_order_whatever_their_company(encoder, texts):
    rows = encoder.encode(texts)
    assert rows.shape == (len(texts), encoder.dim)
    assert rows.dtype == np.float32
    lengths = np.linalg.norm(rows, axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))
    for text, row in zip(texts, rows, strict=True):
        assert np.allclose(row, encoder.encode([text])[0], atol=1e-6)


def test_an_empty_text_gives_zeros_and_words_do_not(encoder):
    empty, words = encoder.encode(["", "two apples"])
    assert not empty.any()
    assert words.any()


def test_its_version_is_told(encoder, name_and_options):
    assert encoder.version
    assert encoder.version == encoders.build(*name_and_options).version


def test_another_of_the_same_version_gives_the_same(encoder, name_and_options):
    assert np.array_equal(encoder.encode(["two apples"]), encoders.build(*name_and_options).encode(["two apples"]))


def test_one_that_says_it_is_quick_is(encoder):
    taken = []
    for _ in range(20):
        started = time.perf_counter()
        encoder.encode(["Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?"])
        taken.append(time.perf_counter() - started)
    assert not encoder.quick or min(taken) < 0.001


def test_a_long_text_takes_no_longer_than_a_page(encoder):
    started = time.monotonic()
    encoder.encode(["word " * 1_000_000])
    assert time.monotonic() - started < 0.5
