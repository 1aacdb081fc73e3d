"""From a question about a policy or a knob to its answer: what the service has, what the log has, and the arithmetic on them."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policies import policies
from policies.bandit import Bandit
from policies.learner import FLEET, Learner
from predictors import predictors
from predictors.learned import Learned
from predictors.training.log import parquet_files
from router.app import first_predictor
from router.errors import InvalidQuery, Overloaded, RouterError, UnknownTenant
from router.evaluation.board import Board
from router.evaluation.episodes import Log, read
from router.evaluation.foresight import Candidate, Foreseen, Progress
from router.evaluation.judge import curve, judged
from router.journal import log_files
from router.ports import Policy, Predictor
from router.settings import CandidateSettings, Choice, Settings, TenantSettings

MOST = 4_000  # episodes: enough for two digits, and seconds of work
KNOBS = ("value", "abstain_below", "risk", "exploration")  # those with a range that a curve can be drawn along
_POINTS = 13
_SPAN = 32.0  # times the value in force, up and down


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """About a candidate for one tenant, or with `knob` about the candidate along a range of that knob (`values`, or else all of it)."""

    candidate: CandidateSettings
    tenant: str = "default"
    source: Path | None = None  # Parquet files; the data folder's journal, if not given
    most: int = MOST
    knob: str = ""
    values: tuple[float, ...] = ()


def _silent(done: int, total: int) -> None:
    pass


def answered(settings: Settings, question: Question, progress: Progress = _silent) -> dict[str, Any]:
    """What the log says. Raises NoSupport where it says nothing, UnknownTenant, and InvalidQuery for what is not in order."""
    if question.tenant not in settings.tenants:
        raise UnknownTenant(f"no tenant {question.tenant!r} is configured", tenant=question.tenant)
    if question.knob and question.knob not in KNOBS:
        raise InvalidQuery(f"there is no curve along {question.knob!r}: take one of {', '.join(KNOBS)}", field="knob")
    terms = _terms(settings.tenants[question.tenant], question.candidate.knobs)
    catalogue = {name: plan.plan(name) for name, plan in settings.plans.items()}
    predictor = _predictor(settings, question.candidate)
    log = _log(settings, question, _version(predictor))
    policy, log = _policy(settings, question.candidate.policy or _serving(settings, terms.policy), question.tenant, log)
    candidate = Candidate(policy=policy, predictor=predictor, knobs=terms.tenant(question.tenant).knobs)
    board = Board.of(log.episodes, catalogue)
    told = {
        "tenant": question.tenant,
        "policy": policy.version,
        "predictor": predictor.version,
        "decisions": len(log.episodes),
        "left_out": log.left_out,
        "value": candidate.knobs.value,
    }
    foreseen = Foreseen.by(predictor, board, catalogue, progress)
    if not question.knob:
        return {**told, **judged(candidate, board, foreseen)}
    values = question.values or _range(question.knob, candidate.knobs.value)
    return {**told, **curve(candidate, board, foreseen, question.knob, values)}


def _range(knob: str, value: float) -> tuple[float, ...]:
    if knob == "value":
        return tuple(np.geomspace(max(value, 1.0) / _SPAN, max(value, 1.0) * _SPAN, _POINTS).tolist())
    return tuple(np.linspace(0.0, 1.0, _POINTS).tolist())


def _terms(tenant: TenantSettings, changes: dict[str, object]) -> TenantSettings:
    """Raises InvalidQuery naming the knob that is not in order."""
    try:
        return TenantSettings(**{**tenant.model_dump(exclude_unset=True), **changes})
    except ValueError as error:
        raise InvalidQuery(f"knobs: {error}", field="knobs") from error


def _serving(settings: Settings, name: str) -> Choice:
    return settings.policies[name or next(iter(settings.policies))]


def _predictor(settings: Settings, candidate: CandidateSettings) -> Predictor:
    if candidate.predictor is None:
        return first_predictor(settings)
    return predictors.build("learned", {"path": str(candidate.predictor)})


def _version(predictor: Predictor) -> str:
    """Of the features it takes; "" where it takes any."""
    return predictor.feature_version if isinstance(predictor, Learned) else ""


def _log(settings: Settings, question: Question, version: str) -> Log:
    files = nullcontext(parquet_files(question.source)) if question.source else log_files(settings.data / "journal")
    with files as found:
        return read(found, question.tenant, version, question.most)


def _policy(settings: Settings, choice: Choice, tenant: str, log: Log) -> tuple[Policy, Log]:
    """Built; one that learns online learns from the older half of the log and is judged on the newer."""
    try:
        policy = policies.build(choice.name, choice.options)
    except ValueError as error:
        raise InvalidQuery(str(error), field="policy") from error
    if not isinstance(policy, Bandit):
        return policy, log
    older, newer = log.halves()
    learner = Learner(half_life=settings.learning.half_life, most=settings.learning.most)
    for row in older.rows:
        learner.fold(row)
    known = learner.posteriors()
    posterior = known.get(tenant) or known.get(FLEET)
    return (policy.after(posterior) if posterior else policy), newer


class Desk:
    """Answers questions in a process of its own, one at a time, so that calls do not wait for the arithmetic. Close it when done."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._busy = False
        self._pool: ProcessPoolExecutor | None = None

    async def ask(self, question: Question) -> dict[str, Any]:
        """As `answered`; raises Overloaded while another question is being answered."""
        if self._busy:
            raise Overloaded("another evaluation is under way: ask again when it is done")
        self._busy = True
        try:
            return await asyncio.get_running_loop().run_in_executor(self._process(), answered, self._settings, question)
        except BrokenProcessPool as error:
            self.close()
            raise RouterError(f"the evaluation's process ended: {error}") from error
        finally:
            self._busy = False

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)
        return self._pool

    def close(self) -> None:
        """End its process."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
