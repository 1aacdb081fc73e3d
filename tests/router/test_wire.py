"""Messages and nouns: what goes over the wire comes back the same, and what the client left out has the tenant's default."""

from dataclasses import replace

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from rheostat.v1 import outcome_pb2, query_pb2, router_service_pb2, worker_service_pb2

from router import wire as router_wire
from router.tenants import Tenant
from router.types import (
    Action,
    Answer,
    Budget,
    CacheHit,
    Candidate,
    Decision,
    EnergySource,
    Evidence,
    Fate,
    Final,
    Forecast,
    Knobs,
    Message,
    Outcome,
    Plan,
    Planned,
    Prediction,
    Price,
    Query,
    Receipt,
    Record,
    Stage,
    Task,
    Usage,
)
from workers import wire as worker_wire

names = st.text(max_size=8)
counts = st.integers(-(2**62), 2**62)
reals = st.floats(allow_nan=False)
maybe = st.none()
budgets = st.builds(Budget, tokens=maybe | st.integers(1, 2**62), cost=maybe | st.integers(1, 2**62))
amounts = {name: reals if name in ("seconds", "joules") else counts for name in Usage.__dataclass_fields__}
usages = st.builds(Usage, **amounts | {"energy": st.sampled_from(EnergySource)})
candidates = st.builds(Candidate, text=names, answer=maybe | names, tokens=counts, logprob=reals, score=maybe | reals, fate=st.sampled_from(Fate))
outcomes = st.builds(Outcome, plan=names, answer=maybe | names, text=names, candidates=st.lists(candidates, max_size=3).map(tuple), usage=usages)
json_values = st.recursive(
    maybe | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
plans = st.builds(
    Plan, id=names, pool=names, strategy=names, options=st.dictionaries(names, json_values, max_size=3), budget=budgets,
    price=st.builds(Price, prompt=reals, completion=reals, scored=reals),
)  # fmt: skip
messages = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=names)
queries = st.builds(
    Query, id=names, messages=st.lists(messages, max_size=3).map(tuple), tenant=st.just("default"), task=st.sampled_from(Task),
    deadline=st.just(7.0), budget=st.just(Budget()), knobs=st.just(Knobs()), seed=maybe | st.integers(0, 2**64 - 1),
)  # fmt: skip


@given(queries, plans, st.lists(outcomes, max_size=2), budgets)
def test_an_order_comes_back_the_same(query, plan, earlier, budget):
    order = (query, plan, Evidence(outcomes=tuple(earlier)), budget)
    sent = worker_service_pb2.ExecuteRequest.FromString(worker_wire.order_to_pb(*order).SerializeToString())
    assert worker_wire.order_from_pb(sent, deadline=7.0) == order


@given(usages | outcomes)
def test_an_event_comes_back_the_same(event):
    sent = worker_service_pb2.ExecuteResponse.FromString(worker_wire.event_to_pb(event).SerializeToString())
    assert worker_wire.event_from_pb(sent) == event


def test_whole_options_come_back_as_ints():
    plan = Plan(id="p", pool="small", strategy="best_of_n", options={"n": 16, "temperature": 0.5, "deep": {"widths": [4, 2]}})
    _, back, _, _ = worker_wire.order_from_pb(worker_wire.order_to_pb(Query(id="q", messages=()), plan, Evidence(), Budget()), 0.0)
    assert [type(value) for value in (back.options["n"], back.options["temperature"], back.options["deep"]["widths"][0])] == [int, float, int]


def test_options_that_are_not_json_are_refused():
    with pytest.raises(ValueError, match="Unexpected type"):
        worker_wire.order_to_pb(Query(id="q", messages=()), Plan(id="p", pool="x", strategy="y", options={"f": print}), Evidence(), Budget())


def test_a_candidate_that_does_not_tell_how_it_ended_is_refused():
    response = worker_service_pb2.ExecuteResponse(outcome=outcome_pb2.Outcome(candidates=[outcome_pb2.Candidate(text="x")]))
    with pytest.raises(KeyError):
        worker_wire.event_from_pb(response)


DEFAULTS = Knobs(value=7.0, abstain_below=0.5, exploration=0.25, max_stages=2, risk=0.5, plans=("a",), policy="fixed", cache=False)
ACME = Tenant(id="acme", knobs=DEFAULTS)


def test_knobs_left_out_are_the_tenants():
    query = router_wire.query_from_pb(query_pb2.Query(messages=[query_pb2.Message(content="2+2?")]), ACME, 5.0)
    assert (query.knobs, query.tenant, query.task, query.text, query.deadline, query.budget) == (DEFAULTS, "acme", Task.FREE, "2+2?", 5.0, Budget())
    assert query.id
    assert query.seed is None


def test_a_knob_given_as_zero_is_zero():
    knobs = query_pb2.Knobs(value_microdollars=0, abstain_below=0, exploration=0, max_stages=1, risk=0, plans=["b", "c"], policy="", cache=True)
    query = router_wire.query_from_pb(query_pb2.Query(id="mine", knobs=knobs, seed=0, task="TASK_MATH"), ACME, 5.0)
    assert query.knobs == Knobs(value=0.0, abstain_below=0.0, exploration=0.0, max_stages=1, risk=0.0, plans=("b", "c"), policy="", cache=True)
    assert (query.id, query.seed, query.task) == ("mine", 0, Task.MATH)


@pytest.mark.parametrize("source", ["verifier", "user", "judge", "unit_test"])
def test_a_reward_keeps_its_source(source):
    request = router_service_pb2.ReportOutcomeRequest(decision_id="d", reward=0.5, source=f"REWARD_SOURCE_{source.upper()}", stage=0)
    reward = router_wire.reward_from_pb(request, at=3.0)
    assert (reward.decision_id, reward.value, reward.source, reward.at, reward.stage) == ("d", 0.5, source, 3.0, 0)


def test_a_reward_without_a_stage_rates_the_answer_given():
    request = router_service_pb2.ReportOutcomeRequest(decision_id="d", reward=0, source="REWARD_SOURCE_USER")
    assert router_wire.reward_from_pb(request, at=3.0).stage is None


FORECAST = Forecast(plan="a", success=0.5, low=0.25, high=0.75, tokens=10.0, cost=20.0, seconds=0.5, tokens_high=15.0, seconds_high=0.75)
PREDICTION = Prediction(in_hand=0.125, forecasts=(FORECAST,), version="p1", novelty=0.5)
DECISION = Decision(
    action=Action.BUY, plan="a", propensity=0.875, scores={"a": 3.5, "abstain": 0.0}, explored=True, policy="allocator", reason="worth it"
)
USAGE = Usage(prompt_tokens=1, kept_tokens=2, cost=3, seconds=0.5)
ANSWER = Answer(text="so 4", answer="4", confidence=0.75, plan="a")


def _plain(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def test_a_plan_is_told_whole():
    assert _plain(router_wire.planned_to_pb(Planned(decision_id="d", prediction=PREDICTION, decision=DECISION))) == {
        "decision_id": "d",
        "prediction": {
            "in_hand": 0.125,
            "forecasts": [{"plan": "a", "success": 0.5, "low": 0.25, "high": 0.75, "tokens": 10.0, "cost_microdollars": 20.0, "seconds": 0.5,
                           "tokens_high": 15.0, "seconds_high": 0.75}],
            "version": "p1",
            "novelty": 0.5,
        },
        "decision": {
            "action": "ACTION_BUY", "plan": "a", "propensity": 0.875, "scores": {"a": 3.5, "abstain": 0.0}, "explored": True,
            "policy": "allocator", "reason": "worth it",
        },
    }  # fmt: skip


def test_a_stage_has_its_outcome_only_once_it_is_there():
    stage = router_wire.event_to_pb(Stage(decision_id="d", index=1, prediction=PREDICTION, decision=DECISION)).stage
    assert (stage.index, stage.HasField("outcome"), stage.HasField("best")) == (1, False, False)
    outcome = Outcome(plan="a", answer=None, text="", candidates=(), usage=USAGE, stop_reason="budget")
    stage = router_wire.event_to_pb(Stage(decision_id="d", index=1, prediction=PREDICTION, decision=DECISION, outcome=outcome, best=ANSWER)).stage
    assert (stage.outcome.stop_reason, stage.outcome.HasField("answer"), stage.best.confidence) == ("budget", False, 0.75)


@pytest.mark.parametrize("ending", ["stopped", "abstained", "deadline", "budget", "stages", "degraded"])
def test_every_ending_can_be_told(ending):
    receipt = Receipt(usage=USAGE, stages=(("a", USAGE),), hit=CacheHit.EXACT)
    final = router_wire.event_to_pb(Final(decision_id="d", answer=None, receipt=receipt, ending=ending, degraded=("STORE_UNAVAILABLE",))).final
    assert not final.HasField("answer")
    usage = {"prompt_tokens": "1", "kept_tokens": "2", "cost_microdollars": "3", "seconds": 0.5, "energy_source": "ENERGY_SOURCE_ESTIMATED"}
    assert _plain(final) == {
        "decision_id": "d",
        "receipt": {"usage": usage, "stages": [{"plan": "a", "usage": usage}], "cached": True, "cache_hit": "CACHE_HIT_EXACT"},
        "ending": f"ENDING_{ending.upper()}",
        "degraded": ["STORE_UNAVAILABLE"],
    }


def test_an_explanation_has_stages_and_rewards():
    stage = Record(
        id="d/0", kind="stage", decision_id="d", tenant="t", at=1.5, action="buy", plan="a", offered=("a", "stop"), scores=(3.5, 1.0),
        success=(0.5, 0.25), propensity=0.5, cost=3, prompt="secret",
    )  # fmt: skip
    reward = Record(id="d/-1/user", kind="reward", decision_id="d", tenant="t", at=2.5, stage=-1, reward=1.0, reward_source="user")
    explained = _plain(router_wire.explanation_to_pb([stage, reward, replace(reward, id="d/0/user", stage=0)]))
    assert explained == {
        "stages": [
            {
                "decide_time": "1970-01-01T00:00:01.500Z",
                "choices": [{"name": "a", "success": 0.5, "score": 3.5}, {"name": "stop", "success": 0.25, "score": 1.0}],
                "action": "ACTION_BUY",
                "plan": "a",
                "propensity": 0.5,
                "usage": {"cost_microdollars": "3"},
            }
        ],
        "rewards": [
            {"reward": 1.0, "source": "REWARD_SOURCE_USER", "report_time": "1970-01-01T00:00:02.500Z"},
            {"reward": 1.0, "source": "REWARD_SOURCE_USER", "report_time": "1970-01-01T00:00:02.500Z", "stage": 0},
        ],
    }


def test_a_query_with_an_id_of_the_callers_own_is_known_by_what_it_asks():
    def body(**given):
        return router_wire.query_from_pb(query_pb2.Query(messages=[query_pb2.Message(content="?")], **given), Tenant(id="t"), 1.0).body

    assert body() == ""
    assert body(id="r") == body(id="r") != ""
    assert len({body(id="r"), body(id="r", seed=1), body(id="r", knobs=query_pb2.Knobs(cache=True)), body(id="r", task="TASK_MATH")}) == 4
