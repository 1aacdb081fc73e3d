"""What the service itself measured: its decision log as traffic to be played again, at any pace.

An episode is one request as it was decided: the purchases of its stages, with the tokens of each sample, and what else was on offer. Episodes are
drawn whole, so that what belongs together (a hard question, its dear plans, its many stages) stays together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from router.errors import InvalidQuery
from router.types import Plan
from router.usage import whole_log
from workers.strategies import strategies

MOST = 20_000  # latest decisions that are played
NOTHING = (
    "the decision log holds no answer that was bought, so there is nothing to play again: have some questions answered (`rheostat demo` answers 200, "
    "`rheostat ask` one), or name a log with --from"
)
_LONGEST_GAP = 20.0  # times the mean: a longer rest was a break of whoever asked, no burst's end
_AT_ONCE = ("batch", "width")  # options of strategies
_BLIND = ("fixed", "threshold")
_COLUMNS = (
    "decision_id", "stage", "at", "action", "plan", "stop_reason", "offered", "scores", "costs", "samples", "calls", "prompt_tokens", "written",
    "scored_tokens", "outcome_tokens", "cost", "seconds", "policy", "cancelled_tokens",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Purchase:
    """One plan bought. `rounds` has the tokens that each sample of each round wrote; a round begins when the one before has ended."""

    plan: str
    pool: str
    rounds: tuple[tuple[int, ...], ...]
    prompt: float  # tokens read for each round
    cost: int  # micro-dollars
    seconds: float  # as it took in the log

    @property
    def written(self) -> int:
        """Tokens."""
        return sum(map(sum, self.rounds))

    @property
    def samples(self) -> int:
        """Of all rounds."""
        return sum(map(len, self.rounds))


@dataclass(frozen=True, slots=True)
class Step:
    """One decision that bought something: what, and the choices there were, each with its score and its forecast cost."""

    purchase: Purchase
    choices: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """One request; without steps it was answered from the cache."""

    steps: tuple[Step, ...]

    @property
    def cost(self) -> int:
        """Micro-dollars."""
        return sum(step.purchase.cost for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A log. `gaps` are the times between requests, of their mean; `rate` is requests a second as they came; `reports` outcomes a request."""

    episodes: tuple[Episode, ...]
    by_plan: Mapping[str, tuple[Purchase, ...]]
    pools: tuple[str, ...]
    pool_of: Mapping[str, str]
    ceilings: Mapping[str, int]  # micro-dollars that one execution of a plan is held for
    gaps: tuple[float, ...]
    rate: float
    reports: float

    @property
    def stages(self) -> float:
        """Purchases a request, on average."""
        return sum(len(one.steps) for one in self.episodes) / len(self.episodes)

    @property
    def cached(self) -> float:
        """Share of requests that were answered from the cache."""
        return sum(not one.steps for one in self.episodes) / len(self.episodes)

    @property
    def cost(self) -> float:
        """Micro-dollars a request, on average."""
        return sum(one.cost for one in self.episodes) / len(self.episodes)


def traffic(files: Sequence[Path], plans: Mapping[str, Plan], most: int = MOST) -> Traffic:
    """The latest decisions of a log; pools and ceilings are those of `plans`, a plan that is not there has a pool of its own name.

    Raises InvalidQuery where there is nothing to play again.
    """
    with duckdb.connect() as database:
        try:
            rows, rewards = _rows(database, files, most)
        except duckdb.Error as error:
            raise InvalidQuery(f"the log cannot be read: {str(error).splitlines()[0]}") from error
    pool_of, widths = {name: plan.pool for name, plan in plans.items()}, _widths(plans)
    found, began = [], []
    for _, group in groupby(rows, key=itemgetter("decision_id")):
        stages = list(group)
        if (episode := _episode(stages, pool_of, widths)) is not None:
            found.append(episode)
            began.append(stages[0]["at"])
    bought = [step.purchase for one in found for step in one.steps]
    if not bought:
        raise InvalidQuery(NOTHING)
    by_plan = {name: tuple(one for one in bought if one.plan == name) for name in dict.fromkeys(one.plan for one in bought)}
    gaps, rate = _gaps(began)
    return Traffic(
        episodes=tuple(found),
        by_plan=by_plan,
        pools=tuple(dict.fromkeys(one.pool for one in bought)),
        pool_of={name: own[0].pool for name, own in by_plan.items()},
        ceilings={name: plans[name].worst.cost if name in plans else max(one.cost for one in own) for name, own in by_plan.items()},
        gaps=gaps,
        rate=rate,
        reports=rewards / len(found),
    )


def _rows(database: duckdb.DuckDBPyConnection, files: Sequence[Path], most: int) -> tuple[Iterator[dict[str, Any]], int]:
    """The rows of the latest decisions, by decision and stage, and how many outcomes of them were reported."""
    names = ", ".join(f'log."{name}"' for name in _COLUMNS if name != "written")
    database.execute(
        f"""CREATE TEMP TABLE played AS WITH log AS ({whole_log(database, files)} QUALIFY row_number() OVER (PARTITION BY id ORDER BY filename) = 1),
        latest AS (SELECT decision_id, min("at") AS began FROM log WHERE kind = 'stage' GROUP BY 1 ORDER BY began DESC LIMIT {most:d})
        SELECT {names}, log.kind, latest.began, kept_tokens + discarded_tokens + cancelled_tokens AS written
        FROM log JOIN latest USING (decision_id)"""
    )
    (rewards,) = database.execute("SELECT count(*) FROM played WHERE kind = 'reward'").fetchone() or (0,)
    told = ", ".join(f'"{name}"' for name in _COLUMNS)
    found = database.execute(f"SELECT {told} FROM played WHERE kind = 'stage' ORDER BY began, decision_id, stage").fetchall()
    return (dict(zip(_COLUMNS, row, strict=True)) for row in found), rewards


def _episode(stages: Sequence[Mapping[str, Any]], pool_of: Mapping[str, str], widths: Mapping[str, int]) -> Episode | None:
    """None for what was only planned, or broken off."""
    if stages[-1]["stop_reason"] == "cached":
        return Episode(())
    bought = [one for one in stages if one["plan"]]
    if not bought or any(one["stop_reason"] in ("", "failed", "cancelled") for one in bought):
        return None
    plans = [one["plan"] for one in bought]
    purchases = (_purchase(one, pool_of.get(plan, plan), widths.get(plan)) for plan, one in zip(plans, bought, strict=True))
    return Episode(tuple(map(Step, purchases, map(_choices, bought))))


def _choices(row: Mapping[str, Any]) -> tuple[tuple[str, float, float], ...]:
    """None where the policy looks at no price, so that a queue's is nothing to it."""
    columns = [row[name] for name in ("offered", "scores", "costs")]
    if row["policy"].startswith(_BLIND) or len({len(one) for one in columns}) > 1:
        return ()
    return tuple(zip(*columns, strict=True))


def _purchase(row: Mapping[str, Any], pool: str, width: int | None) -> Purchase:
    """As it was drawn, `width` samples at a time where the strategy has an option for that.

    Where there are more samples than candidates and none was cancelled, a candidate took several, one after the other, as a search does.
    """
    samples, lengths, written = row["samples"], list(row["outcome_tokens"] or ()), row["written"]
    searches = samples > len(lengths) > 0 and not row["cancelled_tokens"]
    if searches or sum(lengths) > written or len(lengths) > samples:
        width, lengths = width or max(1, min(samples, len(lengths))), []
    if samples > len(lengths):  # what is not told of each is alike
        rest = samples - len(lengths)
        lengths += [max(1, round((written - sum(lengths)) / rest))] * rest
    lengths = lengths or [1]
    width = min(width or samples or 1, len(lengths))
    rounds = tuple(tuple(lengths[begin : begin + width]) for begin in range(0, len(lengths), width))
    alike = 1 if searches else max(1, min(width, samples))  # the same prompt is read once for all samples of a round
    return Purchase(row["plan"], pool, rounds, (row["prompt_tokens"] / alike + row["scored_tokens"]) / len(rounds), row["cost"], row["seconds"])


def _widths(plans: Mapping[str, Plan]) -> dict[str, int]:
    """Samples that each plan draws at a time, where its strategy has an option for that."""
    found = {}
    for name, plan in plans.items():
        strategy = strategies.build(plan.strategy, plan.options)
        if width := next((many for option in _AT_ONCE if (many := getattr(strategy, option, None))), None):
            found[name] = width
    return found


def _gaps(began: Sequence[float]) -> tuple[tuple[float, ...], float]:
    """Times between requests of their mean, and how many came a second. Breaks are left out."""
    gaps = np.diff(np.sort(began))
    gaps = gaps[gaps >= 0]
    if len(gaps) < 2 or not gaps.mean():
        return (1.0,), 0.0
    gaps = gaps[gaps <= _LONGEST_GAP * max(gaps.mean(), 1e-9)]
    return tuple((gaps / gaps.mean()).tolist()), float(1 / gaps.mean())
