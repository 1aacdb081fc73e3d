"""Which queries are the same question, on the same terms, and which are not."""

from dataclasses import replace
from pathlib import Path

import pytest

from router.cache.identity import Keys, catalogue_version, keys, numbers
from router.cache.models import models_behind
from router.settings import Choice, PoolSettings
from router.tenants import CacheScope, Tenant
from router.types import Budget, Knobs, Message, Objective, Plan, Price, Query, Task


def a_query(text: str = "What is 2 + 2?", **changes: object) -> Query:
    return replace(Query(id="q", messages=(Message(content=text),)), **changes)  # type: ignore[arg-type]


def keys_of(query: Query, catalogue: str = "1", predictor: str = "1", **terms: object) -> Keys:
    return keys(query, Tenant(id=query.tenant, **terms), catalogue, predictor)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "same",
    [
        a_query("  What is\n2 + 2? "),
        a_query(id="other", deadline=5.0),
        a_query(knobs=Knobs(exploration=0.5)),
    ],
)
def test_what_deserves_the_same_answer_has_the_same_key(same: Query) -> None:
    assert keys_of(same) == keys_of(a_query())


@pytest.mark.parametrize(
    "other",
    [
        a_query("What is 2 + 3?"),
        a_query("what is 2 + 2?"),
        a_query("What is 2 + 2²?"),
        a_query(tenant="acme"),
        a_query(budget=Budget(cost=100)),
        a_query(knobs=Knobs(seconds=5.0)),
        a_query(task=Task.MATH),
        a_query(seed=1),
        a_query(knobs=Knobs(value=1.0)),
        a_query(knobs=Knobs(abstain_below=0.9)),
        a_query(knobs=Knobs(risk=0.1)),
        a_query(knobs=Knobs(plans=("large",))),
        a_query(knobs=Knobs(policy="fixed")),
        a_query(knobs=Knobs(max_stages=1)),
        a_query(messages=(Message(role="system", content="Lie."), Message(content="What is 2 + 2?"))),
    ],
)
def test_what_deserves_another_answer_has_another_key(other: Query) -> None:
    assert keys_of(other).answer != keys_of(a_query()).answer


def test_superscripts_code_and_versions_matter() -> None:
    assert keys_of(a_query("2² = ?")).question != keys_of(a_query("22 = ?")).question
    assert keys_of(a_query("if x:\n  y", task=Task.CODE)).question != keys_of(a_query("if x: y", task=Task.CODE)).question
    assert keys_of(a_query(), catalogue="2").answer != keys_of(a_query()).answer
    assert keys_of(a_query(), predictor="2").answer != keys_of(a_query()).answer


def test_what_was_bought_is_known_by_the_question_alone() -> None:
    richer = a_query(knobs=Knobs(value=1e6, max_stages=8), budget=Budget(cost=5), seed=7)
    assert keys_of(richer).question == keys_of(a_query()).question == keys_of(a_query(), predictor="2").question
    assert keys_of(a_query(), catalogue="2").question != keys_of(a_query()).question
    assert keys_of(a_query(tenant="acme")).question != keys_of(a_query()).question


def test_tenants_that_declare_it_have_one_scope_and_no_others() -> None:
    acme, lab = (keys_of(a_query(tenant=name), cache_scope=CacheScope.PUBLIC) for name in ("acme", "lab"))
    assert acme == lab
    assert keys_of(a_query(tenant="public")).scope != acme.scope
    assert keys_of(a_query(tenant="acme")).answer != acme.answer
    assert keys_of(a_query(), cache_scope=CacheScope.PUBLIC, objective=Objective(floor=0.9)).answer != acme.answer


@pytest.mark.parametrize(
    ("text", "other", "alike"),
    [
        ("Tom has 5 apples.", "5 apples are what Tom has.", True),
        ("Tom has 5 apples.", "Tom has five apples.", True),
        ("Tom has 5 apples.", "Tom has 6 apples.", False),
        ("Tom has five apples.", "Tom has six apples.", False),
        ("Take 3 from 5.", "Take 5 from 3.", False),
        ("It costs 1,000.", "It costs 1000.", True),
        ("It costs 1.5.", "It costs 15.", False),
        ("Half of it", "A third of it", False),
    ],
)
def test_questions_that_differ_in_a_number_are_never_alike(text: str, other: str, alike: bool) -> None:
    assert (keys_of(a_query(text), semantic_risk=0.1).alike == keys_of(a_query(other), semantic_risk=0.1).alike) is alike
    assert (numbers(text) == numbers(other)) is alike


def test_questions_are_alike_only_in_the_same_place() -> None:
    plain = keys_of(a_query("Why?"), semantic_risk=0.1).alike
    assert plain == keys_of(a_query("How come?"), semantic_risk=0.1).alike
    before = (Message(role="system", content="Lie."), Message(content="How come?"))
    for other in (a_query("How come?", task=Task.MATH), a_query("How come?", knobs=Knobs(value=1.0)), a_query(messages=before)):
        assert keys_of(other, semantic_risk=0.1).alike != plain
    assert keys_of(a_query()).alike == ""


PLAN = Plan(id="a", pool="p", strategy="direct", options={"skill": "solve"}, budget=Budget(cost=10), price=Price(prompt=1.0), helpers={"q": Price()})


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, pool="q"),
        replace(PLAN, strategy="beam"),
        replace(PLAN, options={"skill": "guess"}),
        replace(PLAN, budget=Budget(cost=11)),
        replace(PLAN, price=Price(prompt=2.0)),
        replace(PLAN, helpers={}),
    ],
)
def test_another_catalogue_has_another_version(other: Plan) -> None:
    plain = catalogue_version({"a": PLAN}, "m")
    assert catalogue_version({"a": replace(PLAN)}, "m") == plain
    assert catalogue_version({"a": other}, "m") != plain
    assert catalogue_version({"a": PLAN, "b": replace(PLAN, id="b")}, "m") != plain
    assert catalogue_version({"a": PLAN}, "n") != plain


def test_another_model_behind_a_pool_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"one")
    pool = PoolSettings(backend=Choice(name="embedded", options={"directory": str(tmp_path)}), model="m")
    before = models_behind({"p": pool})
    assert models_behind({"p": pool}) == before
    assert models_behind({"p": pool.model_copy(update={"model": "n"})}) != before
    (tmp_path / "weights").write_bytes(b"two")
    assert models_behind({"p": pool}) != before
