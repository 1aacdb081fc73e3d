"""The backend for OpenAI-compatible servers, against a small one that really speaks HTTP and server-sent events."""

import asyncio

import pytest

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.types import Call, Finish, Message
from tests.workers.completions import Server, backend_of
from workers.backends import backends


def a_call(**changes):
    return Call(**{"messages": (Message(content="What is 3 + 4?"),), "seed": 5, "stop": ("\n\n",), **changes})


async def test_a_sample_is_ordered_and_read():
    server = Server()
    async with backend_of(server) as backend:
        spent = Spent()
        sample = await backend.sample(a_call(prefix="So\n", max_tokens=9, temperature=0.3), spent)
    assert (sample.text, sample.finish, sample.logprobs) == ("3 + 4 = 7\nAnswer: 7", Finish.END, (-0.5, -0.5, -0.5))
    assert (spent.prompt, spent.completion) == (sample.prompt_tokens, sample.completion_tokens) == (11, 4)
    order = server.orders[0]
    assert order["prompt"] == "solve: What is 3 + 4?\nSo\n"
    assert {name: order[name] for name in ("max_tokens", "temperature", "seed", "stop")} == {
        "max_tokens": 9,
        "temperature": 0.3,
        "seed": 5,
        "stop": ["\n\n"],
    }
    assert order["include_stop_str_in_output"] is True


@pytest.mark.parametrize(
    ("words", "reason", "stop", "finish"),
    [
        (("a", "\n"), "stop", ("\n",), Finish.STOP),
        (("a",), "stop", ("\n",), Finish.END),
        (("a",), "length", ("\n",), Finish.LENGTH),
        (("a",), "length", ("a",), Finish.LENGTH),
        (("a",), "stop", (), Finish.END),
    ],
)
async def test_truncation_and_stops_are_told_apart(words, reason, stop, finish):
    async with backend_of(Server(words=words, reason=reason)) as backend:
        assert (await backend.sample(a_call(stop=stop), Spent())).finish is finish


async def test_another_server_is_asked_for_nothing_that_only_vllm_knows():
    server = Server()
    async with backend_of(server, vllm=False) as backend:
        sample = await backend.sample(a_call(), Spent())
        assert "stop" not in backend.capabilities
    assert "include_stop_str_in_output" not in server.orders[0]
    assert server.orders[0]["stream_options"] == {"include_usage": True}
    assert (sample.prompt_tokens, sample.completion_tokens) == (11, 4)


@pytest.mark.parametrize(("vllm", "prompt"), [(True, 11), (False, len("solve: What is 3 + 4?\n") + 2)])
async def test_cancelling_hangs_up_and_what_was_written_is_charged(vllm, prompt):
    server = Server(words=("word ",) * 1000, pace=0.01)
    async with backend_of(server, vllm=vllm) as backend:
        spent = Spent()
        task = asyncio.create_task(backend.sample(a_call(), spent))
        await asyncio.sleep(0.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 1)
    assert 1 <= spent.completion < 100
    assert spent.prompt == prompt


async def test_a_stream_that_breaks_off_is_charged_but_is_no_sample():
    async with backend_of(Server(cut=2)) as backend:
        spent = Spent()
        with pytest.raises(BackendUnavailable, match="ended before"):
            await backend.sample(a_call(), spent)
    assert spent == Spent(prompt=11, completion=2)


async def test_garbage_is_the_servers_fault():
    async with backend_of(Server(cut=1, garbage=True)) as backend:
        with pytest.raises(BackendUnavailable):
            await backend.sample(a_call(), Spent())


@pytest.mark.parametrize(("status", "error"), [(400, InvalidQuery), (404, BackendUnavailable), (429, BackendUnavailable), (500, BackendUnavailable)])
async def test_refusals_cost_nothing(status, error):
    async with backend_of(Server(status=status)) as backend:
        spent = Spent()
        with pytest.raises(error, match="no such thing"):
            await backend.sample(a_call(), spent)
    assert spent == Spent()


async def test_nobody_listening_is_unavailable():
    backend = backends.build("openai", {"base_url": "http://127.0.0.1:1/v1", "model": "m"})
    spent = Spent()
    with pytest.raises(BackendUnavailable):
        await backend.sample(a_call(), spent)
    await backend.close()
    assert spent == Spent()


async def test_a_silent_server_is_given_up():
    async with backend_of(Server(pace=5), timeout=0.1) as backend:
        with pytest.raises(BackendUnavailable):
            await backend.sample(a_call(), Spent())


async def test_templates_hold_the_conversation():
    server = Server()
    async with backend_of(server, templates={"solve": "<q>{conversation}</q>"}) as backend:
        turns = (Message(role="system", content="Be {brief}."), Message(content="Hi"))
        await backend.sample(a_call(messages=turns), Spent())
        assert server.orders[0]["prompt"] == "<q>System: Be {brief}.\n\nUser: Hi</q>"
        await backend.sample(a_call(prefix="Well"), Spent())
        assert server.orders[1]["prompt"] == "<q>What is 3 + 4?</q>Well"
        with pytest.raises(InvalidQuery, match="no template"):
            await backend.sample(a_call(skill="sing"), Spent())


async def test_the_count_is_never_too_low():
    async with backend_of(Server()) as backend:
        assert backend.count(a_call(prefix="né")) >= len("solve: What is 3 + 4?\nné".encode())
