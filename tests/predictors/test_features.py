"""A query as numbers: finite whatever the text, and about the whole query."""

import asyncio
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from predictors.encoders.static import Static
from predictors.features import Featurizer
from router.types import Message, Query


@pytest.fixture(scope="module")
def featurizer():
    return Featurizer(Static())


def asked(text, *before):
    return Query(id="q", messages=(*before, Message(content=text)))


def described(featurizer, query):
    return asyncio.run(featurizer.describe(query))


def named(features):
    return dict(zip(features.names, features.vector.tolist(), strict=True))


@given(st.text(st.characters(), max_size=200))  # lone surrogates too
@example("7" * 1_000_000)
@example("\ud800\udfff" * 10)
@example("(" * 100_000)
@example("\u0661\u0662 \u00b2 \u2460")
@example("")
def test_any_text_gives_finite_numbers(featurizer, text):
    features = described(featurizer, asked(text))
    assert features.vector.shape == (len(features.names),)
    assert features.vector.dtype == np.float32
    assert np.isfinite(features.vector).all()
    assert np.abs(features.vector).max() < 20


def test_a_query_without_messages_is_described(featurizer):
    assert np.isfinite(described(featurizer, Query(id="q", messages=())).vector).all()


def test_the_first_column_is_the_constant_one(featurizer):
    assert featurizer.names[0] == "bias"
    assert described(featurizer, asked("?")).vector[0] == described(featurizer, asked("")).vector[0] == 1.0


def test_what_is_counted(featurizer):
    found = named(described(featurizer, asked("Calculate ((3 + 45) - 2) * 7 + 1, please?")))
    assert np.expm1(found["plus"]) == pytest.approx(2)
    assert np.expm1(found["minus"]) == pytest.approx(1)
    assert np.expm1(found["times"]) == pytest.approx(1)
    assert np.expm1(found["brackets"]) == pytest.approx(2)
    assert np.expm1(found["depth"]) == pytest.approx(2)
    assert np.expm1(found["numbers"] * 2) == pytest.approx(5, rel=1e-5)
    assert np.expm1(found["longest_number"]) == pytest.approx(2)
    assert np.expm1(found["largest_number"] * 5) == pytest.approx(45, rel=1e-5)
    assert found["question_mark"] == 1.0


def test_the_same_text_after_other_turns_is_another_query(featurizer):
    alone = named(described(featurizer, asked("And now?")))
    later = named(described(featurizer, asked("And now?", Message(role="system", content="Be brief."), Message(content="Hello."))))
    assert (alone["turns"], alone["system"]) == (0.0, 0.0)
    assert later["turns"] > 0
    assert later["system"] == 1.0


def test_the_version_names_the_encoder(featurizer):
    assert featurizer.encoder.version in featurizer.version
    assert described(featurizer, asked("x")).version == featurizer.version


@dataclass
class Slow:
    """An encoder whose vector is the length of the text, given by whatever thread it runs in."""

    dim: int = 2
    version: str = "slow-1"
    quick: bool = False
    threads: list = field(default_factory=list)

    def encode(self, texts):
        self.threads.append(threading.get_ident())
        return np.array([[len(text), 1.0] for text in texts], np.float32)


@pytest.mark.parametrize("quick", [True, False])
def test_only_an_encoder_that_is_not_quick_works_in_a_thread(quick):
    encoder = Slow(quick=quick)
    assert described(Featurizer(encoder), asked("four")).vector[-2:].tolist() == [4.0, 1.0]
    assert (encoder.threads == [threading.get_ident()]) is quick


def test_a_second_encoders_vector_stands_behind_the_first(featurizer):
    both = Featurizer(featurizer.encoder, Slow())
    one, two = described(featurizer, asked("four")), described(both, asked("four"))
    assert two.vector.tolist() == [*one.vector.tolist(), 4.0, 1.0]
    assert two.names[: len(one.names)] == one.names
    assert len(set(two.names)) == len(two.vector)
    assert two.version == f"{one.version}+slow-1"
