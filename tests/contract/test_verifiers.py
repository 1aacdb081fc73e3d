"""What every verifier must keep to. A new verifier is added to OPTIONS."""

import pytest

from tests.workers.tiny import make_model
from tests.workers.toy import a_query
from workers.verifiers import verifiers

QUESTION = "Calculate 3 + 4."
TEXTS = ("3 + 4 = 7\n", "3 + 4 = 7\nAnswer: 7", "Answer: 8", "", "\u2211 \U0001f600 \n\n\n")
OPTIONS = {
    "calculator": lambda directory: {"then": {"name": "reward", "options": {"directory": make_model(directory)}}},
    "exact": lambda directory: {"answers": {QUESTION: "7.0"}},
    "reward": lambda directory: {"directory": make_model(directory)},
}


@pytest.fixture(params=tuple(verifiers.describe()))
async def verifier(request, tmp_path):
    verifier = verifiers.build(request.param, OPTIONS[request.param](tmp_path))
    yield verifier
    await verifier.close()


async def test_scores_are_in_order_and_within_bounds(verifier):
    query = a_query(QUESTION)
    together = await verifier.score(query, TEXTS)
    alone = [(await verifier.score(query, [text]))[0] for text in TEXTS]
    assert [one.value for one in together] == pytest.approx([one.value for one in alone], abs=1e-4)
    assert all(0 <= one.value <= 1 for one in together)


async def test_tokens_stay_within_what_was_counted_before(verifier):
    query = a_query(QUESTION)
    assert sum(one.tokens for one in await verifier.score(query, TEXTS)) <= verifier.count(query, TEXTS)


async def test_nothing_to_score_is_nothing(verifier):
    assert list(await verifier.score(a_query(QUESTION), [])) == []
    assert verifier.count(a_query(QUESTION), []) == 0


async def test_exact_knows_the_answer():
    exact = verifiers.build("exact", {"answers": {QUESTION: "7.0"}})
    assert [one.value for one in await exact.score(a_query(QUESTION), TEXTS[:3])] == [0.0, 1.0, 0.0]
    assert [one.value for one in await exact.score(a_query("unknown"), TEXTS[:3])] == [0.0, 0.0, 0.0]
