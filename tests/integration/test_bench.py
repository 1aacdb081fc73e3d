"""The bench, in small: it measures what it says it does."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from router.settings import WorkerSettings
from tests.bench import stages
from tests.bench.policies.judge import judged
from tests.bench.policies.live import NEW, World, streamed
from tests.bench.policies.problems import problems
from tests.bench.policies.report import plot, show
from tests.bench.policies.rounds import one_seed
from tests.bench.policies.speed import speed


async def test_every_stage_is_timed(running, monkeypatch):
    monkeypatch.setattr(stages, "TIMES", 3)
    found = await stages.stages(running.pipeline)
    assert found["encode + predict + decide"] == found["encode"] + found["predict"] + found["decide"]
    assert all(value > 0 for value in found.values())


def test_policies_play_a_table_and_are_judged(tmp_path):
    """Whoever has seen every outcome is the best of all; regret is against the reference, and the report has a row of everybody."""
    (problem,) = problems(None, 3.0, 500)
    seeds = [one_seed(problem, 500, seed) for seed in range(2)]
    played = {name: np.stack([one[name] for one in seeds]) for name in seeds[0]}
    found = {"peers": [], "replay": {problem.name: judged(problem, played, [], ["thompson"]) | {"block": 50}}}
    rows = found["replay"][problem.name]["rows"]
    assert {"thompson", "linucb", "epsilon", "allocator", "thompson, warm", "random", "category, greedy"} <= rows.keys()
    assert max(rows, key=lambda name: rows[name]["reward"][0]) == "hindsight oracle"
    assert rows["full information"]["regret"]["all"][0] == 0
    for row in rows.values():
        assert row["reward"][0] == pytest.approx(row["quality"] - row["cost"] / problem.worth)
    assert rows["thompson"]["regret"]["all"][0] < rows["random"]["regret"]["all"][0]
    out = StringIO()
    show(found, Console(file=out, width=250))
    assert all(name in out.getvalue() for name in rows)
    assert [file.exists() for file in plot(found, tmp_path)] == [True]


async def test_a_stream_goes_through_the_whole_service(tmp_path, worker):
    """Each phase offers what it says, and what was bought is what the models really gave."""
    world = World.bundled()
    settings = world.settings("thompson", tmp_path / "data").model_copy(update={"worker": WorkerSettings(address=worker)})
    found = await streamed(world, settings, 20, 200.0, 0)
    phases = [block["phase"] for block in found["blocks"]]
    assert phases == ["start", "new plan", "mix turned over", "plan broke"]
    assert found["blocks"][0]["shares"][NEW] == 0
    for block in found["blocks"]:
        assert sum(block["shares"].values()) == pytest.approx(1)
        assert block["reward"] == pytest.approx(block["quality"] - block["cost"] / found["worth"])
    assert [event["event"] for event in found["events"]] == phases[1:]


def test_speed_grows_along_every_way():
    found = speed(outcomes=20, times=3)
    assert {way: list(sizes) for way, sizes in found["growth"].items()}["plans"] == ["5", "10", "20", "40"]
    assert all(value > 0 for sizes in found["growth"].values() for row in sizes.values() for value in row.values())
