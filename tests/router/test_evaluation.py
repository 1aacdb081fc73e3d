"""What the log says of policies: on a small world whose truth is known by letting the policy act there."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from policies.allocator import Allocator
from policies.evaluation import Trajectories
from policies.evaluation.fitted import fitted
from policies.fixed import Fixed
from predictors.learned import Learned
from router.__main__ import app
from router.errors import InvalidQuery, NoSupport, UnknownTenant
from router.evaluation.board import Board, constant, spread
from router.evaluation.episodes import read
from router.evaluation.foresight import Candidate, Foreseen, chances
from router.evaluation.judge import LOGGED, OURS, Judge, judged
from router.evaluation.question import Question
from router.evaluation.run import answered
from router.settings import CandidateSettings, Choice, PlanSettings, Settings
from router.terms import TenantSettings
from router.types import Knobs, Record
from tests.predictors import world

CATALOGUE = {plan.id: plan for plan in world.PLANS}
ACTED = Knobs(value=500.0, exploration=0.3, max_stages=2)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact")
    world.fit(world.practice(1_500, seed=1), tuple(CATALOGUE), folder)
    return folder


@pytest.fixture(scope="module")
def predictor(artifact):
    return Learned(path=str(artifact))


def logged(predictor, count, seed, policy=None, knobs=ACTED):
    return [row for one in world.episodes(count, seed, predictor, policy or Allocator(), knobs) for row in one.records]


def board_of(rows, folder, most=5_000):
    log = read([world.written(rows, folder)], "default", world.VERSION, most)
    return Board.of(log.episodes, CATALOGUE)


def judge_of(board, predictor, value=500.0):
    return Judge.of(board, Foreseen.by(predictor, board, CATALOGUE, lambda done, total: None), value)


def truth(predictor, policy, knobs):
    acted = list(world.episodes(3_000, 77, predictor, policy, knobs))
    return np.mean([one.right for one in acted]), np.mean([one.cost for one in acted])


@pytest.fixture(scope="module")
def board(predictor, tmp_path_factory):
    return board_of(logged(predictor, 1_000, seed=5), tmp_path_factory.mktemp("log"))


@pytest.mark.parametrize("value", [100.0, 2_000.0])
def test_what_a_policy_would_have_earned_is_what_it_earns_when_it_acts(predictor, tmp_path, value):
    """Over logs that another policy made: right on average, and intervals hold."""
    knobs = Knobs(value=value, max_stages=2)
    quality, cost = truth(predictor, Allocator(), knobs)
    found, held = [], 0
    for seed in range(5):
        board = board_of(logged(predictor, 250, seed, knobs=replace(ACTED, exploration=0.6)), tmp_path / str(seed))
        judge = judge_of(board, predictor)
        one = judge.estimates(chances(Candidate(policy=Allocator(), predictor=predictor, knobs=knobs), board, judge.foreseen))
        found.append((one["quality"]["value"], one["cost"]["value"]))
        held += one["quality"]["low"] <= quality <= one["quality"]["high"]
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - (quality, cost)) < 4 * error)
    assert held >= 4


def test_the_policy_that_acted_is_judged_to_have_earned_what_it_did(board, predictor):
    judge = judge_of(board, predictor)
    target = chances(Candidate(policy=Allocator(), predictor=predictor, knobs=ACTED), board, judge.foreseen)
    assert np.allclose(target, board.logging)
    found = judge.estimates(target)
    assert found["quality"]["low"] < board.quality.sum(1).mean() < found["quality"]["high"]
    assert found["cost"]["value"] == pytest.approx(board.cost.sum(1).mean(), rel=0.05)
    assert found["effective"] > 0.8 * len(board.episodes)
    assert judge.ahead(target, board.logging)["value"] == pytest.approx(0)


def test_a_policy_stands_beside_what_acted_and_the_controls(board, predictor):
    candidate = Candidate(policy=Allocator(), predictor=predictor, knobs=Knobs(value=500.0, max_stages=2))
    found = judged(candidate, board, Foreseen.by(predictor, board, CATALOGUE, lambda done, total: None))
    ours, logged, *controls = found["estimates"]
    assert (ours, logged) == (OURS, LOGGED)
    assert [name.split(",")[0].split(" (")[0] for name in controls] == ["always dear", "static mixture of that cost", "the same purchases"]
    assert set(found["ahead_of"]) == {logged, *controls}
    assert found["ahead_of"][logged]["low"] > -60  # it explores less
    assert not found["not_judged"]
    json.dumps(found)


def test_a_log_that_explored_nothing_says_nothing_of_another_policy(predictor, tmp_path):
    board = board_of(logged(predictor, 300, seed=6, knobs=Knobs(value=100.0, max_stages=2)), tmp_path)
    judge = judge_of(board, predictor)
    found = judge.estimates(constant(board, "dear"))
    assert "dear" not in found
    assert "explor" in found["refused"]
    assert 0 <= found["modelled"]["quality"] <= 1
    assert "refused" in judge.ahead(constant(board, "dear"), board.logging)


def test_plans_and_stages_that_a_knob_forbids_are_never_chosen(board, predictor):
    foreseen = judge_of(board, predictor).foreseen
    cheap = Candidate(policy=Allocator(), predictor=predictor, knobs=replace(ACTED, plans=("cheap",), max_stages=1))
    target = chances(cheap, board, foreseen)
    assert not target[..., board.names.index("dear")].any()
    assert target[:, 1:][board.mask[:, 1:]][:, -2:].sum() == pytest.approx(board.mask[:, 1:].sum())
    fixed = chances(Candidate(policy=Fixed(plan="dear"), predictor=predictor, knobs=Knobs()), board, foreseen)
    assert fixed[:, 0, board.names.index("dear")].all()


def test_chances_of_controls(board):
    mixed = spread(board, {"cheap": 0.75, "dear": 0.25})
    assert np.allclose(mixed.sum(-1), 1)
    assert np.allclose(mixed[:, 0, :2], (0.75, 0.25))
    later = mixed[:, 1][board.mask[:, 1]]
    assert np.allclose(later[:, :2], 0)


def by_hand(**changes):
    """One decision: cheap, then stop, rated 1."""
    rows = [
        Record(
            id="d/0", kind="stage", decision_id="d", tenant="default", at=1.0, feature_version="v", features=(1.0,), action="buy", plan="cheap",
            offered=("abstain", "cheap", "dear"), chances=(0.0, 0.75, 0.25), costs=(0.0, 8.0, 90.0), outcome_answer="7", outcome_answers=("7",),
            outcome_scores=(0.5,), outcome_logprobs=(-0.1,), stop_reason="done", cost=10,
        ),
        Record(
            id="d/1", kind="stage", decision_id="d", tenant="default", at=2.0, stage=1, feature_version="v", features=(1.0,), action="stop",
            offered=("stop", "dear"), chances=(0.9, 0.1), costs=(0.0, 90.0), answer="7", stop_reason="stopped",
        ),
        Record(id="d/-1/user", kind="reward", decision_id="d", tenant="default", at=3.0, stage=-1, reward=1.0, reward_source="user"),
    ]  # fmt: skip
    return [replace(row, **changes.get(row.id.split("/", 1)[1], {})) for row in rows]


def log_of(rows, folder, version="v"):
    return read([world.written(rows, folder)], "default", version, 100)


def test_an_episode_is_what_its_rows_say(tmp_path):
    (episode,) = log_of(by_hand(), tmp_path).episodes
    first, last = episode.steps
    assert (first.action, first.propensity, first.cost, first.evidence.stage) == ("cheap", 0.75, 10.0, 0)
    assert (last.action, last.propensity, last.cost) == ("stop", 0.9, 0.0)
    assert (last.evidence.outcomes[0].answer, last.evidence.bought) == ("7", {"cheap"})
    assert episode.quality == 1.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"-1/user": {"reward": float("nan")}}, "unrated"),
        ({"1": {"action": "buy", "plan": "dear", "stop_reason": "cancelled"}}, "unfinished"),
        ({"1": {"stage": 2}}, "unfinished"),
        ({"0": {"chances": (0.0, 0.0, 0.0)}}, "older"),
        ({"1": {"stop_reason": "cached"}}, "cached"),
        ({"0": {"inherited": ("c/0",)}, "1": {"inherited": ("c/0",)}}, "inherited"),
        ({"1": {"policy": "batch"}}, "batch"),
        ({"0": {"feature_version": "w"}}, "other features"),
        ({"0": {"outcome_scores": ()}}, "damaged"),
        ({"0": {"plan": "gone"}, "1": {}}, "damaged"),
    ],
)
def test_what_is_left_out_is_counted(tmp_path, changes, reason):
    log = log_of(by_hand(**changes), tmp_path)
    assert (log.episodes, log.left_out) == ((), {reason: 1})


def test_the_most_trusted_word_counts_and_another_answer_being_right_makes_this_one_wrong(tmp_path):
    rows = by_hand(**{"1": {"answer": "8"}})
    rows.append(Record(id="d/0/unit_test", kind="reward", decision_id="d", tenant="default", at=4.0, stage=0, reward=1.0, reward_source="unit_test"))
    (episode,) = log_of(rows, tmp_path).episodes
    assert episode.quality == 0.0


def test_an_answer_withheld_needs_no_rating_and_does_not_count_for_more_than_one(tmp_path):
    withheld = [
        replace(row, id=f"w{row.id[1:]}", decision_id="w") for row in by_hand(**{"1": {"action": "abstain", "offered": ("abstain", "dear")}})[:2]
    ]
    unrated = [replace(row, id=f"u{row.id[1:]}", decision_id="u") for row in by_hand()[:2]]
    episodes = log_of([*by_hand(), *withheld, *unrated], tmp_path).episodes
    assert {one.id: (one.quality, one.weight) for one in episodes} == {"d": (1.0, 2.0), "w": (0.0, 1.0)}


def test_a_plan_that_the_caller_carried_out_cost_what_he_says_or_else_its_forecast(tmp_path):
    (episode,) = log_of(by_hand(**{"0": {"stop_reason": "", "cost": 0}})[::2], tmp_path).episodes
    assert [step.cost for step in episode.steps] == [8.0]
    (episode,) = log_of(by_hand(**{"0": {"stop_reason": "", "cost": 0}, "-1/user": {"cost": 11}})[::2], tmp_path).episodes
    assert [step.cost for step in episode.steps] == [11.0]


def test_the_latest_decisions_are_read_and_each_row_once(tmp_path):
    rows = [replace(row, id=f"{n}/{row.id[2:]}", decision_id=str(n), at=row.at + 10 * n) for n in range(5) for row in by_hand()]
    log = read([world.written(rows, tmp_path / "a"), world.written(rows, tmp_path / "b")], "default", "v", 3)
    assert [one.id for one in log.episodes] == ["2", "3", "4"]
    assert len(log.rows) == 9
    older, newer = log.halves()
    assert ([one.id for one in older.episodes], [one.id for one in newer.episodes]) == (["2"], ["3", "4"])
    assert {row.decision_id for row in newer.rows} == {"3", "4"}


def test_fitted_q_is_the_truth_where_its_design_can_say_it():
    """Two steps; the second's reward is 1 for action 1, which the policy takes with .3 there; the first step's is its action."""
    rng, count = np.random.default_rng(0), 4_000
    action = rng.integers(2, size=(count, 2))
    half = np.full((count, 2, 2), 0.5)
    target = np.tile(np.array([0.7, 0.3]), (count, 2, 1))
    reward = np.stack((action[:, 0], action[:, 1]), axis=1) + rng.normal(size=(count, 2))
    log = Trajectories(action=action, propensity=np.full((count, 2), 0.5), reward=reward, target=target, logging=half, mask=np.ones((count, 2), bool))
    design = np.zeros((count, 2, 2, 2))
    design[..., 0, 0] = design[..., 1, 1] = 1.0
    model = fitted(log, design, np.zeros((count, 2, 2)))
    assert model[0] == pytest.approx(np.array([[0.3, 1.3], [0.0, 1.0]]), abs=0.15)
    alone = fitted(log, np.zeros((count, 2, 2, 1)), np.full((count, 2, 2), 0.25))
    assert np.allclose(alone, 0.25)


@pytest.fixture
def settings(tmp_path, artifact, predictor):
    budgets = {plan.id: plan.budget for plan in world.PLANS}
    world.written(logged(predictor, 400, seed=9), tmp_path / "data" / "journal" / "parquet" / "date=2026-01-01")
    return Settings(
        data=tmp_path / "data",
        plans={
            name: PlanSettings(pool="nano", strategy="direct", tokens=one.tokens, cost=one.cost, price=(0, 1, 0)) for name, one in budgets.items()
        },
        predictor=Choice(name="learned", options={"path": str(artifact)}),
        policies={name: Choice(name=name) for name in ("allocator", "thompson")},
    )


def test_a_question_is_answered_from_the_data_folder(settings):
    found = answered(settings, Question(candidate=CandidateSettings(knobs={"value": 500.0})))
    assert (found["decisions"], found["policy"], found["left_out"]) == (400, "allocator-2", {})
    assert found["estimates"][OURS]["quality"]["low"] < found["estimates"][OURS]["quality"]["high"]


def test_a_policy_that_learns_learns_from_the_older_half_and_is_judged_on_the_newer(settings):
    found = answered(settings, Question(candidate=CandidateSettings(policy=Choice(name="thompson"), knobs={"value": 500.0, "exploration": 0.3})))
    assert found["decisions"] == 200
    assert found["policy"].startswith("thompson-")
    assert found["policy"] != "thompson-new"


def test_a_knob_along_its_range(settings):
    found = answered(settings, Question(candidate=CandidateSettings(), knob="value", values=(10.0, 500.0, 5_000.0)))
    assert [point["at"] for point in found["points"]] == [10.0, 500.0, 5_000.0]
    quality = [point["modelled"]["quality"] for point in found["points"]]
    assert quality == sorted(quality)
    assert set(found["constants"]) == {"cheap", "dear"}


def test_with_a_floor_or_a_cap_every_decision_has_the_value_it_had(settings, predictor, tmp_path):
    objective = {"tenants": {"default": TenantSettings(cap=10**6, exploration=0.3, max_stages=2)}}
    rows = [replace(row, value=500.0) for row in logged(predictor, 300, seed=9)]
    world.written(rows, tmp_path / "capped" / "journal" / "parquet" / "date=2026-01-01")
    capped = settings.model_copy(update={**objective, "data": tmp_path / "capped"})
    found = answered(capped, Question(candidate=CandidateSettings()))
    assert found["value"] == 500.0
    assert found["ahead_of"][LOGGED]["value"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (Question(candidate=CandidateSettings(), tenant="nobody"), UnknownTenant),
        (Question(candidate=CandidateSettings(knobs={"value": -1})), InvalidQuery),
        (Question(candidate=CandidateSettings(knobs={"valeu": 1})), InvalidQuery),
        (Question(candidate=CandidateSettings(policy=Choice(name="nosuch"))), InvalidQuery),
        (Question(candidate=CandidateSettings(), knob="seed"), InvalidQuery),
    ],
)
def test_a_question_that_is_not_in_order_is_refused(settings, question, error):
    with pytest.raises(error):
        answered(settings, question)


def test_the_command_says_by_its_exit_code_whether_the_log_can_tell(settings, predictor, tmp_path, monkeypatch):
    config, candidate = tmp_path / "settings.yaml", tmp_path / "candidate.yaml"
    config.write_text(settings.model_dump_json(exclude={"config"}))
    candidate.write_text(yaml.safe_dump({"policy": {"name": "fixed", "options": {"plan": "dear"}}, "knobs": {"exploration": 0}}))
    world.written(logged(predictor, 100, seed=6, knobs=Knobs(value=100.0, max_stages=2)), tmp_path / "sure")
    monkeypatch.setenv("RHEOSTAT_CONFIG", str(config))
    told = CliRunner().invoke(app, ["evaluate", "--policy", str(candidate), "--json"])
    refused = CliRunner().invoke(app, ["evaluate", "--policy", str(candidate), "--log", str(tmp_path / "sure"), "--json"])
    assert (told.exit_code, refused.exit_code) == (0, 1)
    assert "explor" in json.loads(refused.stdout)["estimates"][OURS]["refused"]


def test_an_empty_log_is_refused(settings, tmp_path):
    with pytest.raises(NoSupport, match="no rated decision"):
        answered(settings.model_copy(update={"data": tmp_path / "none"}), Question(candidate=CandidateSettings()))


def test_a_candidate_file_names_what_is_wrong(tmp_path):
    from router.settings import candidate  # noqa: PLC0415

    file = tmp_path / "candidate.yaml"
    file.write_text(yaml.safe_dump({"policy": {"name": "fixed"}, "knobs": {"value": 1}}))
    assert candidate(file).policy == Choice(name="fixed")
    assert candidate(None) == CandidateSettings()
    file.write_text("polycy: 1")
    with pytest.raises(ValueError, match="polycy"):
        candidate(file)
