"""Everything on every set: one job per set and per ladder, in as many processes as there are cores."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies import metrics
from predictors.training.scoring import reliability, score
from router.benchmark.board import Board, Item, boards, load
from router.benchmark.judge import Curve, Scale, calibration, chosen, constants, judged, kept, mixture, oracle, shuffled, two_arms
from router.benchmark.ladders import LADDERS, Climb, Ladder, climb, naive, votes
from router.benchmark.peers import installed
from router.benchmark.prompts import Prompts, Split, forecast
from router.errors import InvalidQuery

Array = NDArray[np.float64]
FOLDS = 5
OURS, SEEN, ZERO = "Rheostat, prompt only", "Rheostat, two-stage", "static mixture"
_TOLD = (OURS, "category only", "prompt length", "TF-IDF + logistic")  # whose calibration is shown
_ARMS = 5  # of a table that no menu is known for
_MOST = 4  # purchases per question: `max_stages`
_ESCALATED = 0.4
_RESAMPLES = 1_000
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _one(*arms: str) -> tuple[Item, ...]:
    return tuple((arm, 0) for arm in arms)


_ROUTELLM = _one("Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview")
_OPENAI = LADDERS["GSM8K, OpenAI 2021"].items


@dataclass(frozen=True, slots=True)
class Menu:
    """The arms of a table that are routed between; `part`: only categories that begin so; `joined`: beside another table's, by question."""

    table: str
    items: tuple[Item, ...]
    part: str = ""
    joined: str = ""


BUNDLED = Path(__file__).parent / "reasoners.parquet"
MENUS = {
    "bundled reasoners": Menu("reasoners", (*_one("nano", "small"), ("small", 1), ("small", 2), *_one("large"))),
    "gsm8k_cobbe": Menu("gsm8k_cobbe", _OPENAI),
    "routellm, GSM8K": Menu("routellm", _ROUTELLM, "gsm8k"),
    "routellm, MMLU": Menu("routellm", _ROUTELLM, "mmlu"),
    "routellm, MT-Bench": Menu("routellm", _ROUTELLM, "mt"),
    "zeroeval_gsm": Menu("zeroeval_gsm", LADDERS["GSM8K"].items),
    "joined GSM8K": Menu(
        "zeroeval_gsm", _one("gemma-2-9b-it", "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022"), joined="gsm8k_cobbe"
    ),
    "mmlu_pro": Menu(
        "mmlu_pro", _one("Meta-Llama-3.1-8B-Instruct", "vote3:small", "Meta-Llama-3.1-70B-Instruct", "gemini-1.5-pro-002")
    ),
    "reasoning_gym_easy": Menu(
        "reasoning_gym_easy", _one("mistral-small-3.1-24b-instruct", "llama-4-scout", "llama-4-maverick", "qwq-32b", "deepseek-r1", "o3-mini")
    ),
}  # fmt: skip


def run(data: Path | None = None, test: Path | None = None, done: Callable[[str, int], None] = lambda name, left: None) -> dict[str, Any]:
    """The results of every set and ladder that the folder has tables for; `done` is told each job's name and how many are left.

    With `test`, everything is learned from `data` and judged on the questions of `test`; otherwise in five folds of questions, and the table of the
    bundled reasoners' own answers is always there.
    """
    tables, others = boards(data) if data else {}, boards(test) if test else {}
    if not others:
        tables = {**tables, BUNDLED.stem: load(BUNDLED)}
    menus = {name: menu for name, menu in MENUS.items() if menu.table in tables and (not menu.joined or menu.joined in tables)}
    menus |= {name: Menu(name, _efficient(board)) for name, board in tables.items() if name not in {menu.table for menu in MENUS.values()}}
    jobs: list[tuple[Callable[..., dict[str, Any]], str, tuple[Any, ...]]] = []
    for name, ladder in LADDERS.items():
        if ladder.table in tables:
            jobs.append((_ladder, name, (name, ladder, *_both(ladder.table, tables, others, partial(Board.pick, items=ladder.items)))))
    for name, menu in menus.items():
        jobs.append((_set, name, _both(menu.table, tables, others, partial(_menu, menu=menu, tables=tables, others=others))))
    jobs.sort(key=lambda job: -_size(job[2]))
    found: dict[str, dict[str, Any]] = {"sets": {}, "ladders": {}}
    with _single_threaded(), ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        tasks = {pool.submit(work, *arguments): (work, name) for work, name, arguments in jobs}
        for left, task in enumerate(as_completed(tasks), 1):
            work, name = tasks[task]
            found["ladders" if work is _ladder else "sets"][name] = task.result()
            done(name, len(tasks) - left)
    return {"peers": list(installed()), **{kind: dict(sorted(rows.items())) for kind, rows in found.items()}}


def _both(table: str, tables: Mapping[str, Board], others: Mapping[str, Board], pick: Callable[[Board], Board]) -> tuple[Board, NDArray[np.int64]]:
    """The board, and the fold of each question: -1 for those that are only learned from."""
    mine = pick(tables[table])
    if not others:
        unique, place = np.unique(mine.group, return_inverse=True)
        return mine, np.random.default_rng(0).permutation(len(unique))[place] % FOLDS
    if table not in others:
        raise InvalidQuery(f"the folder to judge on has no table {table}")
    theirs = pick(others[table])
    mine = mine.at(~np.isin(mine.group, theirs.group))
    return mine.with_questions_of(theirs), np.concatenate((np.full(len(mine.text), -1), np.zeros(len(theirs.text), int)))


def _menu(board: Board, menu: Menu, tables: Mapping[str, Board], others: Mapping[str, Board]) -> Board:
    if menu.part:
        return board.where(menu.part).pick(menu.items)
    if not menu.joined:
        return board.pick(menu.items)
    other = (tables if board is tables.get(menu.table) else others)[menu.joined]
    return board.pick(menu.items).beside(other, "joined")


def _efficient(board: Board) -> tuple[Item, ...]:
    """A few arms of a table that nobody chose a menu for: those that are better than all cheaper ones, and if they are many, the best steps."""
    with np.errstate(all="ignore"):
        quality, cost = np.nanmean(board.quality, axis=0), np.nanmean(board.cost, axis=0)
    whole = np.isfinite(board.quality).mean(axis=0) > 0.9
    best, kept = -1.0, []
    for place in np.argsort(cost):
        if whole[place] and board.items[place][1] == 0 and quality[place] > best:
            best = quality[place]
            kept.append(place)
    steps = np.linspace(0, len(kept) - 1, min(_ARMS, len(kept))).round().astype(int)
    return tuple(board.items[kept[step]] for step in steps)


def _splits(board: Board, fold: NDArray[np.int64]) -> tuple[list[Split], NDArray[np.bool_]]:
    return [(fold != part, fold == part) for part in range(int(fold.max()) + 1)], fold >= 0


def _set(board: Board, fold: NDArray[np.int64]) -> dict[str, Any]:
    prompts = Prompts.of(board)
    splits, judge = _splits(board, fold)
    forecasts = {name: forecast(one, splits, board.quality.shape)[judge] for name, one in prompts.forecasters().items()}
    seen = board.at(judge)
    curves = {
        ZERO: mixture(seen),
        "shuffled queries": shuffled(seen, forecasts[OURS]),
        "hindsight oracle": oracle(seen),
        **{name: chosen(seen, one) for name, one in forecasts.items()},
    }
    if board.answered:
        climbed = climb(board, prompts.blend, splits, most=_MOST)
        curves[SEEN] = Curve(climbed.quality[judge], climbed.cost[judge])
    result = _told(seen, curves, judged(curves, Scale.of(seen), ZERO))
    result["calibration"] = {name: calibration(forecasts[name], seen) for name in _TOLD}
    if len(board.items) == 2:
        result["two arms"] = {name: two_arms(one, seen) for name, one in forecasts.items()}
    if board.answered:
        result["reliability"] = _reliability(climbed, judge)
        result["promises"] = {f"{alpha:g}": kept(given[judge], wrong[judge], alpha) for alpha, (given, wrong) in climbed.promises.items()}
    if len(np.unique(board.category)) >= FOLDS and (fold >= 0).all():
        result["categories held out"] = _held_out(prompts, board)
    return result


def _held_out(prompts: Prompts, board: Board) -> dict[str, Any]:
    """Areas where the categories judged were never learned from."""
    kinds = np.char.partition(np.char.partition(board.category, "/")[:, 2], "/")[:, 0]  # benchmark/KIND/task
    names, place = np.unique(kinds, return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names))[place] % FOLDS
    splits, _ = _splits(board, fold)
    routers = {OURS: prompts.blend, "prompt length": prompts.length, "TF-IDF + logistic": prompts.tfidf}
    curves = {ZERO: mixture(board)} | {name: chosen(board, forecast(one, splits, board.quality.shape)) for name, one in routers.items()}
    return {name: {"area": one["area"], "ahead": one["ahead"]} for name, one in judged(curves, Scale.of(board), ZERO).items()}


def _ladder(name: str, ladder: Ladder, board: Board, fold: NDArray[np.int64]) -> dict[str, Any]:
    prompts = Prompts.of(board)
    splits, judge = _splits(board, fold)
    climbed = climb(board, prompts.blend, splits, most=ladder.most, checked=ladder.checked)
    seen = board.at(judge)
    curves = {
        ZERO: mixture(seen),
        SEEN: Curve(climbed.quality[judge], climbed.cost[judge]),
    }
    result = _told(seen, curves, judged(curves, Scale.of(seen), ZERO))
    quality, cost = ladder.aim
    rule = naive(name, seen)
    result["rule"] = {"what": ladder.naive} | ({} if rule is None else {"quality": _mean(rule[0]), "cost": _mean(rule[1])})
    mine = curves[SEEN]
    if name == "MMLU-Pro":
        result["aims"] = _escalated(board, prompts, splits, judge, quality)
    elif name == "GSM8K, OpenAI 2021":
        area = result["routers"][SEEN]["area"]
        result["aims"] = [{"what": "area", "wanted": quality, "found": area, "met": area[0] >= quality}]
    else:
        found = metrics.bootstrap(
            lambda weight: metrics.quality_at(metrics.path(weight @ mine.cost, weight @ mine.quality), cost), len(seen.text), _rng(), _RESAMPLES
        )
        least = metrics.cost_at(metrics.path(mine.cost.mean(axis=0), mine.quality.mean(axis=0)), quality)
        result["aims"] = [
            {"what": f"quality at no more than {cost:g} of the dearest arm's cost", "wanted": quality, "found": found, "met": found[0] >= quality},
            {"what": f"cost of quality {quality:g}", "wanted": cost, "found": (least, least, least), "met": least <= cost},
        ]
    return result


def _escalated(board: Board, prompts: Prompts, splits: Sequence[Split], judge: NDArray[np.bool_], wanted: float) -> list[dict[str, Any]]:
    """MMLU-Pro's aims: how well "the vote is right" is told, and the quality with a fixed share of votes overruled by the last arm."""
    vote, right, last = (one[judge] for one in votes(board, prompts.blend, splits))
    auc = score(np.clip(vote, 1e-4, 1 - 1e-4), np.asarray(right >= 0.5, float), resamples=_RESAMPLES)["auc"]
    over = np.argsort(np.argsort(vote - last, kind="stable"), kind="stable") < int(_ESCALATED * len(vote))
    quality = _mean(np.where(over, board.quality[judge, -1], right))
    assert auc is not None
    return [
        {"what": "AUC of 'the vote is right'", "wanted": 0.80, "found": (auc.value, auc.low, auc.high), "met": auc.value >= 0.80},
        {"what": "quality with 40 % escalated", "wanted": wanted, "found": quality, "met": quality[0] >= wanted},
    ]


def _told(board: Board, curves: Mapping[str, Curve], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    arms = constants(board)
    points = {name: [curve.cost.mean(axis=0).tolist(), curve.quality.mean(axis=0).tolist()] for name, curve in curves.items()}
    arms_told = {
        f"{arm} {sample}" if sample else arm: [float(c), float(q)]
        for (arm, sample), c, q in zip(board.items, arms.cost.mean(axis=0), arms.quality.mean(axis=0), strict=True)
    }
    return {"questions": len(board.text), "arms": arms_told, "routers": {name: dict(one) for name, one in found.items()}, "points": points}


def _reliability(climbed: Climb, judge: NDArray[np.bool_]) -> dict[str, Any]:
    """Belief in the best answer after every set of purchases against how often it was right: ten bins of equal mass, and the error of calibration."""
    belief, right = climbed.belief[1:, judge].ravel(), climbed.right[1:, judge].ravel() >= 0.5
    held = belief > 0
    found = reliability(belief[held], right[held].astype(float))
    ece = sum(share * abs(stated - true) for stated, true, share in found)
    return {"stated": [stated for stated, _, _ in found], "true": [true for _, true, _ in found], "ece": ece}


def _mean(values: Array) -> tuple[float, float, float]:
    return metrics.bootstrap(lambda weight: float(weight @ values), len(values), _rng(), _RESAMPLES)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """For the processes started within: two that each use all cores only wait for one another."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _size(arguments: tuple[Any, ...]) -> int:
    return max(len(one.text) * len(one.items) for one in arguments if isinstance(one, Board))
