"""Verifiers: what each makes of right, wrong and nonsense."""

import asyncio

import pytest

from router.errors import BackendUnavailable
from router.ports import Spent
from router.types import Task
from tests.workers.completions import Server
from tests.workers.scorer import Scorer, served
from tests.workers.toy import a_query
from workers.backends import backends
from workers.verifiers import verifiers

QUESTION = "What is 3 + 4?"


# --- judge -------------------------------------------------------------------------------------------------------------


async def judged(server, texts, **options):
    """Scores and what was spent, by a judge behind a real server."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with listener:
        backend = {"name": "openai", "options": {"base_url": url, "model": "m", "prompts": "general", "retries": 0}}
        judge, spent = verifiers.build("judge", {"backend": backend, **options}), Spent()
        try:
            return await judge.score(a_query(QUESTION), texts, spent), spent
        finally:
            await judge.close()


async def test_a_judge_marks_each_by_itself():
    server = Server(words=("7",))
    scores, spent = await judged(server, ["one", "two"])
    assert scores == [7 / 9, 7 / 9]
    assert len(server.orders) == 2
    assert spent == Spent(prompt=22, completion=4)


async def test_a_pair_is_shown_in_both_orders():
    server = Server(words=("9 3\n", "Better: A"))
    scores, _ = await judged(server, ["one", "two"], mode="pairwise")
    assert scores == [6 / 9, 6 / 9]  # whoever stands first has 9: the bias cancels out
    assert len(server.orders) == 2
    assert (await judged(Server(words=("4",)), ["alone"], mode="pairwise"))[0] == [4 / 9]


async def test_a_judge_who_talks_nonsense_is_asked_again_and_then_is_unavailable():
    server = Server(words=("What a lovely question",))
    with pytest.raises(BackendUnavailable, match="no mark in 3 tries"):
        await judged(server, ["one"], tries=3)
    assert [order["seed"] for order in server.orders] == [0, 1, 2]


async def test_what_a_failed_judgement_took_is_told():
    listener_server, spent = Server(words=("no",)), Spent()
    listener = await asyncio.start_server(listener_server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with listener:
        judge = verifiers.build("judge", {"backend": {"name": "openai", "options": {"base_url": url, "model": "m", "prompts": "general"}}})
        with pytest.raises(BackendUnavailable):
            await judge.score(a_query(QUESTION), ["one"], spent)
        await judge.close()
    assert spent == Spent(prompt=22, completion=4)


def test_a_judge_is_set_up_sensibly():
    with pytest.raises(ValueError, match="pointwise or pairwise"):
        verifiers.build("judge", {"backend": {"name": "openai", "options": {"base_url": "http://127.0.0.1:1", "model": "m"}}, "mode": "crosswise"})
    assert "openai" in backends.describe()


# --- endpoint ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "question"), [("scores", "how"), ("rerank", "rank these"), ("pooling", "")])
async def test_an_endpoint_is_asked_in_its_own_shape(shape, question):
    scorer = Scorer()
    async with served(scorer) as url:
        endpoint, spent = verifiers.build("endpoint", {"url": url, "shape": shape, "model": "rm"}), Spent()
        scores = await endpoint.score(a_query(question), ["12", "ab", "1b"], spent)
        await endpoint.close()
    assert scores[0] > scores[2] > scores[1]
    assert spent.prompt == endpoint.count(a_query(question), ["12", "ab", "1b"])


@pytest.mark.parametrize(
    "reply",
    [
        {"scores": [0.5]},
        {"scores": [0.5, 7.0]},
        {"scores": [0.5, float("nan")]},
        {"scores": "high"},
        {"scores": None},
        {},
        [],
        7,
        {"scores": [[0], [1]]},
    ],
)
async def test_scores_that_are_none_are_the_endpoints_fault(reply):
    async with served(Scorer(reply=reply)) as url:
        endpoint = verifiers.build("endpoint", {"url": url})
        with pytest.raises(BackendUnavailable, match="scores"):
            await endpoint.score(a_query(QUESTION), ["a", "b"], Spent())
        await endpoint.close()


async def test_numbers_of_any_size_are_squashed():
    async with served(Scorer(reply={"scores": [-1e9, 0.0, 1e9]})) as url:
        endpoint = verifiers.build("endpoint", {"url": url, "squash": True})
        assert await endpoint.score(a_query(QUESTION), ["a", "b", "c"], Spent()) == pytest.approx([0.0, 0.5, 1.0])
        await endpoint.close()


async def test_a_refusal_costs_nothing_and_the_key_is_sent(monkeypatch):
    monkeypatch.setenv("RHEOSTAT_REWARD_KEY", "k3y")
    scorer, spent = Scorer(status=500), Spent()
    async with served(scorer) as url:
        endpoint = verifiers.build("endpoint", {"url": url})
        with pytest.raises(BackendUnavailable, match="500"):
            await endpoint.score(a_query(QUESTION), ["a"], spent)
        await endpoint.close()
    assert spent == Spent()
    assert "authorization: bearer k3y" in scorer.orders[0]["head"]
    with pytest.raises(ValueError, match="shape"):
        verifiers.build("endpoint", {"url": "http://127.0.0.1:1", "shape": "round"})


# --- unit tests, mathematics, outcomes ---------------------------------------------------------------------------------

TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add('a', 'b') == 'ab'"]


@pytest.mark.parametrize(
    ("program", "share"),
    [
        ("def add(a, b):\n    return a + b", 1.0),
        ("```python\ndef add(a, b):\n    return int(a) + int(b)\n```", 2 / 3),
        ("def add(a, b):\n    return 3", 1 / 3),
        ("raise SystemExit(0)", 0.0),
        ("import os\nos._exit(0)", 0.0),
        ("def add(a, b):\n    while True: pass", 0.0),
        ("print('passed, to the end'); raise ValueError", 0.0),
        ("", 0.0),
    ],
)
async def test_a_program_scores_the_share_of_tests_it_passes(program, share):
    tester = verifiers.build("unit_tests", {"tests": {QUESTION: TESTS}, "seconds": 0.5})
    assert await tester.score(a_query(QUESTION, task=Task.CODE), [program], Spent()) == [pytest.approx(share)]


async def test_mathematics_is_compared_by_worth():
    verifier = verifiers.build("math", {"answers": {QUESTION: r"\\frac{1}{2}".replace("\\\\", "\\")}})
    texts = ["Answer: 0.5", "Answer: 2/4", r"so \\boxed{\\frac{4}{8}}".replace("\\\\", "\\"), "Answer: 0.51", "no answer"]
    assert await verifier.score(a_query(QUESTION), texts, Spent()) == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert await verifier.score(a_query("unknown"), texts, Spent()) == [0.0] * 5
