"""Which predictor serves."""

from pathlib import Path

import structlog

from predictors import predictors
from predictors.artifact import MANIFEST
from predictors.prior import Prior
from router.errors import BadArtifact
from router.ports import Predictor
from router.settings import Choice, Settings

log = structlog.get_logger("rheostat.predictor")


def first_predictor(settings: Settings) -> Predictor:
    """The retrained one, else the configured one, else the prior: whichever is whole."""
    retrained = [_at(settings.predictor_directory)] if (settings.predictor_directory / MANIFEST).exists() else []
    for choice in (*retrained, settings.predictor):
        try:
            return predictors.build(choice.name, choice.options)
        except BadArtifact as error:
            log.warning("predictor_skipped", predictor=choice.name, error=error.message)
    return Prior()


def fitted(folder: Path) -> Predictor:
    """What `rheostat retrain` has written into a folder; raises BadArtifact."""
    choice = _at(folder)
    return predictors.build(choice.name, choice.options)


def _at(folder: Path) -> Choice:
    return Choice(name="learned", options={"path": str(folder)})
