"""A stream of questions through the whole service, which starts with nothing learned: asked, carried out and rated over gRPC, late and out of order.

The client carries plans out by looking up what the bundled models really answered. Three things happen on the way: a new plan is allowed, which the
questions so far have use for; the mix of questions turns over, to those that have none; and the plan that is used most breaks.
"""

import asyncio
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import structlog
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from policies import metrics
from router.app import service
from router.benchmark.board import load
from router.benchmark.run import BUNDLED
from router.settings import Choice, LearningSettings, ServerSettings, Settings
from router.terms import TenantSettings
from tests.bench.policies.problems import Array, Places

NEW = "large-solve"
BLOCK = 250
_LATE, _REPEATED = 0.3, 0.1  # mean seconds after which an outcome is reported; share that is reported twice
_WORTH = 3.0  # times the dearest plan's mean cost
_EVENTUAL = 500  # questions at the end of a phase that show where it settles
_SHARE, _ADOPTED, _USEFUL, _NEAR = 0.05, 0.8, 0.1, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happens at the start of a phase: when it counts as dealt with, over how many questions that is looked at, and after how many at most."""

    what: str
    over: int
    aim: int


EVENTS = {
    "new plan": Event(what="80 % of the share at which it settles", over=100, aim=300),
    "mix turned over": Event(what="gap to the best plan for each kind of question within 0.02 of where it settles", over=100, aim=500),
    "plan broke": Event(what="its share under 5 %", over=50, aim=200),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the bundled models answered: by plan, `right` and `cost`, each (questions, samples); `family`, and `kind`, which has the level in it."""

    text: tuple[str, ...]
    family: Places
    kind: Places
    right: Mapping[str, Array]
    cost: Mapping[str, Array]

    @classmethod
    def bundled(cls) -> "World":
        """Of three models, one sample each, and the vote of four samples of the middle one."""
        table = load(BUNDLED)
        board = table.pick(table.items)
        at = {arm: [place for place, (name, _) in enumerate(board.items) if name == arm] for arm in ("nano", "small", "large")}
        answers = board.answer[:, at["small"]]
        agreeing = np.where(answers >= 0, (answers[:, :, None] == answers[:, None, :]).sum(axis=2), 0)
        voted = np.take_along_axis(board.quality[:, at["small"]], agreeing.argmax(axis=1)[:, None], axis=1)
        right = {"nano-direct": board.quality[:, at["nano"]], "small-solve": board.quality[:, at["small"]], "small-vote": voted}
        cost = {"nano-direct": board.cost[:, at["nano"]], "small-solve": board.cost[:, at["small"]]}
        cost |= {"small-vote": board.cost[:, at["small"]].sum(axis=1, keepdims=True)}
        return cls(
            text=board.text,
            family=np.unique(np.char.rpartition(board.category, "/")[:, 0], return_inverse=True)[1],
            kind=np.unique(board.category, return_inverse=True)[1],
            right=right | {NEW: board.quality[:, at["large"]]},
            cost=cost | {NEW: board.cost[:, at["large"]]},
        )

    @property
    def worth(self) -> float:
        """Micro-dollars of a right answer."""
        return _WORTH * max(float(cost.mean()) for cost in self.cost.values())

    def expected(self) -> dict[str, Array]:
        """The mean reward of each plan on questions of each question's kind, (questions,), in right answers."""
        found = {}
        for plan, right in self.right.items():
            reward = right.mean(axis=1) - self.cost[plan].mean(axis=1) / self.worth
            found[plan] = (np.bincount(self.kind, reward) / np.bincount(self.kind))[self.kind]
        return found

    def mixes(self) -> tuple[Places, Places]:
        """The questions of those families in which the new plan gains most, one half of them, and the rest."""
        expected = self.expected()
        gain = expected[NEW] - np.max([expected[plan] for plan in expected if plan != NEW], axis=0)
        by_family = np.bincount(self.family, gain) / np.bincount(self.family)
        early = (by_family >= np.median(by_family))[self.family]
        return np.flatnonzero(early), np.flatnonzero(~early)

    def settings(self, policy: str, data: Path) -> Settings:
        """A service with these of the bundled plans, nothing learned; ceilings are about twice the mean cost, since the prior takes half of them."""
        bundled, ceilings = Settings().plans, {plan: round(2 * float(cost.mean())) for plan, cost in self.cost.items()}
        plans = {plan: bundled[plan].model_copy(update={"cost": most}) for plan, most in ceilings.items()}
        return Settings(
            data=data,
            server=ServerSettings(address="127.0.0.1:0", drain_delay=0.0),
            plans=plans,
            predictor=Choice(name="prior"),
            policies={policy: Choice(name=policy)},
            learning=LearningSettings(seconds=0.2),
            tenants={"default": TenantSettings(value=self.worth, exploration=0.0, cache=False)},
        )


@dataclass(slots=True, kw_only=True)
class Asked:
    """One question's way: which it was, what was bought, and what came of it."""

    question: int
    plan: str
    right: float
    cost: float


class Client:
    """Asks at a steady pace; carries plans out, and reports late."""

    def __init__(self, stub: RouterServiceStub, world: World, seed: int) -> None:
        self.stub, self.world, self.rng = stub, world, np.random.default_rng(seed)
        self.broken = ""

    async def phase(self, questions: Sequence[int], plans: Sequence[str], pace: float) -> list[Asked]:
        """All of them, so many a second; returns when all are answered and rated."""
        began = time.perf_counter()
        knobs = query_pb2.Knobs(plans=plans, cache=False)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for place, question in enumerate(questions):
                await asyncio.sleep(max(0.0, began + place / pace - time.perf_counter()))
                tasks.append(group.create_task(self._ask(question, knobs, group)))
        return [task.result() for task in tasks]

    async def _ask(self, question: int, knobs: query_pb2.Knobs, group: asyncio.TaskGroup) -> Asked:
        query = query_pb2.Query(messages=[query_pb2.Message(content=self.world.text[question])], task="TASK_MATH", knobs=knobs)
        planned = await self.stub.PlanQuery(router_service_pb2.PlanQueryRequest(query=query), timeout=30)
        plan = planned.decision.plan
        sample = int(self.rng.integers(self.world.right[plan].shape[1]))
        right = 0.0 if plan == self.broken else float(self.world.right[plan][question, sample])
        asked = Asked(question=question, plan=plan, right=right, cost=float(self.world.cost[plan][question, sample]))
        for _ in range(1 + (self.rng.random() < _REPEATED)):
            group.create_task(self._report(planned.decision_id, asked, float(self.rng.exponential(_LATE))))
        return asked

    async def _report(self, decision_id: str, asked: Asked, late: float) -> None:
        await asyncio.sleep(late)
        request = router_service_pb2.ReportOutcomeRequest(
            decision_id=decision_id, reward=asked.right, source="REWARD_SOURCE_UNIT_TEST", cost_microdollars=round(asked.cost)
        )
        await self.stub.ReportOutcome(request, timeout=30)


def stream(policy: str, questions: int, pace: float, seed: int = 0) -> dict[str, Any]:
    """Everything that one policy's stream showed, by block and by event."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    world = World.bundled()
    with tempfile.TemporaryDirectory(prefix="rheostat-bench-") as folder:
        return asyncio.run(streamed(world, world.settings(policy, Path(folder)), questions // 4, pace, seed))


async def streamed(world: World, settings: Settings, each: int, pace: float, seed: int) -> dict[str, Any]:
    """The same, with so many questions in each of the four phases."""
    rng = np.random.default_rng(seed)
    old = [plan for plan in world.right if plan != NEW]
    first, second = world.mixes()
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        client, asked = Client(RouterServiceStub(channel), world, seed), []
        for name, (pool, plans) in {"start": (first, old), "new plan": (first, [*old, NEW]), "mix turned over": (second, [*old, NEW])}.items():
            asked.append((name, await client.phase(rng.choice(pool, each), plans, pace)))
        client.broken = Counter(one.plan for one in asked[-1][1][-_EVENTUAL:]).most_common(1)[0][0]
        asked.append(("plan broke", await client.phase(rng.choice(second, each), [*old, NEW], pace)))
    return {
        "broken": client.broken,
        "worth": world.worth,
        "block": BLOCK,
        "blocks": [block for name, phase in asked for block in _blocks(world, name, phase, client.broken if name == "plan broke" else "")],
        "events": [_event(world, name, phase, client.broken) for name, phase in asked if name in EVENTS],
    }


def _blocks(world: World, name: str, phase: Sequence[Asked], broken: str) -> list[dict[str, Any]]:
    """Quality, cost and reward of every BLOCK questions, beside the plan that would have been best for all of them.

    `mixture cost` is what drawing plans at random, blind to the question, would have cost at the same quality; infinite where it cannot reach it.
    """
    plans = [plan for plan in world.right if name != "start" or plan != NEW]
    found = []
    for begin in range(0, len(phase), BLOCK):
        part = phase[begin : begin + BLOCK]
        places = [one.question for one in part]
        quality = {plan: 0.0 if plan == broken else float(world.right[plan][places].mean()) for plan in plans}
        cost = {plan: float(world.cost[plan][places].mean()) for plan in plans}
        best = max(plans, key=lambda plan: quality[plan] - cost[plan] / world.worth)
        right, paid = (float(np.mean([getattr(one, field) for one in part])) for field in ("right", "cost"))
        found.append(
            {
                "phase": name,
                "quality": right,
                "cost": paid,
                "reward": right - paid / world.worth,
                "mixture cost": metrics.cost_at(metrics.hull(np.array(list(cost.values())), np.array(list(quality.values()))), right),
                "constant": best,
                "constant quality": quality[best],
                "constant cost": cost[best],
                "constant reward": quality[best] - cost[best] / world.worth,
                "shares": {plan: float(np.mean([one.plan == plan for one in part])) for plan in world.right},
            }
        )
    return found


def _event(world: World, name: str, phase: Sequence[Asked], broken: str) -> dict[str, Any]:
    """After how many questions the stream had come to terms with it; None if it never did."""
    event = EVENTS[name]
    over = min(event.over, len(phase) // 4)
    if name == "mix turned over":
        expected = world.expected()
        best = np.max(list(expected.values()), axis=0)
        told = np.array([best[one.question] - expected[one.plan][one.question] for one in phase])
    else:
        told = np.array([one.plan == (NEW if name == "new plan" else broken) for one in phase], float)
    rolling = np.convolve(told, np.ones(over) / over, mode="valid")  # place p: questions p to p + over
    settled = float(told[-min(_EVENTUAL, len(told) // 2) :].mean())
    there = {
        "new plan": (rolling >= _ADOPTED * settled) & (settled >= _USEFUL),
        "mix turned over": rolling <= settled + _NEAR,
        "plan broke": rolling <= _SHARE,
    }[name]
    after = int(there.argmax()) + over if there.any() else None
    met = after is not None and after <= event.aim
    return {"event": name, "what": event.what, "settled": settled, "after": after, "aim": event.aim, "met": met}
