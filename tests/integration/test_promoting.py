"""From a log to a predictor to serving it, and back; and the honesty guard: a running service, real Redis, real log, reviews every moment."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from router.app import Service, service
from router.settings import Choice, PromotionSettings, Settings, WorkerSettings
from router.store import attached, promotion_key
from router.terms import TenantSettings
from router.types import Message, Query, Reward, Stage
from tests.integration.conftest import PLANS, POOLS
from tests.integration.test_cli import output

KINDS = {"sums": "Calculate {} + 4.", "divisors": "What is the greatest common divisor of {} and 36, and how do you find such a thing?"}
SERVING, GUARDED = (
    TenantSettings(cache=False, value=1e6, exploration=0.4, max_stages=1, policy=policy, guard=guard)
    for policy, guard in (("fixed", False), ("wrong", True))
)


@pytest.fixture
def configured(settings: Settings, worker: str) -> Settings:
    """Always `quick`, or for who is guarded always `other`, but for exploration; reviews every half second."""
    return settings.model_copy(
        update={
            "worker": WorkerSettings(address=worker, pools=POOLS.pools),
            "predictor": Choice(name="prior"),
            "plans": {"quick": PLANS["quick"], "other": PLANS["quick"].model_copy(update={"options": {"temperature": 0.5}})},
            "policies": {name: Choice(name="fixed", options={"plan": plan}) for name, plan in (("fixed", "quick"), ("wrong", "other"))},
            "tenants": {"default": SERVING},
            "promotion": PromotionSettings(seconds=0.5, share=0.3, least=60, most=50_000),
        }
    )


class Caller:
    """Asks, and says what the answers are worth. `right` has the kinds of questions that each plan is to get right, 19 in 20 times."""

    def __init__(self, running: Service, **right: set[str]) -> None:
        self.running, self.right = running, right
        self.asked, self.reasons, self.plans = 0, [""], [""]

    async def go(self) -> None:
        terms = self.running.pipeline._parts.tenants["default"].knobs
        while True:
            self.asked += 1
            kind, number = list(KINDS)[self.asked % 2], self.asked
            messages = (Message(content=KINDS[kind].format(number)),)
            bought, *_, final = [event async for event in self.running.pipeline.answer(Query(id="q", messages=messages, knobs=terms))]
            if isinstance(bought, Stage):
                self.reasons.append(bought.decision.reason)
                self.plans.append(bought.decision.plan)
                right = (kind in self.right[bought.decision.plan]) != (number % 20 < 1)
                await self.running.pipeline.report(Reward(decision_id=final.decision_id, value=float(right), source="verifier", at=1.0), "default")

    async def more(self, count: int) -> None:
        """Wait until so many more were asked."""
        until = self.asked + count
        while self.asked < until:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def calling(settings: Settings, **right: set[str]) -> AsyncIterator[Caller]:
    async with service(settings) as running:
        caller = Caller(running, **right)
        tasks = [asyncio.create_task(caller.go()) for _ in range(6)]
        try:
            yield caller
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def command(settings: Settings, folder: Path, *words: str) -> tuple[int, str, str]:
    file = folder / "settings.yaml"
    file.write_text(settings.model_dump_json(exclude={"config"}))
    return await output(*words, env={"RHEOSTAT_CONFIG": str(file)})


async def promote(settings: Settings, folder: Path, *words: str) -> dict[str, object]:
    """The command, as another process gives it."""
    code, out, err = await command(settings, folder, "promote", *words, "--json")
    assert code == 0, err
    return json.loads(out)


async def until(settings: Settings, folder: Path, stage: str) -> list[str]:
    """The stages the candidate has come through, once it is at this one."""
    async with asyncio.timeout(100):
        while (found := (await promote(settings, folder, "status"))["promotion"])["stage"] != stage:
            await asyncio.sleep(0.5)
    return [event["stage"] for event in found["events"]]


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_predictor_comes_from_the_log_to_serving_and_a_regression_takes_it_back(configured: Settings, tmp_path: Path) -> None:
    """Each plan knows one kind of question, so that no constant plan and no mixture is as good as looking; until both know the other kind."""
    better = tmp_path / "better"
    async with calling(configured, quick={"sums"}, other={"divisors"}) as caller:
        await caller.more(400)
        code, _, err = await command(configured, tmp_path, "retrain", "--to", str(better), "--json")
        assert code == 0, err
        candidate = tmp_path / "candidate.yaml"
        candidate.write_text(yaml.safe_dump({"policy": {"name": "allocator"}, "predictor": str(better)}))
        await promote(configured, tmp_path, "begin", str(candidate))
        assert await until(configured, tmp_path, "full") == ["shadow", "canary", "full"]
        assert any(reason.startswith("candidate, canary") for reason in caller.reasons)
        caller.right |= {"quick": {"divisors"}, "other": {"sums"}}
        assert await until(configured, tmp_path, "rolled back") == ["shadow", "canary", "full", "rolled back"]
        await asyncio.sleep(1.5)
        caller.reasons.clear()
        await caller.more(50)
        assert not any(reason.startswith("candidate") for reason in caller.reasons)


async def test_where_routing_is_worse_than_a_constant_plan_that_plan_serves_and_says_so(configured: Settings, tmp_path: Path) -> None:
    guarded = configured.model_copy(update={"tenants": {"default": GUARDED}})
    async with calling(guarded, quick={"sums", "divisors"}, other=set()) as caller:
        async with asyncio.timeout(100):
            while not caller.reasons[-1].startswith("honesty guard: routing is ahead of always quick by -"):
                await asyncio.sleep(0.2)
        caller.plans.clear()
        await caller.more(200)
        assert caller.plans.count("quick") > 0.6 * len(caller.plans)
        assert (await promote(guarded, tmp_path, "status"))["guard"]["verdict"] == "worse"


async def test_what_cannot_be_promoted_is_refused(configured: Settings, tmp_path: Path) -> None:
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(yaml.safe_dump({"policy": {"name": "fixed", "options": {"plan": "other"}}}))
    async with service(configured):
        await promote(configured, tmp_path, "begin", str(candidate))
        code, _, err = await command(configured, tmp_path, "promote", "begin", str(candidate))
        assert (code, "already" in err) == (5, True)
        assert (await promote(configured, tmp_path, "stop"))["promotion"]["stage"] == "rolled back"
        async with attached(None, configured.data / "redis") as store:
            whole = await store.ask(lambda redis: redis.hget(promotion_key("default"), "promotion"))
            await store.ask(lambda redis: redis.hset(promotion_key("default"), "promotion", whole[: len(whole) // 2]))
        code, _, err = await command(configured, tmp_path, "promote", "status")
        assert (code, "damaged" in err) == (7, True)
        assert (await promote(configured, tmp_path, "stop"))["promotion"] is None
        candidate.write_text(yaml.safe_dump({"predictor": str(tmp_path / "nowhere")}))
        code, _, err = await command(configured, tmp_path, "promote", "begin", str(candidate))
        assert (code, "BAD_ARTIFACT" in err) == (7, True)
