"""A service whose policy learns while it serves: real Redis, real log."""

import asyncio
import random
from dataclasses import replace

import numpy as np

from router.app import Service, service
from router.settings import Choice, Settings, WorkerSettings
from router.terms import TenantSettings
from router.types import Knobs, Message, Query, Reward, Task
from tests.integration.conftest import POOLS

EVEN = Choice(name="prior", options={"low": 0.6, "high": 0.6})
TRUTH = {"quick": 0.95, "long": 0.1}
KNOBS = Knobs(value=1e9, policy="thompson", exploration=0.1)


def a_query(number: int) -> Query:
    return Query(id=str(number), messages=(Message(content=f"Calculate {number} + 4."),), task=Task.MATH, seed=number, knobs=KNOBS)


async def share(running: Service, name: str = "quick", first: int = 1_000) -> float:
    """How probable this plan is to be bought, over some queries."""
    chances = [(await running.pipeline.plan(replace(a_query(first + number), seed=7 + number))).decision for number in range(30)]
    return float(np.mean([one.plan == name for one in chances]))


async def learned(running: Service, outcomes: int) -> str:
    """The version of what was learned, once so many outcomes are in it."""
    for _ in range(200):
        await asyncio.sleep(0.05)
        policy = running.pipeline.learned.get(("thompson", ""))
        if policy is not None and policy.posterior.count.sum() > outcomes - 0.5:
            return policy.version
    raise AssertionError("not learned in time")


async def test_outcomes_move_the_policy_and_a_restart_makes_the_same_of_them(settings: Settings, worker: str):
    """Forecast alike, `quick` is in truth right, `long` mostly wrong. Outcomes come late, out of order and twice."""
    changes = {"policies": {"thompson": Choice(name="thompson")}, "predictor": EVEN, "tenants": {"default": TenantSettings(cache=False)}}
    own = settings.model_copy(update={"worker": WorkerSettings(address=worker, pools=POOLS.pools), **changes})
    async with service(own) as running:
        before = await share(running)
        decided = [(await running.pipeline.plan(a_query(number))) for number in range(120)]
        chance = random.Random(0)
        rewards = [
            Reward(decision_id=one.decision_id, value=float(chance.random() < TRUTH[one.decision.plan]), source="unit_test", at=1.0)
            for one in decided
        ]
        chance.shuffle(rewards)
        for reward in [*rewards, *rewards[:30]]:
            await running.pipeline.report(reward, "default")
        version = await learned(running, len(decided))
        after = await share(running)
    assert before < 0.75
    assert after > 0.85
    async with service(own) as again:
        assert await learned(again, len(decided)) == version
