"""The benchmark on tables whose truth is known."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.benchmark.board import load
from router.benchmark.report import show, write
from router.benchmark.run import BUNDLED, OURS, SEEN, ZERO, run
from router.errors import InvalidQuery

COUNT = 300


def rows(count, seed):
    """Long questions are mostly hard, and the weak arms mostly wrong on hard ones; where these agree they are right. `strong` costs 20 times more."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        hard = rng.random() < 0.3
        text = f"question {rng.integers(10**9)} " + ("that goes on and on and on " * 4 if hard != (rng.random() < 0.25) else "")
        for arm, cost, chance in (("weak", 1e-6, 0.05 if hard else 0.8), ("weak too", 1.2e-6, 0.1 if hard else 0.9), ("strong", 2e-5, 0.9)):
            right = rng.random() < chance
            yield {
                "query_id": f"{seed}-{number}",
                "query": text,
                "category": "one",
                "arm": arm,
                "sample_index": 0,
                "quality": float(right),
                "answer": "42" if right else f"wrong {rng.integers(10**6)}",
                "response_chars": 100,
                "cost_usd": cost,
            }


def write_table(folder, count=COUNT, seed=0, name="toy", **changes):
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_pylist(list(rows(count, seed)))
    for column, values in changes.items():
        place = table.column_names.index(column)
        table = table.drop_columns([column]) if values is None else table.set_column(place, column, pa.array([values] * table.num_rows))
    pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run(write_table(tmp_path_factory.mktemp("data") / "tables"))


def test_routers_that_know_more_do_better(found):
    areas = {name: figures["area"][0] for name, figures in found["sets"]["toy"]["routers"].items()}
    assert areas["hindsight oracle"] >= max(areas.values())
    assert areas[SEEN] > areas[OURS] > areas[ZERO]
    assert found["sets"]["toy"]["routers"][SEEN]["ahead"][1] > 0
    assert areas["shuffled queries"] < areas[OURS]


def test_one_category_tells_nothing(found):
    low, high = found["sets"]["toy"]["routers"]["category only"]["ahead"][1:]
    assert low <= 0.01
    assert high < 0.05


def test_shuffled_queries_are_never_ahead(found):
    assert found["sets"]["toy"]["routers"]["shuffled queries"]["ahead"][1] <= 1e-9


def test_promises_are_kept_or_nothing_is_promised(found):
    promises = found["sets"]["toy"]["promises"]
    assert set(promises) == {"0.05", "0.1"}
    assert all(told["kept"] for told in promises.values())
    assert promises["0.1"]["given"][0] > 0.3


def test_figures_lie_in_their_intervals(found):
    for figures in found["sets"]["toy"]["routers"].values():
        for value, low, high in (figures["area"], figures["area_log"], figures["quality_at_quarter"]):
            assert low - 0.01 <= value <= high + 0.01
            assert 0 <= value <= 1


def test_difficulty_is_told_from_the_prompt(found):
    told = found["sets"]["toy"]["calibration"]
    assert told[OURS]["weak"]["auc"][1] > 0.55
    assert told["category only"]["weak"]["auc"][0] < 0.6


def test_the_page_has_plots_and_all_numbers(found, tmp_path):
    from rich.console import Console  # noqa: PLC0415

    write(found, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["sets"]["toy"]["questions"] == COUNT
    page = (tmp_path / "report.md").read_text()
    assert "| Rheostat, two-stage |" in page
    assert "Aim: ECE of Rheostat, two-stage" in page
    assert "(conformal)" in page
    assert (tmp_path / "sets-toy.png").stat().st_size > 5_000
    with (tmp_path / "told").open("w") as file:
        show(found, Console(file=file, width=160))
    assert "hindsight oracle" in (tmp_path / "told").read_text()


def test_another_folder_is_judged_on_what_was_learned_from_the_first(tmp_path):
    write_table(tmp_path / "data")
    write_table(tmp_path / "test", count=80, seed=1)
    found = run(tmp_path / "data", tmp_path / "test")["sets"]["toy"]
    assert found["questions"] == 80
    assert found["routers"][SEEN]["area"][0] > found["routers"][ZERO]["area"][0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"cost_usd": None}, "no column cost_usd"), ({"quality": 2.0}, "column quality"), ({"arm": None}, "no column arm")],
)
def test_a_table_that_is_wrong_is_named(tmp_path, changes, said):
    folder = write_table(tmp_path / "data", count=5, **changes)
    with pytest.raises(InvalidQuery, match=said):
        load(folder / "toy.parquet")


def test_what_is_no_table(tmp_path):
    with pytest.raises(InvalidQuery, match="no Parquet table"):
        run(tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidQuery, match="cannot be read"):
        run(tmp_path)


def test_without_a_folder_there_is_the_bundled_reasoners_table():
    board = load(BUNDLED)
    assert len(set(board.text)) == len(board.text) == 1_000
    assert {arm for arm, _ in board.items} == {"nano", "small", "large"}
    means = dict(zip(board.items, board.quality.mean(axis=0), strict=True))
    assert means["nano", 0] < means["small", 0] < means["large", 0]
    assert (board.cost > 0).all()
    assert board.answered
