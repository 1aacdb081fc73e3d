"""What every verifier must keep to. A new verifier is added to OPTIONS."""

from contextlib import AsyncExitStack

import pytest

from router.ports import Spent
from tests.workers.scorer import Scorer, served
from tests.workers.tiny import make_model
from tests.workers.toy import a_query
from workers.reasoner.train import MODELS
from workers.verifiers import verifiers

QUESTION = "Calculate 3 + 4."
TEXTS = ("3 + 4 = 7\n", "3 + 4 = 7\nAnswer: 7", "Answer: 8", "", "\u2211 \U0001f600 \n\n\n")
OPTIONS = {
    "endpoint": lambda directory: {"url": "set by the fixture"},
    "judge": lambda directory: {"backend": {"name": "embedded", "options": {"directory": MODELS / "large"}}},
    "math": lambda directory: {"answers": {QUESTION: "14/2"}},
    "outcome": lambda directory: {"directory": make_model(directory)},
    "unit_tests": lambda directory: {"tests": {QUESTION: ["assert 3 + 4 == 7"]}},
    "calculator": lambda directory: {"then": {"name": "reward", "options": {"directory": make_model(directory)}}},
    "exact": lambda directory: {"answers": {QUESTION: "7.0"}},
    "reward": lambda directory: {"directory": make_model(directory)},
}


@pytest.fixture(params=tuple(verifiers.describe()))
async def verifier(request, tmp_path):
    options = OPTIONS[request.param](tmp_path)
    async with AsyncExitStack() as stack:
        if request.param == "endpoint":
            options = {"url": await stack.enter_async_context(served(Scorer()))}
        verifier = verifiers.build(request.param, options)
        yield verifier
        await verifier.close()


async def test_scores_are_in_order_and_within_bounds(verifier):
    query = a_query(QUESTION)
    together = await verifier.score(query, TEXTS, Spent())
    alone = [(await verifier.score(query, [text], Spent()))[0] for text in TEXTS]
    assert list(together) == pytest.approx(alone, abs=1e-4)
    assert all(0 <= one <= 1 for one in together)


async def test_tokens_stay_within_what_was_counted_before(verifier):
    query = a_query(QUESTION)
    spent = Spent()
    await verifier.score(query, TEXTS, spent)
    assert 0 <= spent.prompt + spent.completion <= verifier.count(query, TEXTS)


async def test_nothing_to_score_is_nothing(verifier):
    spent = Spent()
    assert list(await verifier.score(a_query(QUESTION), [], spent)) == []
    assert spent == Spent()
    assert verifier.count(a_query(QUESTION), []) == 0


async def test_exact_knows_the_answer():
    exact = verifiers.build("exact", {"answers": {QUESTION: "7.0"}})
    assert list(await exact.score(a_query(QUESTION), TEXTS[:3], Spent())) == [0.0, 1.0, 0.0]
    assert list(await exact.score(a_query("unknown"), TEXTS[:3], Spent())) == [0.0, 0.0, 0.0]
