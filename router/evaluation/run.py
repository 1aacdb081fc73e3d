"""From a question about a policy or a knob to its answer: what the service has, what the log has, and the arithmetic on them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from policies import policies
from policies.bandit import Bandit
from policies.learner import FLEET, Learner
from policies.neural_linear import NeuralLinear
from predictors.learned import Learned
from predictors.training.storage import local_files
from router.decisions import journals, log_files
from router.errors import InvalidQuery, UnknownPolicy, UnknownTenant
from router.evaluation.board import Board
from router.evaluation.episodes import Episode, Log, read
from router.evaluation.foresight import Candidate, Foreseen, Progress
from router.evaluation.judge import curve, judged
from router.evaluation.question import KNOBS, Question, Return
from router.ports import Policy, Predictor
from router.predictor import first_predictor, fitted
from router.settings import CandidateSettings, Choice, Settings
from router.terms import TenantSettings

_BULK = (
    *("prompt", "features", "context", "scores", "success", "reason", "trace"),
    *("outcome_answers", "outcome_scores", "outcome_logprobs", "outcome_tokens"),
)
_POINTS = 13
_SPAN = 32.0  # times the value in force, up and down


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
    tenant, board = terms.tenant(question.tenant), Board.of(log.episodes, catalogue)
    knobs = replace(tenant.knobs, value=_mean_value(log.episodes)) if tenant.objective else tenant.knobs
    candidate = Candidate(policy=policy, predictor=predictor, knobs=knobs, paced=tenant.objective is not None)
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


def returns(settings: Settings, question: Question, since: float) -> list[Return]:
    """What each of a tenant's requests since then came to, whoever decided, oldest first."""
    with _files(settings, question) as found:
        log = read(found, question.tenant, "", question.most, without=_BULK)
    return [Return(one.arm, one.quality, one.cost, one.value) for one in log.episodes if one.at >= since]


def _mean_value(episodes: Sequence[Episode]) -> float:
    return sum(one.value for one in episodes) / max(1, len(episodes))


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
    name = name or next(iter(settings.policies))
    if name not in settings.policies:
        raise UnknownPolicy(f"no policy {name!r} is configured; there are {', '.join(settings.policies)}", policy=name)
    return settings.policies[name]


def _predictor(settings: Settings, candidate: CandidateSettings) -> Predictor:
    if candidate.predictor is None:
        return first_predictor(settings)
    return fitted(candidate.predictor)


def _version(predictor: Predictor) -> str:
    """Of the features it takes; "" where it takes any."""
    return predictor.feature_version if isinstance(predictor, Learned) else ""


def _log(settings: Settings, question: Question, version: str) -> Log:
    with _files(settings, question) as found:
        return read(found, question.tenant, version, question.most)


def _files(settings: Settings, question: Question) -> AbstractContextManager[list[Path]]:
    return nullcontext(local_files(question.source)) if question.source else log_files(*journals(settings.data))


def _policy(settings: Settings, choice: Choice, tenant: str, log: Log) -> tuple[Policy, Log]:
    """Built; one that learns online learns from the older half of the log and is judged on the newer."""
    try:
        policy = policies.build(choice.name, choice.options)
    except ValueError as error:
        raise InvalidQuery(str(error), field="policy") from error
    if not isinstance(policy, Bandit):
        return policy, log
    older, newer = log.halves()
    learner = Learner(half_life=settings.learning.half_life, most=settings.learning.most, deep=isinstance(policy, NeuralLinear))
    for row in older.rows:
        learner.fold(row)
    known = learner.posteriors()
    posterior = known.get(tenant) or known.get(FLEET)
    return (policy.after(posterior) if posterior else policy), newer
