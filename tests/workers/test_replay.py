"""Traces: what is refused, and what a replay needs nothing of."""

import json
from dataclasses import replace

import pytest

from router.errors import InvalidQuery
from router.types import Evidence
from tests.workers.toy import Rig, Toy, a_plan, a_query
from workers.replay import replayed

PLAN = a_plan("best_of_n", n=4)


async def a_trace(**changes):
    return (await Rig().run(PLAN, a_query(traced=True, **changes))).trace


async def test_no_trace_unless_it_is_asked_for():
    assert (await Rig().run(PLAN)).trace == ""


async def test_a_trace_holds_what_earlier_stages_gave():
    first = await Rig().run(a_plan("direct", skill="solve"))
    second = await Rig(Toy(accuracy=0.3)).run(PLAN, a_query(traced=True), evidence=Evidence(outcomes=(replace(first, pool="toy"),)))
    again = replayed(second.trace)
    assert (again.answer, again.text, again.candidates) == (second.answer, second.text, second.candidates)


@pytest.mark.parametrize("damage", ["", "no JSON", "[]", "{}", '{"version": 99}'])
def test_what_is_no_trace_is_refused(damage):
    with pytest.raises(InvalidQuery):
        replayed(damage)


async def test_a_trace_cut_short_or_changed_is_refused():
    tape = json.loads(await a_trace())
    for told in (tape["told"][1:], [[number, digest + 1, result] for number, digest, result in tape["told"]]):
        with pytest.raises(InvalidQuery, match="departs from the trace"):
            replayed(json.dumps(tape | {"told": told}))


async def test_a_strategy_that_now_orders_something_else_is_found_out():
    tape = json.loads(await a_trace())
    tape["plan"]["options"]["temperature"] = 0.5
    with pytest.raises(InvalidQuery, match="departs from the trace"):
        replayed(json.dumps(tape))
