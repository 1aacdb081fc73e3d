"""Reloading: a retrained predictor, and other plans, come to serve without a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from predictors.artifact import MANIFEST, changed
from router.background import background
from router.errors import BadArtifact
from router.evaluation.desk import Desk
from router.pipeline import Pipeline
from router.predictor import fitted
from router.settings import Settings
from router.written import written

log = structlog.get_logger("rheostat")
_LOOK = 1.0  # seconds between two looks at the files


@asynccontextmanager
async def reloading(settings: Settings, pipeline: Pipeline, desk: Desk) -> AsyncIterator[None]:
    """Swap in a retrained predictor when one appears, and other plans when the settings file has them."""
    async with background(predictor_reload=_reload(settings, pipeline), catalogue_reload=_reread(settings, pipeline, desk)):
        yield


async def _reread(settings: Settings, pipeline: Pipeline, desk: Desk) -> None:
    """A settings file that is not in order is reported once, and so is one that changes more than plans: that takes a restart."""
    stamp = written(settings.config)
    while settings.config:
        await asyncio.sleep(_LOOK)
        if (now := written(settings.config)) in (stamp, 0):
            continue
        stamp = now
        try:
            new = await asyncio.to_thread(Settings, config=settings.config)
        except (ValueError, OSError) as error:
            log.warning("settings_refused", error=str(error))
            continue
        if changes := [name for name in Settings.model_fields if name != "plans" and getattr(new, name) != getattr(settings, name)]:
            log.warning("settings_need_a_restart", changed=changes)
        desk.settings = desk.settings.model_copy(update={"plans": new.plans})
        pipeline.catalogue = {name: plan.plan(name) for name, plan in new.plans.items() if plan.pool in settings.worker.pools}
        log.info("catalogue_reloaded", plans=list(pipeline.catalogue))


async def _reload(settings: Settings, pipeline: Pipeline) -> None:
    """A damaged predictor is reported once, and the old one goes on serving."""
    manifest, looked_at = settings.predictor_directory / MANIFEST, 0
    while True:
        await asyncio.sleep(_LOOK)
        if (stamp := written(manifest)) in (looked_at, 0):
            continue
        looked_at = stamp
        if changed(settings.predictor_directory, pipeline.predictor.version):
            try:
                pipeline.predictor = await asyncio.to_thread(fitted, settings.predictor_directory)
                log.info("predictor_reloaded", version=pipeline.predictor.version)
            except BadArtifact as error:
                log.warning("predictor_refused", error=error.message, serving=pipeline.predictor.version)
