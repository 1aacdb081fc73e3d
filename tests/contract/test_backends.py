"""What every backend must keep to. A new backend is added to BUILDERS; vLLM's engine goes through the same in tests/engines."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from router.errors import RouterError
from router.ports import Spent
from router.types import Call, Finish, Message
from tests.workers.completions import Server, backend_of
from tests.workers.tiny import make_model
from tests.workers.toy import ABLE
from workers.backends import backends
from workers.reasoner.prompt import SKILLS


@asynccontextmanager
async def embedded(directory):
    backend = backends.build("embedded", {"directory": make_model(directory)})
    yield backend
    await backend.close()


@asynccontextmanager
async def openai(directory):
    async with backend_of(Server(words=("word ",) * 300, pace=0.001)) as backend:
        yield backend


BUILDERS = {"embedded": embedded, "openai": openai}


@pytest.fixture(params=tuple(BUILDERS))
async def backend(request, tmp_path):
    async with BUILDERS[request.param](tmp_path) as backend:
        yield backend


def a_call(**changes):
    return Call(**{"messages": (Message(content="Calculate 3 + 4."),), "max_tokens": 20, "seed": 1, **changes})


async def test_what_was_spent_is_what_the_sample_says(backend):
    spent = Spent()
    sample = await backend.sample(a_call(), spent)
    assert (spent.prompt, spent.completion) == (sample.prompt_tokens, sample.completion_tokens)
    assert 0 < spent.completion <= 20
    assert 0 < spent.prompt <= backend.count(a_call())
    assert sample.seconds > 0


async def test_the_limit_is_kept_and_told(backend):
    sample = await backend.sample(a_call(max_tokens=1, temperature=0.0), Spent())
    assert (sample.completion_tokens, sample.finish) == (1, Finish.LENGTH)


async def test_a_longer_prefix_counts_for_more(backend):
    assert backend.count(a_call(prefix="3 + 4 = 7\n")) > backend.count(a_call())


async def test_cancelling_stops_within_a_fifth_of_a_second_and_what_was_spent_is_final(backend):
    spent = Spent()
    task = asyncio.create_task(backend.sample(a_call(max_tokens=500, temperature=2.0, seed=3), spent))
    later = time.monotonic() + 0.06
    while not spent.completion and time.monotonic() < later:  # not every backend tells while it writes
        await asyncio.sleep(0.001)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.2
    final = (spent.prompt, spent.completion)
    await asyncio.sleep(0.05)
    assert (spent.prompt, spent.completion) == final


async def test_only_router_errors_come_out(backend):
    with pytest.raises(RouterError):
        await backend.sample(a_call(skill="no such skill"), Spent())


async def test_samples_run_side_by_side(backend):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(backend.sample(a_call(seed=seed), Spent())) for seed in range(8)]
    assert all(task.result().completion_tokens for task in tasks)


def test_capabilities_are_known_ones(backend):
    assert {one for one in backend.capabilities if not one.startswith("skill:")} <= ABLE
    assert {one.removeprefix("skill:") for one in backend.capabilities - ABLE} <= set(SKILLS)


def test_no_backend_is_left_out():
    assert set(backends.describe()) == {*BUILDERS, "vllm"}
