"""The backend for OpenAI-compatible servers, against a small one that really speaks HTTP and server-sent events."""

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.telemetry import Telemetry
from router.types import Call, Finish, Halt, Message
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


async def test_the_server_learns_of_the_trace_also_where_the_sample_is_cancelled():
    exporter, server = InMemorySpanExporter(), Server(pace=0.05)
    telemetry, spent = Telemetry(spans=SimpleSpanProcessor(exporter)), Spent()
    async with backend_of(server) as backend:
        await telemetry.sampled("m", a_call(), spent, backend.sample(a_call(), spent))
        task = asyncio.create_task(telemetry.sampled("m", a_call(), spent, backend.sample(a_call(), spent)))
        while len(server.orders) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await backend.sample(a_call(), Spent())
    chats = [span.context for span in exporter.get_finished_spans()]
    ids = [f"{trace.format_trace_id(one.trace_id)}-{trace.format_span_id(one.span_id)}" for one in chats]
    assert [order["traceparent"] and order["traceparent"][3:52] for order in server.orders] == [*ids, None]


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
    for garbage in (b"{not json", b'{"choices": [{"text": "\xff\xfe"}]}'):
        async with backend_of(Server(cut=1, garbage=garbage)) as backend:
            spent = Spent()
            with pytest.raises(BackendUnavailable):
                await backend.sample(a_call(), spent)
        assert spent.completion == 1


@pytest.mark.parametrize(("status", "error"), [(400, InvalidQuery), (404, BackendUnavailable), (429, BackendUnavailable), (500, BackendUnavailable)])
async def test_refusals_cost_nothing(status, error):
    async with backend_of(Server(status=status)) as backend:
        spent = Spent()
        with pytest.raises(error, match="no such thing"):
            await backend.sample(a_call(), spent)
    assert spent == Spent()


async def test_nobody_listening_is_unavailable():
    backend = backends.build("openai", {"base_url": "http://127.0.0.1:1/v1", "model": "m", "retries": 0})
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
    async with backend_of(server, prompts={"solve": "<q>{conversation}</q>"}) as backend:
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


async def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_not():
    server = Server(status=503, failures=1)
    async with backend_of(server, retries=1) as backend:
        assert (await backend.sample(a_call(), Spent())).text
    assert len(server.orders) == 2
    server = Server(status=400)
    async with backend_of(server, retries=3) as backend:
        with pytest.raises(InvalidQuery):
            await backend.sample(a_call(), Spent())
    assert len(server.orders) == 1


async def test_a_server_that_ignores_the_limit_is_hung_up_on():
    server = Server(endless=True)
    async with backend_of(server) as backend:
        spent = Spent()
        sample = await backend.sample(a_call(max_tokens=20, stop=()), spent)
        await asyncio.wait_for(server.gone.wait(), 1)
    assert sample.finish is Finish.LENGTH
    assert spent.completion == 21


async def test_nothing_written_is_an_empty_sample():
    async with backend_of(Server(words=())) as backend:
        sample = await backend.sample(a_call(), Spent())
    assert (sample.text, sample.finish, sample.logprobs) == ("", Finish.END, ())


async def test_of_the_likeliest_tokens_as_many_are_told_as_were_asked_for():
    async with backend_of(Server()) as backend:
        sample = await backend.sample(a_call(top_logprobs=2), Spent())
    assert sample.top_logprobs == ((-0.5, -1.0),) * 3


async def test_halting_hangs_up():
    server = Server(words=("word ",) * 50, pace=0.001)
    async with backend_of(server) as backend:
        spent = Spent()
        sample = await backend.sample(a_call(top_logprobs=2, halt=Halt(window=4, below=1.0)), spent)
        await asyncio.wait_for(server.gone.wait(), 1)
    assert (sample.finish, sample.text, spent.completion) == (Finish.HALTED, "word " * 4, 4)


# --- chat --------------------------------------------------------------------------------------------------------------


async def test_a_chat_goes_on_with_the_conversation_and_asks_in_the_last_message():
    server = Server()
    async with backend_of(server, api="chat", prompts="general") as backend:
        turns = (Message(role="system", content="Be brief."), Message(content="What is 3 + 4?"))
        sample = await backend.sample(a_call(messages=turns, top_logprobs=1), Spent())
    order = server.orders[0]
    assert order["path"] == "/v1/chat/completions"
    assert order["messages"][0] == {"role": "system", "content": "Be brief."}
    assert order["messages"][1]["content"].startswith("What is 3 + 4?\n\nThink step by step.")
    assert (sample.text, sample.logprobs, sample.top_logprobs) == ("3 + 4 = 7\nAnswer: 7", (-0.5,) * 3, ((-0.5,),) * 3)


async def test_another_skill_is_asked_about_the_conversation():
    server = Server(words=("Verdict: Yes",))
    async with backend_of(server, api="chat", prompts="general") as backend:
        await backend.sample(a_call(skill="verify", texts=("It is {B} 7.",)), Spent())
    (turn,) = server.orders[0]["messages"]
    assert "What is 3 + 4?" in turn["content"]
    assert "It is {B} 7." in turn["content"]


async def test_a_chat_continues_an_answer_where_the_server_can():
    server = Server()
    async with backend_of(server, api="chat", prompts="general") as backend:
        await backend.sample(a_call(prefix="3 + 4"), Spent())
        assert "prefix" in backend.capabilities
    assert server.orders[0]["messages"][-1] == {"role": "assistant", "content": "3 + 4"}
    assert (server.orders[0]["continue_final_message"], server.orders[0]["add_generation_prompt"]) == (True, False)
    async with backend_of(Server(), api="chat", vllm=False) as backend:
        assert "prefix" not in backend.capabilities


# --- probing -----------------------------------------------------------------------------------------------------------

WORDS = ("2", " +", " 3", " =", " 5\n", "Answer:", " 5")


@pytest.mark.parametrize("api", ["completions", "chat"])
async def test_an_honest_server_keeps_its_capabilities(api):
    async with backend_of(Server(words=WORDS), api=api) as backend:
        before = backend.capabilities
        await backend.prepare()
        assert backend.capabilities == before >= {"prefix", "stop", "suppress", "top_logprobs", "halt"}


@pytest.mark.parametrize("ignored", ["stop", "suppress", "prefix", "top_logprobs", "logprobs"])
async def test_what_a_server_silently_ignores_is_found_out(ignored):
    async with backend_of(Server(words=WORDS, ignores=frozenset({ignored}))) as backend:
        before = backend.capabilities
        await backend.prepare()
        assert ignored in before - backend.capabilities
        assert "cancel" in backend.capabilities


async def test_a_server_that_is_not_there_yet_is_believed():
    backend = backends.build("openai", {"base_url": "http://127.0.0.1:1/v1", "model": "m", "retries": 0})
    before = backend.capabilities
    await backend.prepare()
    assert backend.capabilities == before
    await backend.close()
