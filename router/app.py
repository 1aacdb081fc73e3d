"""The composition root: the one place where everything meets. What it opens it closes, in reverse."""

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from policies import policies
from policies.bandit import Bandit
from policies.batch import allocate
from policies.learner import Learner
from policies.neural_linear import NeuralLinear
from policies.pacer import ObjectivePacer
from policies.posterior import Posterior
from predictors import predictors
from predictors.encoders import encoders
from predictors.features import Featurizer
from predictors.heads import heads
from predictors.prior import Prior
from router.access.door import Door, open_door
from router.admission import Admission
from router.background import background
from router.cache.answers import open_answers
from router.cache.models import models_behind
from router.child import kept_running
from router.congestion import Congestion
from router.errors import StoreUnavailable
from router.evaluation.desk import Desk
from router.journal import FileJournal, JournalOptions, open_journal
from router.learning import learning
from router.ledger.allowance import LOCAL_LIMIT
from router.ledger.ledger import RedisLedger
from router.ledger.recovery import logged, recover
from router.operations.service import OperationsService, Seen
from router.pacing import pacing
from router.pipeline import Parts, Pipeline
from router.ports import Encoder, Pacer, Policy, Verifier
from router.predictor import first_predictor
from router.promotion.keeper import keeping
from router.redaction import masked
from router.registry import Registry
from router.reloading import reloading
from router.server import Server
from router.service import RouterService
from router.settings import Settings
from router.stamp import Stamp
from router.store import Store, open_redis, pace_key, shared_secret
from router.telemetry import Telemetry, open_telemetry
from router.tenancy.register import Register, Tenancy, open_register
from router.tenants import Tenants, Window
from router.terms import TenantSettings
from router.turn import Second
from router.turnstile import Turnstile
from router.types import Objective
from workers.backends import backends
from workers.energy import Modelled, measured
from workers.fleet import open_fleet
from workers.pool import Pool
from workers.sandbox import ProcessSandbox
from workers.strategies import strategies
from workers.verifiers import verifiers

if TYPE_CHECKING:
    from router.web.door import HttpDoor

log = structlog.get_logger("rheostat")
_BUDGET_SECONDS = 10.0
_SWITCH = 0.0005  # seconds: what the log's thread does must not hold up calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service, for whoever started it."""

    server: Server
    pipeline: Pipeline
    journal: FileJournal
    ledger: RedisLedger
    pacers: Mapping[str, Pacer]
    address: str
    http: "HttpDoor | None"
    parts: Mapping[str, str]  # what was started, and where, for people

    async def serve_until(self, stop: asyncio.Event, drain_delay: float, grace: float) -> None:
        """Serve until `stop`, at every door; then as `Server.serve_until`."""
        async with asyncio.TaskGroup() as doors:
            doors.create_task(self.server.serve_until(stop, drain_delay, grace))
            if self.http:
                doors.create_task(self.http.serve_until(stop, drain_delay))


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Service]:
    """Everything, wired and started; a worker and a Redis of our own where none is configured."""
    settings.served().data.mkdir(parents=True, exist_ok=True)
    sys.setswitchinterval(_SWITCH)
    async with AsyncExitStack() as stack:
        telemetry = stack.enter_context(open_telemetry(prometheus=settings.telemetry.prometheus))
        store = await stack.enter_async_context(open_redis(settings.redis_url, settings.data / "redis"))
        workers = settings.worker.places or (await stack.enter_async_context(own_worker(settings)),)
        congestion = Congestion()
        expected = {name: pool.model for name, pool in settings.worker.pools.items()}
        fleet = await stack.enter_async_context(open_fleet(workers, lambda loads: congestion.observe(loads, time.monotonic()), expected))
        telemetry.watch_pools(fleet.loads, lambda: congestion.shares)
        telemetry.watch_workers(fleet.workers, lambda: fleet.ejected, lambda: {"straggler": fleet.hedged, "failure": fleet.retried})
        desk = Desk(settings)
        stack.callback(desk.close)
        register = await stack.enter_async_context(open_register(store, settings, desk.offered))
        register.watch(lambda _: desk.judge_for(register.terms))
        tenants = Tenants({})
        register.watch(lambda found: tenants.swap({name: one.tenant for name, one in found.items()}))
        ledger = await stack.enter_async_context(RedisLedger(store, tenants.windows, fleet=_fleet(settings), local_limit=LOCAL_LIMIT))
        await stack.enter_async_context(background(recovery=recover(await asyncio.to_thread(logged, settings.data / settings.journal.name), ledger)))
        options = JournalOptions(rotate_rows=settings.journal.rotate_rows, rotate_seconds=settings.journal.rotate_seconds)
        journal = await stack.enter_async_context(open_journal(settings.data / settings.journal.name, store, options))
        telemetry.watch_journal(lambda: journal.pending)
        pacers = await stack.enter_async_context(_pacing(register, store))
        telemetry.watch_pacers(pacers)
        await stack.enter_async_context(_budgets(tenants, ledger, telemetry))
        admission = await stack.enter_async_context(Admission(Turnstile(settings.server.permits, settings.server.queue), ledger, telemetry))
        encoder = encoders.build(settings.encoder.name, settings.encoder.options)
        models = await asyncio.to_thread(models_behind, settings.worker.pools)
        cache = await stack.enter_async_context(open_answers(store, settings.cache, tenants, telemetry, models))
        parts = Parts(
            catalogue={name: plan.plan(name) for name, plan in settings.plans.items()},
            describer=Featurizer(encoder),
            prior=Prior(),
            policies={name: policies.build(choice.name, choice.options) for name, choice in settings.policies.items()},
            allocate=allocate,
            executor=fleet,
            congestion=congestion,
            admission=admission,
            cache=cache,
            journal=journal,
            tenants=tenants,
            pacers=pacers,
            telemetry=telemetry,
            second=_second(settings, encoder),
            stamp=Stamp(await shared_secret(store)),
        )
        pipeline = Pipeline(parts, first_predictor(settings))
        await stack.enter_async_context(reloading(settings, pipeline, desk))
        await stack.enter_async_context(_experience(settings, store, pipeline, parts.policies, telemetry))
        await stack.enter_async_context(_promotions(settings, lambda: register.terms, store, desk, pipeline, telemetry=telemetry))
        looking = OperationsService(
            Seen(
                settings=settings, register=register, store=store, ledger=ledger, pipeline=pipeline, fleet=fleet, congestion=congestion, pacers=pacers
            )
        )
        facade = RouterService(pipeline, desk, tenants.__getitem__, settings.server.max_deadline)
        door = await stack.enter_async_context(open_door(settings, register, store, tenants))
        place = settings.server
        inner = f"unix:{stack.enter_context(tempfile.TemporaryDirectory(prefix='rheostat-http-'))}/router.sock" if place.http else ""
        private = [one for one in (place.private, inner) if one]
        server = Server(facade, place.address, telemetry, door=door, operations=looking, private=private, reuse_port=place.reuse_port)
        await server.start()
        stack.push_async_callback(server.stop, 0)
        http = await stack.enter_async_context(_http(settings, door, pipeline, inner)) if inner else None
        address = settings.server.address if server.port <= 1 else f"{settings.server.address.rpartition(':')[0]}:{server.port}"
        yield Service(
            server=server,
            pipeline=pipeline,
            journal=journal,
            ledger=ledger,
            pacers=pacers,
            address=address,
            http=http,
            parts=_told(settings, address, workers, pipeline) | ({"OpenAI": http.url, "console": http.console} if http else {}),
        )


def _http(settings: Settings, door: Door, pipeline: Pipeline, inner: str) -> AbstractAsyncContextManager["HttpDoor"]:
    from router.web.door import open_http  # noqa: PLC0415 - brings a web server

    return open_http(settings, door.gate, lambda: pipeline.catalogue, inner)


def settled() -> None:
    """Tell the garbage collector, once a service has started, that what is there stays; looking through it took a fifth of a cached answer's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def _fleet(settings: Settings) -> tuple[Window, ...]:
    """None where nothing is limited: spending is counted by tenant anyway."""
    windows = settings.fleet.windows
    return windows if any(window.limit is not None for window in windows) else ()


@asynccontextmanager
async def _pacing(register: Register, store: Store) -> AsyncIterator[Mapping[str, Pacer]]:
    """A pacer for every tenant with an objective, as long as it has that objective; routers share what they know."""
    pacers: dict[str, Pacer] = {}
    shared: dict[str, Pacer] = {}
    objectives: dict[str, Objective] = {}

    def keep(found: Mapping[str, Tenancy]) -> None:
        wanted = {name: one.tenant.objective for name, one in found.items() if one.tenant.objective}
        for name in [name for name, objective in objectives.items() if wanted.get(name) != objective]:
            del pacers[name], shared[pace_key(name, objectives.pop(name))]
        for name in wanted.keys() - objectives.keys():
            objectives[name] = wanted[name]
            pacers[name] = shared[pace_key(name, wanted[name])] = ObjectivePacer(wanted[name], time.time())

    register.watch(keep)
    async with pacing(store, shared):
        yield pacers


@asynccontextmanager
async def _budgets(tenants: Tenants, ledger: RedisLedger, telemetry: Telemetry) -> AsyncIterator[None]:
    """Where metrics are listened to: what is left of every budget, asked now and then."""
    left: dict[tuple[str, str, str], float] = {}
    telemetry.watch_budgets(lambda: dict(left))

    async def look() -> None:
        while True:
            for tenant in tenants:
                limits = {(window.name, window.unit.value): window.limit for window in tenant.windows if window.limit is not None}
                with suppress(StoreUnavailable):
                    spent = await ledger.all_spent(tenant.id) if limits else {}
                    left.update({(tenant.id, *window): limit - sum(spent[window[0]]) for window, limit in limits.items()})
            await asyncio.sleep(_BUDGET_SECONDS)

    async with AsyncExitStack() as stack:
        if telemetry.measures:
            await stack.enter_async_context(background(budgets=look()))
        yield


@asynccontextmanager
async def _experience(
    settings: Settings, store: Store, pipeline: Pipeline, configured: Mapping[str, Policy], telemetry: Telemetry
) -> AsyncIterator[None]:
    """What outcomes teach the configured policies that learn online."""
    disbelieved, followed = 0, time.monotonic()
    bandits = {name: policy for name, policy in configured.items() if isinstance(policy, Bandit)}

    def publish(posteriors: Mapping[str, Posterior]) -> None:
        nonlocal disbelieved
        pipeline.learned = {(name, tenant): policy.after(one) for name, policy in bandits.items() for tenant, one in posteriors.items()}
        changes = {"/".join(key): count for key, count in learner.changes.items()}
        unheard = learner.disbelieved
        seen = {"outcomes": learner.outcomes, "quarantined": dict(learner.quarantined), "disbelieved": unheard}
        disbelieved = len(unheard)
        log.info("learned", tenants=len(posteriors), changes=changes, **seen)

    def at_the_end() -> None:
        nonlocal followed
        followed = time.monotonic()

    def changed_plans() -> Counter[str]:
        plans: Counter[str] = Counter()
        for (_, plan), count in learner.changes.copy().items():
            plans[plan] += count
        return plans

    deep = any(isinstance(policy, NeuralLinear) for policy in bandits.values())
    learner = Learner(half_life=settings.learning.half_life, most=settings.learning.most, deep=deep)
    async with AsyncExitStack() as stack:
        if bandits:
            telemetry.watch_learning(
                lambda: learner.outcomes,
                changed_plans,
                learner.quarantined.copy,
                lambda: disbelieved,
                lambda: time.monotonic() - followed,
            )
            await stack.enter_async_context(learning(store, learner, publish, settings.learning.seconds, at_the_end))
        yield


@asynccontextmanager
async def _promotions(
    settings: Settings, terms: Callable[[], Mapping[str, TenantSettings]], store: Store, desk: Desk, pipeline: Pipeline, *, telemetry: Telemetry
) -> AsyncIterator[None]:
    """Candidates come to serve, and the honesty guard asks whether routing is worth it."""
    async with keeping(settings, terms, store, desk, pipeline) as keeper:
        telemetry.watch_guard(lambda: {tenant: one.guard.closed for tenant, one in keeper.standings.items()})
        telemetry.watch_standings(
            lambda: {tenant: one.guard.verdict for tenant, one in keeper.standings.items()},
            lambda: {tenant: one.promotion.stage for tenant, one in keeper.standings.items() if one.promotion},
        )
        yield


def _second(settings: Settings, quick: Encoder) -> Second | None:
    if settings.second is None:
        return None
    encoder, predictor = settings.second.encoder, settings.second.predictor
    return Second(
        describer=Featurizer(quick, encoders.build(encoder.name, encoder.options)),
        predictor=predictors.build(predictor.name, predictor.options),
        close=settings.second.close,
    )


def _told(settings: Settings, address: str, workers: Sequence[str], pipeline: Pipeline) -> dict[str, str]:
    return {
        "gRPC": address + (" (TLS)" if settings.server.tls else ""),
        "access": settings.access.told,
        "worker": ", ".join(workers),
        "Redis": masked(settings.redis_url or "") or f"our own, in {settings.data / 'redis'}",
        "decision log": str(settings.data / settings.journal.name),
        "predictor": f"{settings.predictor.name} {pipeline.predictor.version}",
        "policy": next(iter(settings.policies)),
        "plans": ", ".join(settings.plans),
    }


@asynccontextmanager
async def own_worker(settings: Settings) -> AsyncIterator[str]:
    """A worker process of our own, with these settings, on a Unix socket; gives its address. It is started again if it dies."""
    with tempfile.TemporaryDirectory(prefix="rheostat-worker-") as folder:
        config, address = Path(folder) / "settings.yaml", f"unix:{folder}/worker.sock"
        config.write_text(settings.model_dump_json(exclude={"config", "telemetry"}))  # JSON is YAML; what is scraped is the router
        env = {name: value for name, value in os.environ.items() if not name.startswith("RHEOSTAT_")}
        env |= {"RHEOSTAT_CONFIG": str(config), "OMP_NUM_THREADS": str(settings.worker.threads)}
        async with kept_running("worker", [sys.executable, "-m", "router", "work", "--address", address], env):
            yield address


@asynccontextmanager
async def pools(settings: Settings) -> AsyncIterator[dict[str, Pool]]:
    """The configured pools, loaded; models and verifiers that several pools name alike are loaded once."""
    built: dict[str, Verifier] = {}
    meters = {gpus: measured(gpus) for gpus in {pool.gpus for pool in settings.worker.pools.values()}}
    async with AsyncExitStack() as stack:
        made = {}
        for name, pool in settings.worker.pools.items():
            backend = backends.build(pool.backend.name, pool.backend.options)
            stack.push_async_callback(backend.close)
            await backend.prepare()
            verifier = None
            if pool.verifier:
                key = pool.verifier.model_dump_json()
                if key not in built:
                    built[key] = verifiers.build(pool.verifier.name, pool.verifier.options)
                    stack.push_async_callback(built[key].close)
                verifier = built[key]
            sandbox = ProcessSandbox(seconds=pool.sandbox.seconds, megabytes=pool.sandbox.megabytes) if pool.sandbox else None
            energy = meters[pool.gpus] or Modelled(pool.joules_per_token)
            made[name] = Pool(
                backend=backend,
                verifier=verifier,
                sandbox=sandbox,
                energy=energy,
                model=pool.model,
                turnstile=Turnstile(pool.slots, pool.queue) if pool.slots else None,
            )
        yield made


def families() -> dict[str, Registry[Any]]:
    """Every kind of plug-in."""
    return {
        "encoder": encoders,
        "predictor": predictors,
        "head": heads,
        "policy": policies,
        "strategy": strategies,
        "backend": backends,
        "verifier": verifiers,
    }
