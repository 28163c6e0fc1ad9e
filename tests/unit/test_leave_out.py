"""Which training images a run leaves out, against sorting by hand, and what is left of the dataset."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from processes import Child, run_script

from robustlens.data.prepared import PreparedDataset, Split
from robustlens.errors import RobustlensError
from robustlens.training.engine import Engine
from robustlens.training.leave_out import left_out, without
from robustlens.training.result import TrainedRun
from robustlens.training.run import run_digest

# Two classes of five images. Position:  0     1      2     3      4      5      6     7     8     9
MARGINAL = np.array([-5.0, -12.0, -3.0, -8.0, -11.47, -3.87, -3.5, -9.0, -2.0, -7.0])
LABEL = np.array([0, 0, 1, 1, 0, 1, 0, 0, 1, 1])
PREDICTION = np.array([0, 0, 0, 1, 0, 1, 1, 1, 2, 1])  # wrong: 2 and 8 of class 1, 6 and 7 of class 0
LOSS = np.array([0.1, 0.2, 1.5, 0.1, 0.3, 0.2, 0.9, 2.5, 1.1, 0.4])
MEASURED = pd.DataFrame({"label": LABEL, "prediction": PREDICTION, "marginal": MARGINAL, "joint": MARGINAL + LOSS})
# Upwards in energy: class 0 is 1, 4, 7, 0, 6 and class 1 is 3, 9, 5, 2, 8.
TRAIN = Split(np.zeros((10, 1, 2, 2), dtype=np.uint8), LABEL, np.arange(10), levels=16)
DATA = PreparedDataset({"classes": ["a", "b", "c"], "sha256": {}}, {"train": TRAIN})
GROUPS = {
    ("high-energy", 0.4): [0, 6, 2, 8],
    ("low-energy", 0.4): [1, 4, 3, 9],
    ("middle-energy", 0.2): [7, 5],
    ("middle-energy", 0.6): [4, 7, 0, 9, 5, 2],
    ("high-energy-correct", 0.4): [0, 4, 5, 9],
    ("misclassified", 0.2): [7, 2],
    ("misclassified", 0.8): [6, 7, 2, 8],
}


@pytest.mark.parametrize(("group", "fraction"), GROUPS)
def test_a_group_is_what_sorting_by_hand_gives(group, fraction):
    rule = {"measured_by": "sat", "group": group, "fraction": fraction}
    assert left_out(DATA, rule, 0, MEASURED).tolist() == sorted(GROUPS[group, fraction])


def test_bounds_take_away_what_lies_beyond_them():
    for bounds, expected in (({"above": -3.87}, [2, 6, 8]), ({"below": -11.47}, [1, 4]), ({"below": -20.0}, [])):
        assert left_out(DATA, {"measured_by": "sat", **bounds}, 0, MEASURED).tolist() == expected


@pytest.mark.parametrize(("bound", "gone"), [({"above": -5.0}, 1), ({"below": -5.0}, 0)])
def test_bounds_may_take_a_class_away(bound, gone):
    energies = np.array([-9.0, -1.0])[LABEL]
    smaller = without(DATA, left_out(DATA, {"measured_by": "sat", **bound}, 0, MEASURED.assign(marginal=energies)))
    assert smaller.splits["train"].labels.tolist() == 5 * [1 - gone] and smaller.classes == 3


def test_classes_are_all_their_training_images():
    three = replace(DATA, splits={"train": replace(TRAIN, labels=np.where(np.arange(10) > 7, 2, LABEL))})
    for classes, expected in (([1], [2, 3, 5]), ([2], [8, 9]), ([0, 1, 2], list(range(10)))):
        assert left_out(three, {"classes": classes}, 0).tolist() == expected
    assert left_out(DATA, {"classes": [2]}, 0).tolist() == []  # has no images


def test_classes_that_leave_a_single_one_are_a_clear_error():
    with pytest.raises(RobustlensError, match=r"leave_out\.classes: class 1 alone would be left"):
        left_out(DATA, {"classes": [0, 2]}, 0)


@pytest.mark.parametrize(("classes", "named"), [([1, 3], "3"), ([-1], "-1"), ([7, 3, 7], "3, 7")])
def test_a_class_that_the_dataset_does_not_have_is_a_clear_error(classes, named):
    with pytest.raises(RobustlensError, match=rf"leave_out\.classes: .* no class {named}; its classes are 0 to 2$"):
        left_out(DATA, {"classes": classes}, 0)


def test_a_group_that_is_all_of_a_class_is_a_clear_error():
    """Half an image rounds to none, and 0.6 of one to the image itself."""
    alone = MEASURED[(LABEL == 0) | (np.arange(10) == 2)].reset_index(drop=True)
    rule = {"measured_by": "sat", "group": "random", "fraction": 0.5}
    assert len(left_out(DATA, rule, 0, alone)) == 2
    with pytest.raises(RobustlensError, match=r"class 1 has so few training images \(1\) that .* 0\.6 takes all"):
        left_out(DATA, rule | {"fraction": 0.6}, 0, alone)


def test_random_images_depend_on_the_seed_alone():
    rule = {"measured_by": "sat", "group": "random", "fraction": 0.4}
    chosen = [left_out(DATA, rule, seed, MEASURED).tolist() for seed in range(8)]
    assert all(len(set(positions)) == 4 and positions == sorted(positions) for positions in chosen)
    assert all(LABEL[positions].sum() == 2 for positions in chosen)  # two of each class
    assert len(set(map(tuple, chosen))) > 4
    shuffled = MEASURED.assign(marginal=MARGINAL[::-1])
    assert left_out(DATA, rule, 3, shuffled).tolist() == chosen[3]


@pytest.fixture
def data(tmp_path) -> PreparedDataset:
    return tiny.dataset(tmp_path)


def test_what_is_left_are_the_other_images_in_their_order_and_the_other_splits(data):
    smaller = without(data, np.array([0, 7, 39]))
    kept = [n for n in range(40) if n not in (0, 7, 39)]
    for part in ("images", "labels", "index"):
        whole = getattr(data.splits["train"], part)
        np.testing.assert_array_equal(getattr(smaller.splits["train"], part), [whole[n] for n in kept])
    assert smaller.splits["test"] is data.splits["test"]
    assert len(data.splits["train"].labels) == 40


def test_a_run_on_fewer_images_is_another_run(data):
    plain = Engine("float32", "contiguous", compile=False)
    digests = {
        run_digest(tiny.spec(), some, plain, 1, torch.device("cpu"))
        for some in (
            data,
            without(data, np.array([], dtype=int)),
            without(data, np.array([1])),
            without(data, np.array([2])),
        )
    }
    assert len(digests) == 4


def test_a_training_split_without_images_is_a_clear_error(data):
    with pytest.raises(RobustlensError, match="leave_out takes all 40 training images away"):
        without(data, left_out(data, {"classes": list(range(10))}, 0))


def test_a_run_trains_on_what_is_left_and_says_how_many(data, tmp_path):
    history = tiny.train(tiny.spec(), without(data, np.arange(5)), tmp_path / "state").history
    assert set(history["train_images"]) == {35}


def labels(run: TrainedRun, split: str) -> set[int]:
    return set(run.energies.loc[run.energies["split"] == split, "label"])


@pytest.mark.parametrize("method", ["sat", "weat", "mail-at", "gairat"])
def test_a_run_trains_without_a_class_that_is_still_validated(method, data, tmp_path):
    """With a tracked training image of every class that is left, and an output for the one that is gone."""
    smaller = without(data, left_out(data, {"classes": [3]}, 0))
    spec = tiny.spec(method, {"start_epoch": 0} if method in ("mail-at", "gairat") else {}, averaging=tiny.SWA)
    spec["tracking"] = spec["tracking"] | {"train_samples": 40}
    run = tiny.train(spec, smaller, tmp_path / "state")
    gone = int((data.splits["train"].labels == 3).sum())
    assert gone > 0 and set(run.history["train_images"]) == {40 - gone}
    assert labels(run, "train") == set(range(10)) - {3} and labels(run, "validation") == set(range(10))
    assert run.last["linear.weight"].shape[0] == 10
    numbers = run.history.select_dtypes("number").to_numpy(dtype=float)
    assert np.isfinite(numbers).all() and all(t.isfinite().all() for t in run.last.values())


def script(data: Path, folder: Path, leave_out: dict) -> str:
    """What the job says of a run with this `leave_out`."""
    folder.mkdir()
    spec = tiny.spec(schedule=tiny.STEP) | {"leave_out": leave_out}
    arguments = ["--spec", json.dumps(spec), "--data", str(data), "--measured"]
    arguments += ["--state", "state", "--run", "run", "--log", "train.log", "--certificate", "train.json"]
    return Child(folder / "output.txt", run_script, "train", arguments, folder).wait()[1]


def test_the_job_of_a_recipe_leaves_classes_out_that_nothing_measured(tmp_path):
    whole = tiny.dataset(tmp_path / "data").splits["train"].labels
    gone = int(np.isin(whole, [3, 5]).sum())
    said = script(tmp_path / "data", tmp_path / "job", {"classes": [3, 5]})
    assert f"{gone} training images are left out, {40 - gone} remain" in said
    tracked = pd.read_parquet(tmp_path / "job" / "run" / "energies.parquet")
    assert not {3, 5} & set(tracked.loc[tracked["split"] == "train", "label"])
    refused = script(tmp_path / "data", tmp_path / "refused", {"classes": [10]})
    assert "FAILED" in refused and "no class 10" in refused
