"""A query as numbers: finite whatever the text, and about the whole query."""

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


def named(features):
    return dict(zip(features.names, features.vector.tolist(), strict=True))


@given(st.text(st.characters(), max_size=200))  # lone surrogates too
@example("7" * 1_000_000)
@example("\ud800\udfff" * 10)
@example("(" * 100_000)
@example("\u0661\u0662 \u00b2 \u2460")
@example("")
def test_any_text_gives_finite_numbers(featurizer, text):
    features = featurizer.describe(asked(text))
    assert features.vector.shape == (len(features.names),)
    assert features.vector.dtype == np.float32
    assert np.isfinite(features.vector).all()
    assert np.abs(features.vector).max() < 20


def test_a_query_without_messages_is_described(featurizer):
    assert np.isfinite(featurizer.describe(Query(id="q", messages=())).vector).all()


def test_the_first_column_is_the_constant_one(featurizer):
    assert featurizer.names[0] == "bias"
    assert featurizer.describe(asked("?")).vector[0] == featurizer.describe(asked("")).vector[0] == 1.0


def test_what_is_counted(featurizer):
    found = named(featurizer.describe(asked("Calculate ((3 + 45) - 2) * 7 + 1, please?")))
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
    alone = named(featurizer.describe(asked("And now?")))
    later = named(featurizer.describe(asked("And now?", Message(role="system", content="Be brief."), Message(content="Hello."))))
    assert (alone["turns"], alone["system"]) == (0.0, 0.0)
    assert later["turns"] > 0
    assert later["system"] == 1.0


def test_the_version_names_the_encoder(featurizer):
    assert featurizer.encoder.version in featurizer.version
    assert featurizer.describe(asked("x")).version == featurizer.version
