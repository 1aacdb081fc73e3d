"""Replay: what was told to a strategy, in which order, and the same run again from it, without any model."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from router.errors import InvalidQuery, RouterError, error_named
from router.types import Budget, Candidate, Fate, Finish, Message, Plan, Price, Query, Run, Sample, Style, Task
from workers.machine import Machine, Order
from workers.orders import HiddenOrder, LeftOrder, RunOrder, SampleOrder, ScoreOrder
from workers.strategies import strategies
from workers.tools import StrategyTools

VERSION = 1
_MOST_SCORES = 64  # hidden states are wider


@dataclass(slots=True)
class Tape:
    """What one execution was told. `reason` is why it stopped."""

    query: Query
    plan: Plan
    style: Style
    seed: tuple[int, ...]
    earlier: Sequence[Candidate]
    reason: str = ""
    told: list[tuple[int, Order[Any], object]] = field(default_factory=list)

    def written(self) -> str:
        """As JSON, for `replayed`."""
        query = {"id": self.query.id, "messages": [asdict(one) for one in self.query.messages], "task": self.query.task}
        return json.dumps(
            {
                "version": VERSION,
                "query": query,
                "plan": {"id": self.plan.id, "pool": self.plan.pool, "strategy": self.plan.strategy, "options": dict(self.plan.options)},
                "prices": {name: asdict(price) for name, price in {"": self.plan.price, **self.plan.helpers}.items()},
                "style": asdict(self.style),
                "seed": self.seed,
                "earlier": [asdict(one) for one in self.earlier],
                "reason": self.reason,
                "told": [[number, _digest(order), _plain(result)] for number, order, result in self.told],
            },
            separators=(",", ":"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay gave."""

    answer: str | None
    text: str
    stop_reason: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One order of a run, as its trace has it: a sample, a score, a program, states, a budget or an error, and what came of it, without texts."""

    number: int
    kind: str
    about: str
    read: int = 0
    written: int = 0
    seconds: float = 0.0


def told(trace: str) -> list[Told]:
    """The orders of a trace that were carried out, in the order in which their results came; raises InvalidQuery when it is damaged."""
    try:
        return [_order(number, result) for number, _, result in json.loads(trace)["told"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidQuery(f"this is not a trace: {error}") from error


def _order(number: int, result: Any) -> Told:  # noqa: ANN401 - whatever JSON holds
    match result:
        case {"error": reason}:
            return Told(number=number, kind="error", about=str(reason))
        case {"finish": finish}:
            read, written = result.get("prompt_tokens", 0), result.get("completion_tokens", 0)
            return Told(number=number, kind="sample", about=str(finish), read=read, written=written, seconds=result.get("seconds", 0.0))
        case {"ending": ending}:
            return Told(number=number, kind="program", about=str(ending), seconds=result.get("seconds", 0.0))
        case [float() | int(), *_] if len(result) <= _MOST_SCORES:
            return Told(number=number, kind="score", about=", ".join(f"{score:.2f}" for score in result))
        case list():
            return Told(number=number, kind="states", about=f"{len(result)} numbers")
        case _:
            return Told(number=number, kind="budget", about="")


def replayed(trace: str) -> Replayed:
    """The run of a trace again; raises InvalidQuery when the trace is damaged, or this version of the strategy orders something else."""
    try:
        tape = json.loads(trace)
        if tape["version"] != VERSION:
            raise InvalidQuery(f"this is a trace of version {tape['version']}; this program replays version {VERSION}")
        return _replay(tape)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidQuery(f"this is not a trace that can be replayed: {error}") from error


def _replay(tape: Mapping[str, Any]) -> Replayed:
    strategy = strategies.build(tape["plan"]["strategy"], tape["plan"]["options"])
    query = Query(id=tape["query"]["id"], messages=tuple(Message(**one) for one in tape["query"]["messages"]), task=Task(tape["query"]["task"]))
    machine = Machine()
    tools = StrategyTools(
        machine,
        np.random.default_rng(tuple(tape["seed"])),
        style=Style(**tape["style"]),
        prices={name: Price(**price) for name, price in tape["prices"].items()},
        earlier=[_candidate(one) for one in tape["earlier"]],
    )
    machine.start(strategy.run(query, tools))
    reason = _retell(machine, tape)
    chosen = strategy.choose(tools.candidates)
    best = None if chosen is None else tools.candidates[chosen]
    return Replayed(answer=best.answer if best else None, text=best.text if best else "", stop_reason=reason, candidates=tools.new)


def _retell(machine: Machine, tape: Mapping[str, Any]) -> str:
    waiting: dict[int, Order[Any]] = {}
    try:
        for number, digest, result in tape["told"]:
            waiting.update(machine.ask())
            order = waiting.pop(number, None)
            if order is None or _digest(order) != digest:
                raise InvalidQuery(f"the replay departs from the trace at order {number}: the strategy has changed")
            machine.tell(number, _told(order, result))
        machine.ask()
        return str(machine.result()) if machine.finished else str(tape["reason"])
    except RouterError as error:
        if isinstance(error, InvalidQuery):
            raise
        return str(tape["reason"])
    finally:
        machine.close()


def _digest(order: Order[Any]) -> int:
    """What tells one order from another; of a query only what is asked."""
    told = (order.query.messages, order.texts) if isinstance(order, ScoreOrder) else order
    return zlib.crc32(repr(told).encode())


def _plain(result: object) -> object:
    match result:
        case RouterError():
            return {"error": result.reason, "message": result.message}
        case np.ndarray():
            return result.tolist()
        case list():
            return result
        case _:
            return {name: value for name, value in asdict(result).items() if value}  # type: ignore[call-overload]


def _told(order: Order[Any], result: Any) -> object:  # noqa: ANN401 - whatever JSON holds
    if isinstance(result, dict) and "error" in result:
        return error_named(result["error"], result["message"])
    match order:
        case SampleOrder():
            return _sample(result)
        case HiddenOrder():
            return np.array(result, np.float32)
        case RunOrder():
            return Run(**{"output": "", **result})
        case LeftOrder():
            return Budget(**result)
        case _:
            return result


def _sample(row: Mapping[str, Any]) -> Sample:
    tuples = {name: tuple(row[name]) for name in ("logprobs", "pieces", "drawn_logprobs") if name in row}
    tops = {"top_logprobs": tuple(map(tuple, row["top_logprobs"]))} if "top_logprobs" in row else {}
    plain = {"text": "", "prompt_tokens": 0, "completion_tokens": 0, **row, **tuples, **tops, "finish": Finish(row["finish"])}
    return Sample(**plain)


def _candidate(row: Mapping[str, Any]) -> Candidate:
    return Candidate(**{**row, "finish": Finish(row["finish"]), "fate": Fate(row["fate"])})
