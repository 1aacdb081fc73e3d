"""Keeping promotions going: state in Redis, arms in the pipeline, and a review now and then, in a process of its own."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from pydantic import ValidationError

from policies import policies
from policies.fixed import Fixed
from router.background import background
from router.errors import BadArtifact, InvalidQuery, RouterError, StoreUnavailable
from router.evaluation.desk import Desk
from router.evaluation.question import Question
from router.pipeline import Pipeline
from router.predictor import fitted
from router.promotion.review import CANDIDATE, CONTROL, from_shadow, from_traffic, guarded
from router.promotion.state import Guard, Promotion
from router.section import Section
from router.settings import CandidateSettings, Choice, PromotionSettings, Settings
from router.store import Store, attached, promotion_key, reviewing_key
from router.tenancy.register import registered
from router.terms import TenantSettings
from router.turn import Arm

log = structlog.get_logger("rheostat.promotion")
_LOOK = 1.0  # seconds until every router has seen a change
_LOCK = 120.0  # seconds a review may take
_TRAFFIC = 50_000  # latest rated requests that a canary is judged by, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is kept of one tenant."""

    promotion: Promotion | None = None
    guard: Guard = field(default_factory=Guard)

    def told(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "promotion": self.promotion.model_dump(mode="json", exclude_unset=True) if self.promotion else None,
            "guard": self.guard.model_dump(mode="json"),
        }


async def standing(store: Store, tenant: str) -> Standing:
    """As it is in Redis; raises BadArtifact where that is damaged."""
    promotion, guard = await store.ask(lambda redis: redis.hmget(promotion_key(tenant), ["promotion", "guard"]))
    try:
        return Standing(
            promotion=Promotion.model_validate_json(promotion) if promotion else None,
            guard=Guard.model_validate_json(guard) if guard else Guard(),
        )
    except ValidationError as error:
        raise BadArtifact(f"what Redis holds of {tenant}'s promotion is damaged: `rheostat promote stop` removes it", tenant=tenant) from error


# KEYS: a tenant's hash. ARGV: field, what it was when it was looked at ("" for nothing), what it is to be.
_SWAP = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


async def put(store: Store, tenant: str, name: str, old: Section | None, new: Section) -> bool:
    """Write a state over the one that it came from; false where somebody else was quicker."""
    was = old.model_dump_json() if old else ""
    swap = store.client.register_script(_SWAP)
    return bool(await store.ask(lambda _: swap(keys=[promotion_key(tenant)], args=[name, was, new.model_dump_json()])))


async def changed(settings: Settings, tenant: str, begins: Promotion | None = None, *, stop: bool = False) -> Standing:
    """For a command beside the service: how a tenant stands, after a promotion is begun or stopped. Raises UnknownTenant, and what these do."""
    async with attached(settings.redis_url, settings.data / "redis") as store:
        (await registered(store, settings))[tenant]  # raises where there is none
        if begins:
            return await begin(store, settings, tenant, begins)
        return await (stopped(store, tenant) if stop else standing(store, tenant))


async def begin(store: Store, settings: Settings, tenant: str, promotion: Promotion) -> Standing:
    """How a tenant stands, once its candidate is in the shadow. Raises InvalidQuery where that cannot be, and what building it raises."""
    old = (await standing(store, tenant)).promotion
    if old and old.under_way:
        raise InvalidQuery(f"a candidate is in its {old.stage} already: take that one back first", field="candidate")
    arms(Standing(promotion=promotion.model_copy(update={"stage": "full"})), settings.promotion, settings.policies)
    return await _moved(store, tenant, old, promotion)


async def stopped(store: Store, tenant: str) -> Standing:
    """How a tenant stands, once its candidate was taken back; what is damaged is removed. Raises InvalidQuery where there is none."""
    try:
        old = (await standing(store, tenant)).promotion
    except BadArtifact:
        await store.ask(lambda redis: redis.delete(promotion_key(tenant)))
        return Standing()
    if old is None or old.stage in ("rejected", "rolled back"):
        raise InvalidQuery("there is no candidate to take back", field="tenant")
    return await _moved(store, tenant, old, old.to("rolled back", "stopped by hand", time.time()))


async def _moved(store: Store, tenant: str, old: Promotion | None, new: Promotion) -> Standing:
    if not await put(store, tenant, "promotion", old, new):
        raise InvalidQuery("somebody else changed this promotion in this moment: look again", field="tenant")
    return await standing(store, tenant)


@asynccontextmanager
async def keeping(
    settings: Settings, terms: Callable[[], Mapping[str, TenantSettings]], store: Store, desk: Desk, pipeline: Pipeline
) -> AsyncIterator["Keeper"]:
    """While this is open, the pipeline has every tenant's arms, and reviews are made. `terms` gives the tenants there are."""
    keeper = Keeper(settings, terms, store, desk, pipeline)
    async with background(promotion_follow=keeper.follow(), promotion_review=keeper.review()):
        yield keeper


class Keeper:
    """One router's part in all tenants' promotions. `standings` is what it last saw."""

    def __init__(self, settings: Settings, terms: Callable[[], Mapping[str, TenantSettings]], store: Store, desk: Desk, pipeline: Pipeline) -> None:
        self.standings: dict[str, Standing] = {}
        self._settings, self._terms, self._store, self._desk, self._pipeline = settings, terms, store, desk, pipeline
        self._reviewed: Counter[str] = Counter()  # what had been reported at a tenant's last review

    async def follow(self) -> None:
        """See changes, whoever made them."""
        while True:
            try:
                seen = {tenant: await self._seen(tenant) for tenant in self._terms()}
                if seen != self.standings:
                    self.standings = seen
                    self._pipeline.arms = await asyncio.to_thread(self._arms)
            except StoreUnavailable as error:
                log.warning("promotions_unknown", error=str(error))
            await asyncio.sleep(_LOOK)

    async def _seen(self, tenant: str) -> Standing:
        """What is damaged counts as nothing, for this tenant alone; it is reported when it is first seen."""
        try:
            return await standing(self._store, tenant)
        except BadArtifact as error:
            if self.standings.get(tenant) != Standing():
                log.error("promotion_damaged", tenant=tenant, error=error.message)
            return Standing()

    def _arms(self) -> dict[str, list[Arm]]:
        found = {}
        for tenant, one in self.standings.items():
            try:
                found[tenant] = arms(one, self._settings.promotion, self._settings.policies)
            except (RouterError, ValueError) as error:
                log.error("candidate_refused", tenant=tenant, error=str(error))
        return found

    async def review(self) -> None:
        """Of every tenant of whom something was reported here since the last time, by one router at a time."""
        while True:
            await asyncio.sleep(self._settings.promotion.seconds)
            try:
                if await self._store.ask(lambda redis: redis.set(reviewing_key(), "1", nx=True, ex=int(_LOCK))):
                    for tenant, count in list(self._pipeline.reports.items()):
                        if count > self._reviewed[tenant]:
                            self._reviewed[tenant] = count
                            await self.reviewed(tenant)
                    await self._store.ask(lambda redis: redis.delete(reviewing_key()))
            except StoreUnavailable as error:
                log.warning("review_delayed", error=str(error))

    async def reviewed(self, tenant: str) -> None:
        """One tenant's guard and promotion, by its log."""
        now = time.time()
        try:
            seen = await standing(self._store, tenant)
            if (terms := self._terms().get(tenant)) and terms.guard:
                serves = seen.promotion.candidate if seen.promotion and seen.promotion.stage == "adopted" else CandidateSettings()
                guard = guarded(await self._desk.answer(Question(candidate=serves, tenant=tenant)), self._settings.promotion, now)
                await self._moved(tenant, "guard", seen.guard if seen.guard.at else None, guard, guard.verdict != seen.guard.verdict)
            if seen.promotion and seen.promotion.under_way:
                promotion = await self._next(tenant, seen.promotion, now)
                await self._moved(tenant, "promotion", seen.promotion, promotion, promotion != seen.promotion)
        except StoreUnavailable:
            raise
        except RouterError as error:
            log.info("nothing_to_review", tenant=tenant, reason=error.reason, error=error.message)
        except Exception:  # whatever the log holds, the next review is made, and of the other tenants this one
            log.exception("review_failed", tenant=tenant)

    async def _next(self, tenant: str, promotion: Promotion, now: float) -> Promotion:
        terms, question = self._settings.promotion, Question(candidate=promotion.candidate, tenant=tenant)
        if promotion.stage == "shadow":
            return from_shadow(promotion, await self._desk.answer(question), terms, now)
        return from_traffic(promotion, await self._desk.returns(replace(question, most=_TRAFFIC), promotion.began), terms, now)

    async def _moved(self, tenant: str, name: str, old: Section | None, new: Section, changed: bool) -> None:
        if await put(self._store, tenant, name, old, new) and changed:
            log.warning(f"{name}_moved", tenant=tenant, **new.model_dump(mode="json", exclude={"candidate", "events"}))


def arms(seen: Standing, terms: PromotionSettings, configured: Mapping[str, Choice]) -> list[Arm]:
    """Who decides which share of a tenant's requests. Raises what building the candidate raises."""
    found, promotion = [], seen.promotion
    if promotion and promotion.stage in ("canary", "full", "adopted"):
        share = {"canary": terms.share, "full": 1 - 2 * terms.share, "adopted": 1.0}[promotion.stage]
        found.append(_candidate(promotion, share, configured))
        if promotion.stage != "adopted":
            knobs = promotion.candidate.knobs  # the same, or exploring less would look like deciding better
            found.append(Arm(name=CONTROL, share=terms.share, policy=Fixed(plan=promotion.control), knobs=knobs, note="control of a canary"))
    if seen.guard.closed:
        found.append(Arm(name=CONTROL, share=1.0, policy=Fixed(plan=seen.guard.control), note=f"honesty guard: {seen.guard.why}"))
    return found


def _candidate(promotion: Promotion, share: float, configured: Mapping[str, Choice]) -> Arm:
    """A policy that is configured alike decides under its name, with what it has learned."""
    candidate, knobs, policy = promotion.candidate, dict(promotion.candidate.knobs), None
    if choice := candidate.policy:
        if configured.get(choice.name) == choice:
            knobs["policy"] = choice.name
        else:
            policy = policies.build(choice.name, choice.options)
    predictor = fitted(candidate.predictor) if candidate.predictor else None
    return Arm(name=CANDIDATE, share=share, policy=policy, predictor=predictor, knobs=knobs, note=f"candidate, {promotion.stage}")
