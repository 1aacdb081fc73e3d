"""Tables of others' outcomes as a log: what each row becomes, and what is refused by column and row."""

import asyncio
import csv
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from predictors.encoders.static import Static
from predictors.features import Featurizer
from predictors.training.extract import plans_bought, sample
from predictors.training.log import read
from predictors.training.storage import parquet_files
from router import archive
from router.errors import InvalidQuery
from router.tables import import_table, recognise
from router.types import Message, Query

DATA = Path(__file__).parents[3] / "shared" / "data"
ROWS = [
    {"query": "2 + 2?", "arm": "small", "quality": 1.0, "cost_usd": 0.0000015, "answer": "4", "tokens_in": 5, "tokens_out": 7},
    {"query": "2 + 2?", "arm": "large", "quality": 0.0, "cost_usd": 0.00003, "answer": None, "tokens_in": 5, "tokens_out": 9},
    {"query": "2 + 3?", "arm": "small", "quality": 0.25, "cost_usd": 0.0, "answer": None, "tokens_in": 5, "tokens_out": 7},
    {"query": "2 + 2?", "arm": "small", "quality": 0.0, "cost_usd": 0.0000015, "answer": "5", "tokens_in": 5, "tokens_out": 7},
]


@pytest.fixture(scope="module")
def featurizer():
    return Featurizer(Static())


def a_table(path, rows=ROWS):
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def records(file):
    return [archive.record(row) for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_each_row_is_a_decision_that_bought_its_plan_and_was_rewarded(tmp_path, featurizer, suffix):
    found = import_table(a_table(tmp_path / f"table.{suffix}"), tmp_path / "log", featurizer)
    assert (found.rows, found.queries, found.plans) == (4, 2, ("large", "small"))
    assert found.file == tmp_path / "log" / "table.parquet"
    rows = records(found.file)
    stages, rewards = ({row.decision_id: row for row in rows if row.kind == kind} for kind in ("stage", "reward"))
    assert len(stages) == 4
    assert stages.keys() == rewards.keys()
    told = sorted(
        (row.plan, row.outcome_answer, rewards[row.decision_id].reward, row.cost, row.prompt_tokens, row.kept_tokens, row.propensity)
        for row in stages.values()
    )
    assert told == [
        ("large", "", 0.0, 30, 5, 9, 0.5),  # nothing was read, and it was wrong
        ("small", "(not told)", 0.25, 0, 5, 7, 1.0),
        ("small", "4", 1.0, 2, 5, 7, 0.5),  # micro-dollars, rounded up
        ("small", "5", 0.0, 2, 5, 7, 0.5),  # a second sample of the same plan
    ]
    for row in stages.values():
        assert (row.id, row.stage, row.action, row.explored, row.stop_reason) == (f"{row.decision_id}/0", 0, "buy", True, "done")
        assert row.prompt == ""
        assert math.isnan(row.outcome_scores[0])
    assert {(row.stage, row.reward_source) for row in rewards.values()} == {(0, "verifier")}
    features = asyncio.run(featurizer.describe(Query(id="", messages=(Message(content="2 + 3?"),))))
    (one,) = [row for row in stages.values() if row.propensity == 1.0]
    assert one.features == pytest.approx(features.vector.tolist())
    assert one.feature_version == features.version


def test_the_same_table_gives_the_same_file_and_is_no_news_when_imported_twice(tmp_path, featurizer):
    table = a_table(tmp_path / "table.csv")
    one = import_table(table, tmp_path / "one.parquet", featurizer)
    two = import_table(table, tmp_path / "two", featurizer)
    assert one.file.read_bytes() == two.file.read_bytes()
    survey = sample([one.file, two.file], tmp_path / "work" / "sample.parquet")
    assert (survey.rows, survey.decisions, survey.rewarded) == (8, 4, 4)  # four stages, four rewards
    decisions = [one for batch in read(tmp_path / "work" / "sample.parquet") for one in batch]
    assert sorted(len(one.purchases) for one in decisions) == [1, 1, 1, 1]
    assert plans_bought(parquet_files(tmp_path / "two")) == ("large", "small")


def test_columns_may_have_any_name_and_outcomes_may_be_true_or_false(tmp_path, featurizer):
    rows = [{"ask": "x", "who": "a", "ok": index == 0, "price": 12.5, "p": 0.25, "s": 1.5} for index in range(2)]
    columns = {"query": "ask", "plan": "who", "outcome": "ok", "cost": "price", "propensity": "p", "seconds": "s"}
    found = import_table(a_table(tmp_path / "table.jsonl", rows), tmp_path, featurizer, columns=columns)
    stages, rewards = ([row for row in records(found.file) if row.kind == kind] for kind in ("stage", "reward"))
    assert [row.reward for row in rewards] == [1.0, 0.0]
    assert [(row.cost, row.propensity, row.seconds, row.outcome_answer) for row in stages] == [(13, 0.25, 1.5, "(not told)"), (13, 0.25, 1.5, "")]


def test_usual_names_are_recognised_and_given_ones_come_first():
    names = ["model", "prompt", "score", "correct", "cost"]
    assert recognise(names, {}) == {"query": "prompt", "plan": "model", "outcome": "score", "cost": "cost"}
    assert recognise(names, {"outcome": "correct"})["outcome"] == "correct"
    with pytest.raises(InvalidQuery, match="no column 'grade'"):
        recognise(names, {"outcome": "grade"})
    with pytest.raises(InvalidQuery, match="--plan"):
        recognise(["query", "quality", "cost"], {})


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("quality", "good", "row 3, column quality: 'good' is not a number from 0 to 1"),
        ("quality", "1.5", "row 3, column quality"),
        ("quality", "nan", "row 3, column quality"),
        ("quality", "", "row 3, column quality"),
        ("cost_usd", "-1", "row 3, column cost_usd: '-1' is not a number that is not negative"),
        ("cost_usd", "inf", "row 3, column cost_usd"),
        ("query", "", "row 3, column query"),
        ("arm", "", "row 3, column arm"),
        ("tokens_in", "many", "row 3, column tokens_in"),
        ("propensity", "0", "row 3, column propensity"),
    ],
)
def test_what_cannot_be_is_refused_by_column_and_row(tmp_path, featurizer, column, value, message):
    rows = [
        {name: str(cell or "") for name, cell in row.items()} | {"quality": str(row["quality"]), "cost_usd": "1", "propensity": "0.5"} for row in ROWS
    ]
    rows[2][column] = value
    with pytest.raises(InvalidQuery, match=message):
        import_table(a_table(tmp_path / "table.csv", rows), tmp_path / "log", featurizer)
    assert not (tmp_path / "log" / "table.parquet").exists()


@pytest.mark.parametrize(("name", "content"), [("t.parquet", b"PAR1 no"), ("t.csv", b""), ("t.jsonl", b"{not json"), ("t.txt", b"query,plan\n")])
def test_what_is_no_table_is_refused(tmp_path, featurizer, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidQuery):
        import_table(tmp_path / name, tmp_path / "log", featurizer)


def test_a_table_without_rows_is_refused(tmp_path, featurizer):
    (tmp_path / "t.csv").write_text("query,plan,outcome,cost\n")
    with pytest.raises(InvalidQuery, match="no rows"):
        import_table(tmp_path / "t.csv", tmp_path / "log", featurizer)


@pytest.mark.skipif(not DATA.exists(), reason="the shared tables are not here")
def test_a_real_table_keeps_its_base_rates_and_costs(tmp_path, featurizer):
    found = import_table(DATA / "gsm8k_cobbe.parquet", tmp_path, featurizer)
    assert (found.rows, found.queries, len(found.plans)) == (3_756, 939, 4)
    table = pq.read_table(DATA / "gsm8k_cobbe.parquet")
    arms, quality, cost = (np.array(table[name].to_pylist()) for name in ("arm", "quality", "cost_usd"))
    rows = pq.read_table(found.file)
    stages, rewards = (rows.filter(pc.equal(rows["kind"], kind)) for kind in ("stage", "reward"))
    plan_of = dict(zip(stages["decision_id"].to_pylist(), stages["plan"].to_pylist(), strict=True))
    for plan in found.plans:
        mine = [reward for one, reward in zip(rewards["decision_id"].to_pylist(), rewards["reward"].to_pylist(), strict=True) if plan_of[one] == plan]
        assert np.mean(mine) == pytest.approx(quality[arms == plan].mean())
        spent = np.array(stages["cost"].to_pylist())[np.array(stages["plan"].to_pylist()) == plan]
        assert spent.mean() == pytest.approx(cost[arms == plan].mean() * 1e6, abs=1)
    assert set(stages["propensity"].to_pylist()) == {0.25}
