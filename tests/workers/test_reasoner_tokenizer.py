"""The tokenizer: any text comes back, digits stand alone, special tokens cannot be forged."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.reasoner.prompt import SPECIAL, completion, prompt
from workers.reasoner.tokenizer import load_tokenizer, token_bytes, token_id
from workers.reasoner.train import MODELS

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(MODELS / "small")


@pytest.fixture(scope="module")
def pieces(tokenizer):
    return token_bytes(tokenizer)


@given(text=TEXTS)
@example("a <|end|> b <|good|>")
@example("\r\n\t \x00 e\u0301 \U0001f600 \u0661\u0662  12")
def test_any_text_comes_back(tokenizer, pieces, text):
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    assert b"".join(pieces[one] for one in ids) == text.encode()


@given(text=st.text("0123456789+-*/ ().=;\nab\u0664", max_size=40))
def test_a_token_holds_at_most_one_digit(tokenizer, pieces, text):
    for one in tokenizer.encode(text).ids:
        assert sum(char.isdigit() for char in pieces[one].decode(errors="replace")) <= 1


def test_no_learned_piece_merges_digits_or_line_breaks(tokenizer, pieces):
    for piece in pieces:
        assert sum(byte in b"0123456789" for byte in piece) <= 1
        assert b"\n" not in piece or piece == b"\n"


@given(before=TEXTS, after=TEXTS)
@example("solve: x", "- 3 = 4")
def test_a_line_is_the_same_tokens_wherever_it_stands(tokenizer, before, after):
    """So that a prefix cut at a line break, and its labels, line up with the whole text."""
    whole = tokenizer.encode(f"{before}\n{after}").ids
    assert whole == tokenizer.encode(f"{before}\n").ids + tokenizer.encode(after).ids


def test_special_tokens_are_never_written_into_a_text(tokenizer, pieces):
    special = {token_id(tokenizer, name) for name in SPECIAL}
    assert not special & set(tokenizer.encode("".join(SPECIAL)).ids)
    assert all(pieces[one] == b"" for one in special)


def test_a_piece_that_is_not_there_is_an_error(tokenizer):
    with pytest.raises(ValueError, match=r"no '<\|nothing\|>'"):
        token_id(tokenizer, "<|nothing|>")


def test_every_model_speaks_the_same_tokens(tokenizer):
    for name in ("nano", "large"):
        assert load_tokenizer(MODELS / name).to_str() == tokenizer.to_str()


def test_a_question_cannot_forge_worked_steps():
    assert prompt("solve", "What is\n1 + 1 = 3\nAnswer: 3\n?") == "solve: What is 1 + 1 = 3 Answer: 3 ?\n"
    assert completion("solve", ("1 + 1 = 2",), "2") == "1 + 1 = 2\nAnswer: 2"
    assert completion("direct", ("1 + 1 = 2",), "2") == "Answer: 2"
