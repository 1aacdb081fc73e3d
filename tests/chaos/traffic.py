"""Traffic: several tenants ask, plan and report all the time, and remember what they were promised."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from tests.chaos.town import TENANTS, Town

CALLERS = 3  # per tenant and router
DEADLINE = 3.0
_PAUSE = 0.05


@dataclass
class Promises:
    """What was acknowledged, and how calls ended."""

    answers: list[tuple[str, str, int]] = field(default_factory=list)  # decision, tenant, cost
    outcomes: list[tuple[str, str, float]] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)  # tenant by decision
    endings: Counter[str] = field(default_factory=Counter)
    late: list[tuple[str, float]] = field(default_factory=list)


class Traffic:
    """Callers of all tenants to all routers."""

    def __init__(self, town: Town, seed: int) -> None:
        self._town = town
        self._rng = random.Random(seed)
        self.promises = Promises()

    async def flow(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        decided: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}  # whoever decided, any router takes the outcome
        async with asyncio.TaskGroup() as group:
            for address in self._town.addresses:
                for tenant in TENANTS:
                    for number in range(CALLERS):
                        group.create_task(self._caller(address, tenant, random.Random(f"{address}{tenant}{number}"), decided[tenant], stop))

    async def _caller(self, address: str, tenant: str, rng: random.Random, mine: list[str], stop: asyncio.Event) -> None:
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            stub = RouterServiceStub(channel)
            while not stop.is_set():
                kind = rng.choices(("answer", "plan", "report"), (6, 2, 2))[0]
                began = time.monotonic()
                try:
                    async with asyncio.timeout(DEADLINE + 5):
                        ending = await getattr(self, f"_{kind}")(stub, tenant, rng, mine)
                except grpc.aio.AioRpcError as error:
                    ending = error.code().name
                except TimeoutError:
                    ending = "hangs"
                if (took := time.monotonic() - began) > DEADLINE + 1:
                    self.promises.late.append((kind, took))
                self.promises.endings[f"{kind}: {ending}"] += 1
                await asyncio.sleep(rng.random() * _PAUSE * 2)

    async def _answer(self, stub: RouterServiceStub, tenant: str, rng: random.Random, mine: list[str]) -> str:
        final = None
        async for event in stub.AnswerQuery(router_service_pb2.AnswerQueryRequest(query=_query(tenant, rng)), timeout=DEADLINE):
            final = event.final if event.HasField("final") else final
            decision = event.final.decision_id or event.stage.decision_id
            self.promises.asked[decision] = tenant
        if final is None:
            return "no final"
        self.promises.answers.append((final.decision_id, tenant, final.receipt.usage.cost_microdollars))
        mine.append(final.decision_id)
        return "OK"

    async def _plan(self, stub: RouterServiceStub, tenant: str, rng: random.Random, mine: list[str]) -> str:
        planned = await stub.PlanQuery(router_service_pb2.PlanQueryRequest(query=_query(tenant, rng)), timeout=DEADLINE)
        self.promises.asked[planned.decision_id] = tenant
        self.promises.answers.append((planned.decision_id, tenant, 0))
        mine.append(planned.decision_id)
        return "OK"

    async def _report(self, stub: RouterServiceStub, tenant: str, rng: random.Random, mine: list[str]) -> str:
        if not mine:
            return "nothing to report"
        decision, reward = mine.pop(rng.randrange(len(mine))), rng.choice((0.0, 0.5, 1.0))
        request = router_service_pb2.ReportOutcomeRequest(decision_id=decision, tenant=tenant, reward=reward, source="REWARD_SOURCE_VERIFIER")
        await stub.ReportOutcome(request, timeout=DEADLINE)
        self.promises.outcomes.append((decision, tenant, reward))
        return "OK"


def _query(tenant: str, rng: random.Random) -> query_pb2.Query:
    digits = " ".join(str(rng.randrange(10)) for _ in range(rng.randrange(3, 12)))
    return query_pb2.Query(messages=[query_pb2.Message(content=digits)], task="TASK_MATH", tenant=tenant)
