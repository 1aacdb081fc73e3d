"""A query as numbers: finite whatever the text, and about the whole query."""

import asyncio
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from predictors.encoders.static import Static
from predictors.features import Featurizer, describe_all
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


async def test_texts_are_described_by_code_that_does_not_await_whatever_loop_runs(featurizer):
    texts = ["Add 1.", "Add 1.", "Add 2."]
    alone = [await featurizer.describe(asked(text)) for text in texts]
    assert all((one.vector == other.vector).all() for one, other in zip(describe_all(featurizer, texts), alone, strict=True))


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


def found(featurizer, text, *before):
    return named(described(featurizer, asked(text, *before)))


def test_operators_and_mathematical_writing_are_counted(featurizer):
    told = found(featurizer, "If $x^2 = 4$ and $y^3 = 8$, is x < y or x \u2265 y, in \\mathbb{R}? A third of 60 % is 20 %.")
    counts = {name: round(float(np.expm1(told[name]))) for name in ("power", "equals", "less", "greater", "percent", "dollars")}
    assert counts == {"power": 2, "equals": 2, "less": 1, "greater": 1, "percent": 2, "dollars": 4}
    assert np.expm1(told["latex"] * 2) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("What is a prime?", "what"),
        ("How much is left?", "how_many"),
        ("Which of these?", "which"),
        ("Why is it so?", "why"),
        ("Who was it?", "who_or_where"),
        ("True or false: 7 < 8.", "true_or_false"),
        ("Show that it converges.", "prove"),
        ("Calculate 3 + 4.", "calculate"),
        ("Solve for x.", "solve"),
        ("Implement a queue.", "write"),
    ],
)
def test_the_form_of_a_question_is_told(featurizer, text, form):
    told = found(featurizer, text)
    assert [name for name in told if name.startswith("asks_") and told[name]] == [f"asks_{form}"]


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("Which?\nA) 21\nB) 23\nC) 25\nD) 27", 4),
        ("Which? (A) yes (B) no", 2),
        ("Which?\nA. a\nB. b\nC. c", 3),
        ("A: one B: two", 2),
        ("Given P(A) and P(B), find P(A and B).", 0),
        ("B) alone", 0),
        ("", 0),
    ],
)
def test_choices_are_counted(featurizer, text, choices):
    assert np.expm1(found(featurizer, text)["choices"]) == pytest.approx(choices)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("plain", {"ascii": 1.0}),
        ("na\u00efve caf\u00e9", {"ascii": 0.8, "latin": 0.2}),
        ("\u043f\u0440\u0438\u0432\u0435\u0442 ok", {"cyrillic": 6 / 9, "ascii": 3 / 9}),
        ("\u4e2d\u6587\u304b\ud55c", {"east_asian": 1.0}),
        ("\u0645\u0631\u062d\u0628\u0627", {"arabic": 1.0}),
        ("\u03b1\ud800", {}),
    ],
)
def test_scripts_are_told_by_their_shares(featurizer, text, shares):
    told = found(featurizer, text)
    scripts = {name: told[name] for name in ("ascii", "latin", "cyrillic", "arabic", "east_asian")}
    assert scripts == pytest.approx(dict.fromkeys(scripts, 0.0) | shares)


def test_the_length_of_the_whole_conversation_is_told(featurizer):
    told = found(featurizer, "Now?", Message(role="system", content="Be brief."), Message(content="Hello."))
    assert np.expm1(told["system_characters"] * 5) == pytest.approx(9, rel=1e-4)
    assert np.expm1(told["all_characters"] * 5) == pytest.approx(19, rel=1e-4)
