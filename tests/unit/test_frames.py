"""Evaluations read by the indexes of their suites, against the suites' tables as they were written one by one."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustlens.analysis.frames import read_evaluations
from robustlens.errors import RobustlensError

ENERGIES = ("marginal_natural", "joint_natural", "marginal_adversarial", "joint_adversarial")
FACTS = ["dataset", "recipe", "seed", "threat", "source"]


def rows(images: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    columns = {"index": np.arange(images), "label": random.integers(3, size=images)}
    columns |= {name: random.random(images, dtype=np.float32) for name in ENERGIES}
    return pd.DataFrame(columns | {"broken_by": random.choice(["", "square"], images)})


def suite(
    folder: Path, name: str, evaluations: list[tuple[str, str, int]], run=("digits", "sat", 0), threat="linf-1-4"
) -> Path:
    """The index of (checkpoint, attack, images), with the files where they are not there yet."""
    place = folder / run[0] / run[1] / f"seed{run[2]}" / threat
    entries = []
    for number, (checkpoint, attack, images) in enumerate(evaluations):
        file = place / checkpoint / f"{attack}.parquet"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            rows(images, 100 * run[2] + number).to_parquet(file, index=False)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entry = {"checkpoint": checkpoint, "attack": attack, "samples": images, "sha256": digest}
        entries.append(entry | {"file": file.relative_to(place).as_posix()})
    index = place / f"{name}.json"
    facts = {"run": dict(zip(("dataset", "recipe", "seed"), run, strict=True)), "threat": {"name": threat}}
    index.write_text(json.dumps(facts | {"suite": name, "evaluations": entries}))
    return index


THREE = [("best", "clean", 4), ("best", "square", 2), ("last", "clean", 4)]


def one_by_one(indexes: list[Path]) -> pd.DataFrame:
    """Each suite as a table of its own, then one below the other."""
    tables = []
    for index in indexes:
        said = json.loads(index.read_text())
        of_suite = []
        for entry in said["evaluations"]:
            file = index.parent / entry["file"]
            table = pd.read_parquet(file)
            table.insert(0, "checkpoint", entry["checkpoint"])
            table.insert(1, "attack", entry["attack"])
            of_suite.append(table.assign(**said["run"], threat=said["threat"]["name"], source=file.as_posix()))
        tables.append(pd.concat(of_suite, ignore_index=True))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def indexes(tmp_path) -> list[Path]:
    return [
        suite(tmp_path, "robustness", THREE, ("digits", "sat", 1)),
        suite(tmp_path, "robustness", THREE, ("digits", "sat", 0)),
        suite(tmp_path, "robustness", THREE[:1], ("digits", "sat", 0), threat="l2-1-2"),
        suite(tmp_path, "brief", [("published", "clean", 3)], ("other", "theirs", 0)),
    ]


def test_rows_are_those_of_the_suites_one_below_the_other(indexes):
    frame = read_evaluations(indexes)
    pd.testing.assert_frame_equal(frame, one_by_one(indexes), check_exact=True)
    assert frame["seed"].tolist() == [1] * 10 + [0] * 17 and frame["threat"].unique().tolist() == ["linf-1-4", "l2-1-2"]
    assert frame["marginal_natural"].dtype == np.float32
    source = indexes[0].parent / "best" / "square.parquet"
    assert set(frame[(frame["attack"] == "square") & (frame["seed"] == 1)]["source"]) == {source.as_posix()}


@pytest.mark.parametrize(
    "columns",
    [["label"], ["broken_by", "index"], ["checkpoint", "attack", "label"], ["checkpoint", "attack"], []],
    ids=str,
)
def test_only_the_columns_that_are_asked_for_are_read(columns, indexes):
    frame, whole = read_evaluations(indexes, columns), read_evaluations(indexes)
    own = [name for name in columns if name not in ("checkpoint", "attack")]
    assert set(frame.columns) == {"checkpoint", "attack", *own, *FACTS}
    pd.testing.assert_frame_equal(frame, whole[list(frame.columns)])


def test_a_file_of_two_suites_is_read_once(tmp_path):
    first = suite(tmp_path, "robustness", THREE)
    second = suite(tmp_path, "brief", [("best", "clean", 4), ("best", "fgsm", 4)])
    frame = read_evaluations([first, second])
    assert frame.groupby(["checkpoint", "attack"], sort=False).size().to_dict() == {
        **{("best", "clean"): 4, ("best", "square"): 2, ("last", "clean"): 4, ("best", "fgsm"): 4}
    }


def test_a_file_that_is_missing_is_named_with_the_index_to_delete(indexes):
    (file := indexes[1].parent / "best" / "clean.parquet").unlink()
    message = f"{file}: listed in {indexes[1]}, but can't be read (No such file or directory); delete {indexes[1]} and"
    with pytest.raises(RobustlensError, match=re.escape(message)):
        read_evaluations(indexes)


def test_a_file_that_was_altered_is_named_and_not_read(indexes):
    file = indexes[0].parent / "best" / "clean.parquet"
    rows(4, 99).to_parquet(file, index=False)
    message = f"{file}: not the file that was made (its SHA-256 differs from {indexes[0]}); delete both and run"
    with pytest.raises(RobustlensError, match=re.escape(message)):
        read_evaluations(indexes, ["label"])


@pytest.mark.parametrize("content", [None, b"", b"[1]", b"{}", b'{"run": {"dataset": "d"}}', b"\xff"], ids=str)
def test_what_is_no_index_is_named(content, indexes):
    indexes[2].unlink()
    if content is not None:
        indexes[2].write_bytes(content)
    with pytest.raises(RobustlensError, match=rf"^{re.escape(str(indexes[2]))}: not an index of evaluations \("):
        read_evaluations(indexes)


def test_nothing_to_read_is_an_error():
    with pytest.raises(RobustlensError, match="no evaluation to read: the list of indexes is empty"):
        read_evaluations([])


def test_results_that_were_moved_are_read(indexes, tmp_path):
    before = read_evaluations(indexes).drop(columns="source")
    (tmp_path / "digits").rename(tmp_path / "moved")
    moved = [tmp_path / "moved" / path.relative_to(tmp_path / "digits") for path in indexes[:3]]
    pd.testing.assert_frame_equal(read_evaluations(moved).drop(columns="source"), before[before["dataset"] == "digits"])
