"""The fuzzer, in small, and that it would notice."""

import asyncio

import grpc
import psutil
import pytest
from rheostat.v1 import router_service_pb2

from tests.fuzz.__main__ import fuzzed
from tests.fuzz.fuzz import Fuzzer, methods


@pytest.mark.timeout(300)
def test_no_message_is_an_internal_error() -> None:
    found = fuzzed(2_000, 0)
    assert {name: one.told()["bugs"] for name, one in found.items()} == {"router": [], "worker": []}
    assert all(one.sound for one in found.values()), {name: one.told() for name, one in found.items()}
    sent = {method for one in found.values() for method in one.told()["codes"]}
    assert sent == set(methods())
    passed = {method for one in found.values() for method, code in one.codes if code == "OK"}
    assert {name.rpartition("/")[2] for name in passed} >= {"PlanQuery", "AnswerQuery", "ReportOutcome", "ExplainDecision", "PlanBatch"}


async def test_a_bug_is_noticed() -> None:
    async def broken(request, context):
        raise KeyError

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(broken)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", {"M": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    method = router_service_pb2.DESCRIPTOR.services_by_name["RouterService"].methods_by_name["ExplainDecision"]
    fuzzer = Fuzzer(f"127.0.0.1:{port}", psutil.Process(), {"/s/M": method})
    found = await asyncio.to_thread(fuzzer.run, 20)
    assert [bug["code"] for bug in found.bugs] == ["UNKNOWN"] * 20
    assert found.dead  # it has no health
    assert not found.sound
    await server.stop(0)
