"""The embedded backend and the reward verifier, on a real engine."""

import asyncio
import time

import pytest

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.types import Budget, Call, Evidence, Finish, Message
from tests.workers.tiny import make_model
from tests.workers.toy import Bill, a_plan, a_query
from workers.backends import backends
from workers.executor import LocalExecutor, Pool
from workers.verifiers import verifiers

QUESTION = "Calculate 3 + 4."


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
async def backend(directory):
    backend = backends.build("embedded", {"directory": directory})
    yield backend
    await backend.close()


@pytest.fixture
async def verifier(directory):
    verifier = verifiers.build("reward", {"directory": directory})
    yield verifier
    await verifier.close()


@pytest.mark.parametrize("device", ["nosuch", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(directory, device):
    with pytest.raises(BackendUnavailable, match=device):
        backends.build("embedded", {"directory": directory, "device": device})


def a_call(**changes):
    return Call(**{"messages": (Message(content=QUESTION),), "max_tokens": 40, "temperature": 1.0, "seed": 3, **changes})


async def test_a_sample_says_what_it_took_and_its_count_is_exact(backend):
    for changes in ({}, {"prefix": "3 + 4 = 7\n"}, {"skill": "direct"}, {"max_tokens": 1}):
        call, spent = a_call(**changes), Spent()
        sample = await backend.sample(call, spent)
        assert (spent.prompt, spent.completion) == (sample.prompt_tokens, sample.completion_tokens)
        assert backend.count(call) == sample.prompt_tokens
        assert len(sample.logprobs) == sample.completion_tokens <= call.max_tokens


async def test_the_seed_decides_whatever_else_is_in_the_batch(backend):
    alone = await backend.sample(a_call(), Spent())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(backend.sample(a_call(seed=seed), Spent())) for seed in (1, 2, 3, 4)]
    assert tasks[2].result().text == alone.text
    assert len({task.result().text for task in tasks}) > 1


async def test_a_cancelled_sample_stops_at_once_and_its_count_is_final(backend):
    spent = Spent()
    task = asyncio.create_task(backend.sample(a_call(max_tokens=600, stop=("never",)), spent))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.2
    seen = spent.completion
    await asyncio.sleep(0.02)
    assert spent.completion == seen


async def test_what_never_left_the_queue_is_free(directory):
    backend = backends.build("embedded", {"directory": directory, "slots": 1})
    blocking = asyncio.create_task(backend.sample(a_call(max_tokens=600, seed=5), Spent()))
    spent = Spent()
    waiting = asyncio.create_task(backend.sample(a_call(), spent))
    await asyncio.sleep(0)
    for task in (waiting, blocking):
        task.cancel()
    await asyncio.wait([blocking, waiting])
    assert spent == Spent()
    await backend.close()


async def test_what_does_not_fit_the_model_is_the_callers_fault(backend):
    with pytest.raises(InvalidQuery):
        await backend.sample(a_call(messages=(Message(content="1 " * 700),)), Spent())
    with pytest.raises(InvalidQuery, match="no skill 'sing'"):
        await backend.sample(a_call(skill="sing"), Spent())


async def test_a_closed_engine_is_unavailable(directory):
    backend = backends.build("embedded", {"directory": directory})
    running = asyncio.create_task(backend.sample(a_call(max_tokens=600), Spent()))
    await asyncio.sleep(0.02)
    await backend.close()
    with pytest.raises(BackendUnavailable):
        await running
    with pytest.raises(BackendUnavailable):
        await backend.sample(a_call(), Spent())


async def test_a_stop_string_is_kept_in_the_text(backend):
    samples = [await backend.sample(a_call(seed=seed, temperature=2.0, stop=("1", "e"), max_tokens=200), Spent()) for seed in range(4)]
    stopped = [sample for sample in samples if sample.finish is Finish.STOP]
    assert stopped
    assert all("1" in sample.text or "e" in sample.text for sample in stopped)


@pytest.mark.parametrize("aggregate", ["last", "min", "prod"])
async def test_the_reward_is_a_probability_and_counted_within_its_bound(directory, aggregate):
    verifier = verifiers.build("reward", {"directory": directory, "aggregate": aggregate})
    texts = ["3 + 4 = 7\n", "3 + 4 = 7\nAnswer: 7", "Answer: 8", ""]
    spent = Spent()
    scores = await verifier.score(a_query(QUESTION), texts, spent)
    assert all(0 <= score <= 1 for score in scores)
    assert 0 <= verifier.count(a_query(QUESTION), texts) - spent.prompt <= len(texts) * 2
    await verifier.close()


async def test_aggregates_come_from_the_same_steps(directory):
    text, values = "3 + 4 = 7\nAnswer: 7", {}
    for aggregate in ("last", "min", "prod"):
        verifier = verifiers.build("reward", {"directory": directory, "aggregate": aggregate})
        values[aggregate] = (await verifier.score(a_query(QUESTION), [text], Spent()))[0]
        first = (await verifier.score(a_query(QUESTION), ["3 + 4 = 7\n"], Spent()))[0]
        await verifier.close()
    assert values["min"] == pytest.approx(min(first, values["last"]))
    assert values["prod"] == pytest.approx(first * values["last"])


async def test_an_unknown_aggregate_is_refused(directory):
    with pytest.raises(ValueError, match="no aggregate 'mean'"):
        verifiers.build("reward", {"directory": directory, "aggregate": "mean"})


@pytest.mark.parametrize("strategy", ["direct", "self_consistency", "best_of_n", "beam"])
async def test_strategies_run_on_the_engine_and_are_charged_exactly(backend, verifier, strategy):
    bill = Bill()
    executor = LocalExecutor(pools={"toy": Pool(backend=backend, verifier=verifier)})
    options = {"direct": {"skill": "solve", "max_tokens": 30}, "beam": {"max_steps": 3, "step_tokens": 20}}
    plan = a_plan(strategy, **options.get(strategy, {"max_tokens": 30}))
    executor.check([plan])
    outcomes = [await executor.execute(a_query(QUESTION), plan, Evidence(), Budget(), bill) for _ in range(2)]
    assert outcomes[0].text == outcomes[1].text
    assert outcomes[0].usage.tokens == outcomes[1].usage.tokens == bill.usage.tokens / 2
