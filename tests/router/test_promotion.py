"""A candidate's way to serving: by evidence alone, either way, and never on what a control does as well."""

import numpy as np
import pytest
from pydantic import ValidationError

from router.evaluation.judge import LOGGED, OURS, always
from router.evaluation.question import Return
from router.promotion.keeper import Standing, arms
from router.promotion.review import from_shadow, from_traffic, guarded
from router.promotion.state import Guard, Promotion, begun
from router.settings import CandidateSettings, Choice, PromotionSettings

TERMS = PromotionSettings(least=100, most=2_000, margin=0.02)
CANDIDATE = CandidateSettings(policy=Choice(name="fixed", options={"plan": "a"}))
SHADOW = begun(CANDIDATE, at=1.0)
CANARY = SHADOW.to("canary", "", 2.0, control="a")
CONFIGURED = {"allocator": Choice(name="allocator"), "thompson": Choice(name="thompson")}


def judgement(ahead, *, of=LOGGED, decisions=1_000):
    """What `answered` says, where the candidate is ahead by this interval."""
    told = {"refused": "too little"} if ahead is None else {"value": sum(ahead) / 2, "low": ahead[0], "high": ahead[1]}
    return {"decisions": decisions, "best_constant": "a", "ahead_of": {of: told}, "value": 1_000.0, "estimates": {OURS: {"refused": "too little"}}}


@pytest.mark.parametrize(("ahead", "stage"), [((-30, -10), "rejected"), ((-10, 30), "canary"), ((10, 30), "canary"), (None, "canary")])
def test_the_shadow_ends_when_the_log_has_spoken(ahead, stage):
    found = from_shadow(SHADOW, judgement(ahead), TERMS, 3.0)
    assert (found.stage, found.began) == (stage, 3.0)
    assert found.events[-1].why
    assert found.control == ("a" if stage == "canary" else "")


def test_few_decisions_end_no_shadow():
    assert from_shadow(SHADOW, judgement((-30, -10), decisions=99), TERMS, 3.0) == SHADOW


def traffic(count, rng, **right):
    """Requests of every arm, of these chances of being right, each at 50 micro-dollars."""
    return [Return(arm, float(rng.random() < chance), 50.0, 1_000.0) for arm, chance in right.items() for _ in range(count)]


def moved(promotion, count, serving, control, candidate):
    returns = traffic(count, np.random.default_rng(0), **{"": serving, "control": control, "candidate": candidate})
    return from_traffic(promotion, returns, TERMS, 3.0)


@pytest.mark.parametrize(
    ("serving", "control", "candidate", "stage"),
    [
        (0.5, 0.5, 0.9, "full"),
        (0.5, 0.9, 0.9, "canary"),  # no better than a constant plan
        (0.9, 0.5, 0.5, "rolled back"),
        (0.5, 0.9, 0.5, "rolled back"),  # no worse than what served, but worse than a constant plan
        (0.7, 0.7, 0.7, "canary"),
    ],
)
def test_a_canary_moves_by_what_was_earned(serving, control, candidate, stage):
    found = moved(CANARY, 600, serving, control, candidate)
    assert found.stage == stage
    assert (len(found.events) > len(CANARY.events)) == (stage != "canary")


def test_a_canary_that_shows_nothing_ends_and_a_promotion_that_holds_is_complete():
    assert moved(CANARY, 2_000, 0.7, 0.7, 0.7).stage == "rejected"
    full = CANARY.to("full", "", 2.5)
    assert moved(full, 2_000, 0.7, 0.6, 0.7).stage == "adopted"
    assert moved(full, 600, 0.9, 0.6, 0.5).stage == "rolled back"


def test_a_long_good_time_does_not_hide_that_it_is_over():
    """A candidate that was better for long, and then fails."""
    rng, full = np.random.default_rng(0), CANARY.to("full", "", 2.5)
    returns = [one for _ in range(900) for one in traffic(1, rng, **{"": 0.5, "control": 0.5, "candidate": 0.9})]
    assert from_traffic(full, returns, TERMS, 3.0) == full
    returns += [one for _ in range(500) for one in traffic(1, rng, **{"": 0.9, "control": 0.9, "candidate": 0.3})]
    found = from_traffic(full, returns, TERMS, 3.0)
    assert (found.stage, found.events[-1].why.startswith("lately")) == ("rolled back", True)


def test_a_candidate_that_is_alike_is_seldom_promoted_however_often_one_looks():
    """After every twenty requests, over a hundred canaries: the error of 5 % counts once."""
    wrong = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        returns: list[Return] = []
        for _ in range(20):
            returns += traffic(20, rng, **{"": 0.7, "control": 0.5, "candidate": 0.7})
            if from_traffic(CANARY, returns, TERMS, 3.0).stage == "full":
                wrong += 1
                break
    assert wrong <= 5


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [((10, 300), "better"), ((-300, -10), "worse"), ((-10, 15), "no better"), ((-10, 300), "unproven"), (None, "unproven")],
)
def test_the_guard_says_what_the_interval_says(ahead, verdict):
    found = guarded(judgement(ahead, of=always("a")), TERMS, 5.0)
    assert (found.verdict, found.control, found.at) == (verdict, "a", 5.0)
    assert found.closed == (verdict in ("worse", "no better"))
    assert guarded(judgement(ahead, of=always("a"), decisions=50), TERMS, 5.0).verdict == "unproven"


@pytest.mark.parametrize(
    ("standing", "shares"),
    [
        (Standing(), {}),
        (Standing(promotion=SHADOW), {}),
        (Standing(promotion=CANARY), {"candidate": 0.1, "control": 0.1}),
        (Standing(promotion=CANARY.to("full", "", 3.0)), {"candidate": 0.8, "control": 0.1}),
        (Standing(promotion=CANARY.to("adopted", "", 3.0)), {"candidate": 1.0}),
        (Standing(promotion=CANARY.to("rolled back", "", 3.0)), {}),
        (Standing(guard=Guard(verdict="worse", control="a", why="it is")), {"control": 1.0}),
    ],
)
def test_who_decides_which_share(standing, shares):
    assert {arm.name: arm.share for arm in arms(standing, TERMS, CONFIGURED)} == shares


def test_under_a_closed_guard_the_control_has_what_the_canary_leaves():
    found = arms(Standing(promotion=CANARY, guard=Guard(verdict="worse", control="b", why="it is")), TERMS, CONFIGURED)
    assert [(arm.name, arm.policy.version) for arm in found] == [("candidate", "fixed-a"), ("control", "fixed-a"), ("control", "fixed-b")]
    assert found[-1].note == "honesty guard: it is"


def test_a_configured_policy_decides_with_what_it_has_learned():
    (candidate, _) = arms(
        Standing(promotion=CANARY.model_copy(update={"candidate": CandidateSettings(policy=CONFIGURED["thompson"])})), TERMS, CONFIGURED
    )
    assert (candidate.policy, candidate.knobs["policy"]) == (None, "thompson")


@pytest.mark.parametrize("candidate", [CandidateSettings(), CandidateSettings(knobs={"max_stages": 8}), CandidateSettings(knobs={"plans": ["a"]})])
def test_a_promotion_carries_no_candidate_that_may_cost_more_or_is_none(candidate):
    with pytest.raises(ValueError, match="candidate"):
        begun(candidate, 1.0)


def test_what_is_kept_comes_back_whole_and_damage_is_seen():
    assert Promotion.model_validate_json(CANARY.model_dump_json()) == CANARY
    with pytest.raises(ValidationError):
        Promotion.model_validate_json(CANARY.model_dump_json()[:-20])
