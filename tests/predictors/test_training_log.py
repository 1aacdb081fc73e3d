"""The log as learning reads it: every decision once and whole, nothing that is not needed, and bad input refused by name."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from predictors.training import log as reading
from predictors.training.extract import plans_bought, sample
from predictors.training.log import read
from predictors.training.storage import parquet_files
from router import archive
from router.errors import InvalidQuery
from router.types import Record
from tests.predictors.world import VERSION, of_record, practice, written


@pytest.fixture(scope="module")
def rows():
    return practice(120, seed=4)


def decisions(source, folder, **options):
    survey = sample(parquet_files(source), folder / "work" / "sample.parquet", **options)
    return survey, [one for batch in read(folder / "work" / "sample.parquet") for one in batch]


def test_every_decision_is_what_its_rows_say(rows, tmp_path):
    survey, found = decisions(written(rows, tmp_path), tmp_path)
    assert (survey.rows, survey.decisions, survey.rewarded, survey.explored) == (len(rows), 120, 120, 91)
    assert (survey.feature_version, survey.outdated, survey.share, survey.sampled) == (VERSION, 0, 1.0, 120)
    assert (survey.since, survey.until) == (1.0, 2.0)
    for one in found:
        stages = sorted((row for row in rows if row.decision_id == one.id and row.kind == "stage"), key=lambda row: row.stage)
        bought = [row for row in stages if row.action == "buy"]
        assert one.features == pytest.approx(np.float32(stages[0].features))
        assert [repr(purchase.shown) for purchase in one.purchases] == [repr(of_record(row)) for row in bought]  # NaN is no NaN's equal
        assert [(p.cost, p.tokens, p.seconds, p.propensity, p.made) for p in one.purchases] == [
            (row.cost, row.kept_tokens, row.seconds, row.propensity, True) for row in bought
        ]
        assert one.given == stages[-1].answer
        assert {(r.stage, r.value, r.source, r.at) for r in one.ratings} == {
            (row.stage, row.reward, row.reward_source, row.at) for row in rows if row.decision_id == one.id and row.kind == "reward"
        }


def test_a_batch_ends_where_a_decision_does(rows, tmp_path, monkeypatch):
    _, whole = decisions(written(rows, tmp_path), tmp_path)
    monkeypatch.setattr(reading, "_BATCH", 7)
    _, found = decisions(written(rows, tmp_path), tmp_path)
    assert [repr(one) for one in found] == [repr(one) for one in whole]


def test_the_first_row_of_an_id_counts(rows, tmp_path):
    written(rows, tmp_path / "log" / "date=1")
    written([replace(row, reward=1.0 if row.kind == "reward" else None, outcome_answer="other") for row in rows], tmp_path / "log" / "date=2")
    _, found = decisions(tmp_path / "log", tmp_path)
    _, once = decisions(tmp_path / "log" / "date=1", tmp_path)
    assert [repr(one) for one in found] == [repr(one) for one in once]


def test_what_another_request_bought_is_not_learned_from_twice(rows, tmp_path):
    heirs = [
        replace(row, id=f"heir-{row.id}", decision_id=f"heir-{row.decision_id}", inherited=("d/0",) if row.kind == "stage" else ()) for row in rows
    ]
    survey, found = decisions(written([*rows, *heirs], tmp_path), tmp_path)
    assert (survey.decisions, len(found)) == (120, 120)
    assert not [one.id for one in found if one.id.startswith("heir-")]


def test_what_people_wrote_is_never_read(rows, tmp_path):
    file = written(rows, tmp_path)
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["prompt", "trace", "outcome_tokens"]), file)
    assert len(decisions(file, tmp_path)[1]) == 120


def test_a_large_log_is_sampled_by_decision_and_those_kept_stand_for_the_rest(rows, tmp_path):
    silent = {row.decision_id for row in rows[: len(rows) // 2]}
    file = written([row for row in rows if row.kind == "stage" or row.decision_id not in silent], tmp_path)
    survey, found = decisions(file, tmp_path, most=40)
    assert survey.share == pytest.approx(40 / survey.rewarded)
    assert survey.unrewarded_share == pytest.approx(10 / (120 - survey.rewarded))
    assert 25 < sum(bool(one.ratings) for one in found) < 55
    assert sum(one.weight for one in found) == pytest.approx(120, rel=0.5)
    assert sorted({one.weight for one in found}) == pytest.approx(sorted((1 / survey.share, 1 / survey.unrewarded_share)))
    assert [one.id for one in decisions(file, tmp_path, most=40)[1]] == [one.id for one in found]


@pytest.mark.parametrize("damage", [math.nan, math.inf, 1e300])
def test_decisions_whose_features_are_not_finite_are_left_out(rows, tmp_path, damage):
    bad = rows[0].decision_id
    changed = [replace(row, features=(1.0, damage, *row.features[2:])) if row.decision_id == bad and row.features else row for row in rows]
    survey, found = decisions(written(changed, tmp_path), tmp_path)
    assert survey.sampled - len(found) == 1
    assert bad not in {one.id for one in found}


@pytest.mark.parametrize(
    "damage", [{"propensity": 0.0}, {"propensity": math.nan}, {"seconds": math.nan}, {"seconds": -1.0}, {"outcome_scores": (0.5, 0.5, 0.5)}], ids=str
)
def test_decisions_with_numbers_that_cannot_be_are_left_out(rows, tmp_path, damage):
    place = next(place for place, row in enumerate(rows) if row.action == "buy")
    survey, found = decisions(written([*rows[:place], replace(rows[place], **damage), *rows[place + 1 :]], tmp_path), tmp_path)
    assert survey.sampled - len(found) == 1


def test_decisions_with_fewer_features_than_most_are_left_out(rows, tmp_path):
    short = [replace(row, features=row.features[:2]) if row.decision_id == rows[0].decision_id else row for row in rows]
    survey, found = decisions(written(short, tmp_path), tmp_path)
    assert survey.sampled - len(found) == 1


def test_another_version_of_features_is_learned_from_where_it_is_asked_for(rows, tmp_path):
    early = {row.decision_id for row in rows[: len(rows) // 2]}
    older = [replace(row, feature_version="old", at=row.at - 9) if row.decision_id in early and row.features else row for row in rows]
    file = written(older, tmp_path)
    assert decisions(file, tmp_path)[0].feature_version == VERSION
    survey, found = decisions(file, tmp_path, version="old")
    assert (survey.feature_version, survey.decisions, {one.id for one in found}) == ("old", len(early), early)
    with pytest.raises(InvalidQuery, match=f"no decision with features new; it has old, {VERSION}"):
        decisions(file, tmp_path, version="new")


def test_a_folder_a_file_or_a_glob(rows, tmp_path):
    one = written(rows, tmp_path / "log" / "date=2026-01-01")
    other = written(rows, tmp_path / "log" / "date=2026-01-02")
    (tmp_path / "log" / ".unfinished.parquet").write_text("")
    assert parquet_files(tmp_path / "log") == parquet_files(tmp_path / "log" / "*" / "*.parquet") == [one, other]
    assert parquet_files(one) == [one]
    assert plans_bought([one, other]) == ("cheap", "dear")


def test_nothing_to_read_is_said(tmp_path):
    (tmp_path / "notes.txt").write_text("no log")
    for source in (tmp_path, tmp_path / "missing", tmp_path / "*.parquet"):
        with pytest.raises(InvalidQuery, match="no Parquet file"):
            parquet_files(source)


@pytest.mark.parametrize("cut", [lambda content: b"query,plan\n", lambda content: content[: len(content) // 2], lambda content: b""])
def test_a_file_that_is_not_whole_is_named(rows, tmp_path, cut):
    file = written(rows, tmp_path)
    file.write_bytes(cut(file.read_bytes()))
    with pytest.raises(InvalidQuery, match=r"log\.parquet is no whole Parquet file"):
        sample([file], tmp_path / "work" / "sample.parquet")


def test_a_file_that_is_damaged_inside_is_named(rows, tmp_path):
    file = written(rows, tmp_path)
    content = bytearray(file.read_bytes())
    content[200:-8_000] = bytes(len(content) - 8_200)
    file.write_bytes(content)
    with pytest.raises(InvalidQuery, match=r"log\.parquet"):
        sample([file], tmp_path / "work" / "sample.parquet")


@pytest.mark.parametrize("column", ["id", "decision_id", "kind", "features", "reward"])
def test_a_missing_column_is_named(rows, tmp_path, column):
    file = written(rows, tmp_path)
    pq.write_table(pq.read_table(file).drop_columns([column]), file)
    with pytest.raises(InvalidQuery, match=f"no column {column}"):
        sample([file], tmp_path / "work" / "sample.parquet")


def test_a_column_of_another_kind_is_refused(rows, tmp_path):
    file = written(rows, tmp_path)
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.schema.get_field_index("cost"), "cost", pa.array(["dear"] * table.num_rows)), file)
    with pytest.raises(InvalidQuery, match="dear"):
        sample([file], tmp_path / "work" / "sample.parquet")


def test_a_log_of_a_newer_version_is_refused(rows, tmp_path):
    file = written([*rows, replace(rows[0], id="new", schema_version=99)], tmp_path)
    with pytest.raises(InvalidQuery, match="schema_version 99"):
        sample([file], tmp_path / "work" / "sample.parquet")


def test_columns_as_a_whole_have_a_records_defaults():
    given = {"id": ["a", "b"], "kind": ["stage"] * 2, "decision_id": ["a", "b"], "tenant": ["t"] * 2, "at": [1.0, 2.0], "features": [[1.0], []]}
    first, second = (archive.record(row) for row in archive.columnar(given, 2).to_pylist())
    assert first == Record(id="a", kind="stage", decision_id="a", tenant="t", at=1.0, features=(1.0,))
    assert second == Record(id="b", kind="stage", decision_id="b", tenant="t", at=2.0)
