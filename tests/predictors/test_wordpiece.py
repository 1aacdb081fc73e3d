"""Our WordPiece against the reference implementation, on the bundled vocabulary."""

import string

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from predictors.encoders.static import BUNDLED
from predictors.encoders.wordpiece import WordPiece

ACCENTED = "".join(chr(code) for code in range(0xC0, 0x180) if chr(code).isalpha())
TEXTS = st.text(alphabet=string.printable + ACCENTED + "".join(map(chr, range(32))) + "\x7f", max_size=80)


@pytest.fixture(scope="module")
def vocabulary() -> list[str]:
    with np.load(BUNDLED, allow_pickle=False) as saved:
        return bytes(saved["vocabulary"]).decode().split("\n")


@pytest.fixture(scope="module")
def ours(vocabulary):
    return WordPiece(vocabulary)


@pytest.fixture(scope="module")
def reference(vocabulary):
    return BertWordPieceTokenizer({piece: index for index, piece in enumerate(vocabulary)}, lowercase=True)


@given(TEXTS)
@example("Tom has 12 apples; 3*4 = 12.")
@example("snake_case __init__ a\x00b\x1cc\x0bd")
@example("\u0130stanbul na\u00efve caf\u00e9 e\u0301")
@example("x" * 100 + " " + "x" * 101)
def test_pieces_are_berts_but_for_unknown_words_which_are_skipped(ours, reference, vocabulary, text):
    theirs = [piece for piece in reference.encode(text, add_special_tokens=False).ids if piece != vocabulary.index("[UNK]")]
    assert ours.encode(text) == theirs


def test_longest_piece_wins_and_a_word_with_an_unknown_part_is_skipped_whole():
    pieces = WordPiece(["un", "##aff", "##able", "una", "able"])
    assert pieces.encode("unaffable") == []  # "una" is taken first, and "##ffable" is nowhere
    assert pieces.encode("unable able") == [4]
    assert WordPiece(["un", "##aff", "##able", "##a"]).encode("unaffable") == [0, 1, 2]


def test_any_text_is_taken(ours):
    for text in ("", " \n\t", "\ud800 lone", "\U0001f600" * 50, "\u4e2d\u6587", "1" * 10_000, "\x00"):
        assert all(isinstance(piece, int) for piece in ours.encode(text))
