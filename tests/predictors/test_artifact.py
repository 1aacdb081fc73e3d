"""Artifacts: whole or refused, old or new, never half of each."""

import json
from pathlib import Path

import numpy as np
import pytest

from predictors.artifact import MANIFEST, changed, load, save
from router.errors import BadArtifact

ARRAYS = {"weights": np.arange(6.0).reshape(2, 3), "bias": np.array([0.5])}


def write(directory, **changes):
    whole = {"kind": "toy", "plans": ("a", "b"), "feature_version": "f1", "arrays": ARRAYS, "facts": {"rows": 3, "auc": 0.75}} | changes
    return save(directory, **whole)


def test_what_is_saved_is_loaded(tmp_path):
    version = write(tmp_path / "new" / "folder")
    found = load(tmp_path / "new" / "folder", kind="toy")
    assert (found.version, found.plans, found.feature_version, found.facts) == (version, ("a", "b"), "f1", {"rows": 3, "auc": 0.75})
    assert {name: array.tolist() for name, array in found.arrays.items()} == {name: array.tolist() for name, array in ARRAYS.items()}


@pytest.mark.parametrize(
    "changes",
    [{"plans": ("a", "c")}, {"feature_version": "f2"}, {"arrays": {**ARRAYS, "bias": np.array([0.5000001])}}],
    ids=["plans", "features", "arrays"],
)
def test_the_version_follows_the_content(tmp_path, changes):
    assert write(tmp_path) == write(tmp_path) != write(tmp_path, **changes)


def test_another_version_on_disk_is_noticed(tmp_path):
    assert changed(tmp_path, "anything")
    version = write(tmp_path)
    assert not changed(tmp_path, version)
    write(tmp_path, plans=("c",))
    assert changed(tmp_path, version)


def test_only_the_newest_is_kept(tmp_path):
    for plan in "abcd":
        write(tmp_path, plans=(plan,))
    assert len(list(tmp_path.iterdir())) == 2


def test_no_damaged_byte_goes_unnoticed(tmp_path):
    write(tmp_path)
    whole = load(tmp_path, kind="toy")
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        for place in range(0, len(content), 1 if path.name == MANIFEST else 7):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            try:
                found = load(tmp_path, kind="toy")
            except BadArtifact:
                continue
            assert path.name == MANIFEST  # what is left is white space between its fields
            assert json.loads(path.read_bytes()) == json.loads(content)
            assert (found.version, found.plans, found.facts) == (whole.version, whole.plans, whole.facts)
        path.write_bytes(content)


def test_a_cut_file_is_refused(tmp_path):
    write(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        for length in range(0, len(content) - 1, 17):
            path.write_bytes(content[:length])
            with pytest.raises(BadArtifact):
                load(tmp_path, kind="toy")
        path.write_bytes(content)


@pytest.mark.parametrize("missing", ["manifest*", "arrays*"])
def test_a_missing_file_is_refused(tmp_path, missing):
    write(tmp_path)
    next(tmp_path.glob(missing)).unlink()
    with pytest.raises(BadArtifact):
        load(tmp_path, kind="toy")


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"digest": 7}', '{"digest": "\\u0000"}', '{"digest": "../../x"}'])
def test_a_strange_manifest_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(BadArtifact):
        load(tmp_path, kind="toy")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, number):
    write(tmp_path, arrays={"weights": np.array([1.0, number])})
    with pytest.raises(BadArtifact, match="not finite"):
        load(tmp_path, kind="toy")


def test_another_kind_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(BadArtifact, match="wanted 'tree'"):
        load(tmp_path, kind="tree")


@pytest.mark.parametrize("step", [1, 2], ids=["before the arrays", "before the manifest"])
def test_an_interrupted_save_leaves_the_old_one(tmp_path, monkeypatch, step):
    version = write(tmp_path)
    calls = []
    replace = Path.replace

    def power_cut(self, target):
        calls.append(target)
        if len(calls) == step:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", power_cut)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, plans=("c",))
    assert load(tmp_path, kind="toy").version == version
    monkeypatch.undo()
    assert load(tmp_path, kind="toy").version == version != write(tmp_path, plans=("c",))
    assert len(list(tmp_path.glob("arrays-*"))) == 1
