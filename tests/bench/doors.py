"""Microseconds of an answer that was paid for before, at gRPC's door and at the one for OpenAI's clients, turn by turn."""

import json
import statistics
import time

import grpc
import httpx2
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import Service

QUESTION = "Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?"


async def doors(running: Service, times: int = 500) -> dict[str, float]:
    """Medians of each, and what HTTP adds; the client's own time is in them."""
    query = query_pb2.Query(messages=[query_pb2.Message(content=QUESTION)])
    body = json.dumps({"model": "rheostat", "messages": [{"role": "user", "content": QUESTION}]})
    taken: dict[str, list[float]] = {"gRPC": [], "HTTP": []}
    async with grpc.aio.insecure_channel(running.address) as channel, httpx2.AsyncClient() as client:
        stub = RouterServiceStub(channel)
        for _ in range(times + 10):
            started = time.perf_counter()
            *_, last = [event async for event in stub.AnswerQuery(router_service_pb2.AnswerQueryRequest(query=query))]
            turned = time.perf_counter()
            url, headers = f"{running.http.url}/chat/completions", {"content-type": "application/json"}
            told = await client.post(url, content=body, headers=headers)
            taken["gRPC"].append(turned - started)
            taken["HTTP"].append(time.perf_counter() - turned)
    assert (last.final.receipt.cached, told.json()["rheostat"]["cache_hit"]) == (True, "exact")
    found = {f"a cached answer, {name}": statistics.median(one[10:]) * 1e6 for name, one in taken.items()}
    return found | {"what the HTTP door adds": found["a cached answer, HTTP"] - found["a cached answer, gRPC"]}
