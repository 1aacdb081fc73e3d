"""From the log to an artifact that serves, in stages that are each done once."""

import fcntl
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from predictors.artifact import save
from predictors.evidence import names
from predictors.features import vector_columns
from predictors.learned import KIND
from predictors.training import card, extract, spread
from predictors.training.costs import cost_arrays
from predictors.training.guarantees import thresholds
from predictors.training.log import MOST, NOTHING, Logged, Survey, read
from predictors.training.newton import sigmoid
from predictors.training.noise import SOURCES, Noise, estimate, gather
from predictors.training.novelty import novelty_arrays
from predictors.training.offpolicy import pseudo_outcomes, recalibrate
from predictors.training.sampling import sampling_arrays
from predictors.training.selection import FittedHead, again, fit_head, logits, recalibrated
from predictors.training.sheets import Log, Sheet, Start, States, belief_sheet, given, rescue_sheet, start_sheet, states
from predictors.training.storage import File, fingerprint, parquet_files
from router.errors import InvalidQuery, Overloaded

QUANTILES = 9
_UNREAD = -10.0  # log-odds of an answer that could not be read
_DOUBTFUL, _ROUNDS = 0.9, 3  # worth of the average label under which labels are weighed against the head again, and how often
_CHOICE = ("chosen", "tried", "skipped")  # of a head's facts
_STAGES = ("reading", "noise", "evidence", "start", "belief", "rescue", "costs", "writing")

ENGINES = {"local": extract.sample, "ray": spread.sample}

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a retraining gave: the artifact's version, and what its manifest says of how it was made."""

    version: str
    facts: Mapping[str, Any]


class Work:
    """The folder beside the target where finished stages wait for the last one; what was begun with other inputs is thrown away."""

    def __init__(self, directory: Path, key: str, bar: "tqdm[Any]") -> None:
        self.folder = directory.with_name(f".{directory.name}.work-{key}")
        self._bar = bar
        for old in directory.parent.glob(f".{directory.name}.work-*"):
            if old != self.folder:
                shutil.rmtree(old)
        self.folder.mkdir(parents=True, exist_ok=True)

    def stage(self, name: str, make: Callable[[], tuple[Arrays, Facts]]) -> tuple[Arrays, Facts]:
        """What `make` gives, from the folder if it was there already."""
        self._bar.set_description(name)
        file = self.folder / f"{name}.npz"
        if not file.exists():
            arrays, facts = make()
            packed = io.BytesIO()
            np.savez(packed, allow_pickle=False, **arrays, _facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))
            unfinished = file.with_suffix(".partial")
            unfinished.write_bytes(packed.getvalue())
            unfinished.replace(file)
        with np.load(file, allow_pickle=False) as saved:
            arrays = dict(saved)
        self._bar.update()
        return arrays, json.loads(arrays.pop("_facts").tobytes())

    def head(self, name: str, make: Callable[[], FittedHead]) -> FittedHead:
        """A stage that fits a head."""

        def packed() -> tuple[Arrays, Facts]:
            head = make()
            return {**head.arrays, "_held_out": head.held_out}, {"family": head.family, **head.facts}

        arrays, facts = self.stage(name, packed)
        held_out = arrays.pop("_held_out")
        return FittedHead(facts.pop("family"), arrays, held_out, facts)


def retrain(
    source: File | Sequence[File],
    plans: Sequence[str],
    directory: Path,
    *,
    seed: int = 0,
    most: int = MOST,
    version: str = "",
    engine: str = "local",
    progress: bool = False,
) -> Report:
    """Fit every head to the log in `source` and write the artifact and its card into `directory`.

    The log is folders, files or globs of Parquet, here or at addresses, read by an engine of ENGINES, whichever: what is made is the same. Learned
    from are decisions with features of this `version`, or else of the newest: a second encoder's have one of their own.
    The same log, plans and seed give the same bytes. A run that was cut off is gone on with. InvalidQuery where there is nothing to learn from,
    LogUnavailable where the log's storage does not answer, Overloaded while another run writes to the same folder; what was in the folder is then as
    it was.
    """
    directory = directory.absolute()
    files = [file for one in ([source] if isinstance(source, File) else source) for file in parquet_files(one)]
    if not files:
        raise InvalidQuery(NOTHING)
    if not plans:
        raise InvalidQuery("no plans to learn about are configured")
    # These problems are so small that threads only wait for one another: eight times slower on two busy cores.
    with _alone(directory), tqdm(total=len(_STAGES), unit="stage", disable=not progress) as bar, threadpool_limits(limits=1):
        work = Work(directory, _key(files, plans, seed, most, version), bar)
        try:
            report = _retrain(
                files, tuple(plans), directory, work, draw=partial(ENGINES[engine], most=most, version=version), seed=seed, progress=progress
            )
        except InvalidQuery:  # it would be refused again
            shutil.rmtree(work.folder)
            raise
        shutil.rmtree(work.folder)
    return report


def _retrain(
    files: Sequence[File], plans: tuple[str, ...], directory: Path, work: Work, *, draw: Callable[..., Survey], seed: int, progress: bool
) -> Report:
    file = work.folder / "sample.parquet"
    survey = Survey(**work.stage("reading", lambda: ({}, asdict(draw(files, file))))[1])
    decisions = _decisions(file, survey, progress)
    noise = _noise(work, decisions)
    log = Log.of(decisions, noise, vector_columns(survey.feature_version, len(decisions[0].features)))
    found = States(**work.stage("evidence", lambda: (_arrays_of(states(log, plans, lambda rows: tqdm(rows, disable=not progress))), {}))[0])

    first = start_sheet(log, plans)
    start = work.head("start", lambda: _start(first, log, noise, seed))
    beliefs = belief_sheet(log, found)
    belief = work.head("belief", lambda: _fit(beliefs, log, noise, seed))
    rescues = rescue_sheet(log, found, plans, lambda x: logits(belief, x)[:, 0])
    rescue = work.head("rescue", lambda: _fit(rescues, log, noise, seed))
    costs, _ = work.stage("costs", lambda: (_rest(log, found, start, belief, plans), {}))

    fitted = {"start": start, "belief": belief, "rescue": rescue}
    arrays = {f"{name}.{key}": array for name, head in fitted.items() for key, array in head.arrays.items()} | costs
    first = replace(first, sheet=_told_apart(first.sheet, log, noise, start))
    beliefs = _told_apart(beliefs, log, noise, belief)
    lexical = survey.feature_version.startswith("lexical")
    heads = card.Heads(plans=plans, log=log, start=first, start_head=start, belief=beliefs, belief_head=belief, arrays=arrays, lexical=lexical)
    told = card.describe(survey, noise, heads, directory, seed)
    told.facts["heads"] = {
        name: {"family": head.family} | {key: head.facts[key] for key in _CHOICE if key in head.facts} for name, head in fitted.items()
    }
    arrays["accept"] = _accept(beliefs, belief, given(log, found, belief.held_out[:, 0]))
    version = save(directory, kind=KIND, plans=plans, feature_version=survey.feature_version, arrays=arrays, facts=told.facts)
    card.write(directory, version, told)
    work.stage("writing", lambda: ({}, {}))
    return Report(version=version, facts={**told.facts, "version": version})


def _decisions(file: Path, survey: Survey, progress: bool) -> list[Logged]:
    decisions: list[Logged] = []
    with tqdm(desc="decisions", unit="", total=survey.sampled, disable=not progress) as bar:
        for batch in read(file):
            decisions += batch
            bar.update(len(batch))
    if not any(one.ratings for one in decisions):
        raise InvalidQuery("column features: no rewarded decision has finite ones", column="features")
    return decisions


def _noise(work: Work, decisions: Sequence[Logged]) -> Noise:
    def learned() -> tuple[Arrays, Facts]:
        noise = estimate(gather(decisions))
        return {"sensitivity": noise.sensitivity, "specificity": noise.specificity}, {"right": noise.right, "compared": noise.compared}

    arrays, facts = work.stage("noise", learned)
    return Noise(arrays["sensitivity"], arrays["specificity"], facts["right"], facts["compared"])


def _fit(sheet: Sheet, log: Log, noise: Noise, seed: int) -> FittedHead:
    """The head; where sources are poor it is fitted again to what it makes of them itself."""
    head = fit_head(sheet, seed=seed)
    for _ in range(_ROUNDS if log.worth < _DOUBTFUL and len(sheet.y) else 0):
        head = fit_head(_told_apart(sheet, log, noise, head), seed=seed, among=again(head))
    return head


def _told_apart(sheet: Sheet, log: Log, noise: Noise, head: FittedHead) -> Sheet:
    """The sheet with what is likely for each answer, where the rewards alone say what is for an average one.

    The E-step of Raykar et al. (2010, "Learning from crowds", section 2.3): the head's held-out odds take the place of the average's.
    """
    if log.worth >= _DOUBTFUL:
        return sheet
    with np.errstate(divide="ignore"):
        told = np.log(sheet.y / (1 - sheet.y)) - math.log(noise.right / (1 - noise.right))
    return replace(sheet, y=np.where(np.isnan(sheet.y), np.nan, sigmoid(told + head.held_out)).astype(np.float32))


def _start(first: Start, log: Log, noise: Noise, seed: int) -> FittedHead:
    """P(right) of each plan bought first, recalibrated on all queries and not only on those it was bought for."""
    head = _fit(first.sheet, log, noise, seed)
    y = _told_apart(first.sheet, log, noise, head).y
    worth = pseudo_outcomes(head.held_out, y, first.bought, first.chance)
    return recalibrated(head, *recalibrate(head.held_out, worth, log.weight))


def _rest(log: Log, found: States, start: FittedHead, belief: FittedHead, plans: Sequence[str]) -> Arrays:
    """What the costs are, and what is read off the heads."""
    first = np.flatnonzero((found.step == 0) & ~np.isnan(found.y) & (found.plan >= 0))
    shared = {**cost_arrays(log, plans), **novelty_arrays(log.features), **sampling_arrays(log, plans, start.held_out)}
    return {**shared, "ratios": _ratios(log, found, first, start, belief), "wrong": _wrong(found, first, len(plans))}


def _ratios(log: Log, found: States, first: NDArray[np.int64], start: FittedHead, belief: FittedHead) -> Array:
    """`Onward.ratios`: by how many nats of log-odds one purchase of each plan moved belief in its answer, wrong and right apart."""
    ratios = np.zeros((start.held_out.shape[1], 2, QUANTILES))
    points = (np.arange(QUANTILES) + 0.5) / QUANTILES
    features = log.features[found.decision[first]]
    before = logits(start, features)[np.arange(len(first)), found.plan[first]]
    after = logits(belief, np.concatenate((features, found.evidence[first]), axis=1))[:, 0]
    moved = np.where(found.answer[first] == 0, _UNREAD, after) - before
    for place in range(len(ratios)):
        for right in (0, 1):
            moves = moved[(found.plan[first] == place) & ((found.y[first] >= 0.5) == right)]
            if len(moves) >= 5:
                ratios[place, right] = np.quantile(moves, points)
    return ratios


def _wrong(found: States, first: NDArray[np.int64], plans: int) -> Array:
    """What the evidence looks like, on average, after each plan was bought first and was wrong: (plans, columns)."""
    wrong = [found.evidence[first[(found.plan[first] == place) & (found.y[first] < 0.5)]] for place in range(plans)]
    return np.stack([one.mean(axis=0, dtype=float) if len(one) else np.zeros(found.evidence.shape[1]) for one in wrong])


def _accept(sheet: Sheet, head: FittedHead, rows: NDArray[np.int64]) -> Array:
    """Above which belief an answer may be accepted, for each of `predictors.guarantee.ALPHAS`: from held-out beliefs in the answers of `rows`.

    These are the answers that were given: how sure a policy wants to be decides how many of its answers are wrong. That the same rows calibrated
    these beliefs does no harm: a rising map changes no order, and a threshold depends on the order alone.
    """
    return thresholds(sigmoid(head.held_out[rows, 0]), (sheet.y[rows, 0] < 0.5).astype(float))


def _arrays_of(found: States) -> Arrays:
    return {name: getattr(found, name) for name in States.__dataclass_fields__}


def _key(files: Sequence[File], plans: Sequence[str], seed: int, most: int, version: str) -> str:
    """A digest of everything that the result depends on."""
    digest = hashlib.blake2b(json.dumps([plans, seed, most, version, names(plans), SOURCES]).encode(), digest_size=8)
    for path in files:
        digest.update(fingerprint(path))
    return digest.hexdigest()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keeps other runs out of a folder until this one ends, however it ends."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Overloaded(f"another retraining is writing to {directory}") from error
        yield
    finally:
        os.close(lock)
