"""Which training images a run leaves out, against sorting by hand, and what is left of the dataset."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.training.engine import Engine
from robustlens.training.loop import run_digest
from robustlens.training.selection import left_out, without

# Two classes of five images. Position:  0     1      2     3      4      5      6     7     8     9
MARGINAL = np.array([-5.0, -12.0, -3.0, -8.0, -11.47, -3.87, -3.5, -9.0, -2.0, -7.0])
LABEL = np.array([0, 0, 1, 1, 0, 1, 0, 0, 1, 1])
PREDICTION = np.array([0, 0, 0, 1, 0, 1, 1, 1, 2, 1])  # wrong: 2 and 8 of class 1, 6 and 7 of class 0
LOSS = np.array([0.1, 0.2, 1.5, 0.1, 0.3, 0.2, 0.9, 2.5, 1.1, 0.4])
MEASURED = pd.DataFrame({"label": LABEL, "prediction": PREDICTION, "marginal": MARGINAL, "joint": MARGINAL + LOSS})
# Upwards in energy: class 0 is 1, 4, 7, 0, 6 and class 1 is 3, 9, 5, 2, 8.
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
    assert left_out(MEASURED, rule, seed=0).tolist() == sorted(GROUPS[group, fraction])


def test_bounds_take_away_what_lies_beyond_them():
    assert left_out(MEASURED, {"measured_by": "sat", "above": -3.87}, 0).tolist() == [2, 6, 8]
    assert left_out(MEASURED, {"measured_by": "sat", "below": -11.47}, 0).tolist() == [1, 4]
    assert left_out(MEASURED, {"measured_by": "sat", "below": -20.0}, 0).tolist() == []


def test_random_images_depend_on_the_seed_alone():
    rule = {"measured_by": "sat", "group": "random", "fraction": 0.4}
    chosen = [left_out(MEASURED, rule, seed).tolist() for seed in range(8)]
    assert all(len(set(positions)) == 4 and positions == sorted(positions) for positions in chosen)
    assert all(LABEL[positions].sum() == 2 for positions in chosen)  # two of each class
    assert len(set(map(tuple, chosen))) > 4
    shuffled = MEASURED.assign(marginal=MARGINAL[::-1])
    assert left_out(shuffled, rule, 3).tolist() == chosen[3]


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


def test_a_class_that_would_be_gone_is_a_clear_error(data):
    labels = data.splits["train"].labels
    with pytest.raises(RobustlensError, match=f"{(labels == 3).sum()} of 40 training images away.* all of class 3;"):
        without(data, np.flatnonzero(labels == 3))


def test_a_run_trains_on_what_is_left_and_says_how_many(data, tmp_path):
    history = tiny.train(tiny.spec(), without(data, np.arange(5)), tmp_path / "state").history
    assert set(history["train_images"]) == {35}
