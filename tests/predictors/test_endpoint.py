"""Embeddings from a server over a real socket, and servers that fail."""

import gc

import numpy as np
import pytest

from predictors.encoders import encoders
from router.errors import BackendUnavailable
from tests.predictors.embedder import DIM, Embedder, served


@pytest.fixture
def embedder():
    return Embedder()


@pytest.fixture
def url(embedder):
    with served(embedder) as url:
        yield url
    gc.collect()  # the client closes its connections when it goes


def built(url, **options):
    return encoders.build("endpoint", {"url": url, "model": "m", "dim": DIM, **options})


def test_vectors_come_in_order_from_batches(url, embedder):
    encoder = built(url, batch=2)
    texts = [f"text {index}" for index in range(5)]
    rows = encoder.encode(texts)
    assert [order["input"] for order in embedder.orders] == [texts[:2], texts[2:4], texts[4:]]
    assert {(order["path"], order["model"]) for order in embedder.orders} == {("/v1/embeddings", "m")}
    assert np.array_equal(rows, [encoder.encode([text])[0] for text in texts])


def test_a_vector_is_made_unit_length(url, embedder):
    embedder.reply = {"data": [{"index": 0, "embedding": [0, 3, 0, 0, -4, 0, 0, 0]}]}
    assert built(url).encode(["x"])[0] == pytest.approx([0, 0.6, 0, 0, -0.8, 0, 0, 0])


def test_blank_texts_are_not_sent_and_long_ones_are_cut(url, embedder):
    rows = built(url, characters=5).encode(["", "apples and pears", " \n\t"])
    assert [order["input"] for order in embedder.orders] == [["apple"]]
    assert [bool(row.any()) for row in rows] == [False, True, False]


def test_the_key_is_sent(url, embedder, monkeypatch):
    monkeypatch.setenv("EMBEDDING_KEY", "k3y")
    built(url, api_key_env="EMBEDDING_KEY").encode(["x"])
    assert embedder.orders[0]["authorization"] == "Bearer k3y"


def rows(*embeddings):
    return {"data": [{"index": place, "embedding": embedding} for place, embedding in enumerate(embeddings)]}


ONE = [1.0] + [0.0] * (DIM - 1)
NONSENSE = {
    "too few": rows(ONE),
    "too narrow": rows(ONE[:-1], ONE[:-1]),
    "ragged": rows(ONE, ONE[:-1]),
    "NaN": rows(ONE, [float("nan"), *ONE[1:]]),
    "infinite": rows(ONE, [float("inf"), *ONE[1:]]),
    "overflowing": rows(ONE, [1e300] * DIM),
    "no direction": rows(ONE, [0.0] * DIM),
    "null": rows(ONE, None),
    "words": rows(ONE, ["high"] * DIM),
    "a number": rows(ONE, 7),
    "one place twice": {"data": [{"index": 0, "embedding": ONE}] * 2},
    "no places": {"data": [{"embedding": ONE}] * 2},
    "a text": {"data": "vectors"},
    "empty": {},
    "a list": [],
    "a plain number": 7,
    "a wild place": {"data": [{"index": float("inf"), "embedding": ONE}]},
}


@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE)
def test_vectors_that_are_none_are_the_servers_fault(url, embedder, reply):
    embedder.reply = reply
    with pytest.raises(BackendUnavailable, match="no vectors that can be read"):
        built(url).encode(["a", "b"])


def test_a_refusal_and_a_server_that_is_gone_are_told(url, embedder):
    embedder.status = 503
    with pytest.raises(BackendUnavailable, match="503"):
        built(url).encode(["a"])
    with pytest.raises(BackendUnavailable):
        built("http://127.0.0.1:1/v1").encode(["a"])


def test_another_model_or_width_is_another_version(url):
    versions = {built(url).version, built(url, model="n").version, built(url, dim=9).version}
    assert len(versions) == 3
