"""Which epochs' weights are kept: the best one by each criterion, and the checkpoints."""

import pandas as pd
import pytest
import tiny
import torch

from robustlens.training import following
from robustlens.training.selection import SELECTIONS, criterion, value

ROW = {"clean_accuracy": 0.9, "robust_accuracy": 0.5, "class_total": [4, 0, 10], "class_robust": [1, 0, 6]}


def test_each_criterion_by_hand():
    assert value("accuracy", ROW) == [0.9]
    assert value("robust-accuracy", ROW) == [0.5]
    assert value("worst-class", ROW) == [0.25, 0.5]  # a class without images is none
    assert value("robust-accuracy-and-worst-class", ROW) == [0.75]


def test_of_equal_worst_classes_the_robust_accuracy_decides():
    better = ROW | {"robust_accuracy": 0.6}
    assert value("worst-class", better) > value("worst-class", ROW)
    worse_class = better | {"class_robust": [0, 0, 9]}
    assert value("worst-class", worse_class) < value("worst-class", ROW)


@pytest.mark.parametrize(("attacked", "expected"), [(True, "robust-accuracy"), (False, "accuracy")])
def test_without_a_choice_robust_accuracy_counts_where_there_is_an_attack(attacked, expected):
    assert criterion({"selection": "auto"}, attacked) == expected
    assert criterion({"selection": "worst-class"}, attacked) == "worst-class"


# Of the validation split after each epoch: accuracy, robust accuracy, robust images of each class of four.
EPOCHS = [
    (0.2, 0.20, [1, 1, 1]),
    (0.9, 0.30, [4, 2, 0]),
    (0.5, 0.60, [4, 4, 1]),
    (0.4, 0.50, [2, 2, 2]),
    (0.9, 0.60, [4, 4, 1]),
    (0.3, 0.25, [2, 2, 2]),
]
BEST = {"accuracy": 2, "robust-accuracy": 3, "worst-class": 4, "robust-accuracy-and-worst-class": 4}


@pytest.mark.parametrize("by", SELECTIONS)
def test_the_best_epoch_is_the_first_highest_of_its_criterion_and_checkpoints_are_of_their_epochs(
    by, monkeypatch, tmp_path
):
    validated = iter(EPOCHS)

    def prescribed(measured: pd.DataFrame, classes: int) -> dict:
        clean, robust, of_class = next(validated) if len(measured) == 12 else (0.0, 1.0, [4, 4, 4])
        accuracies = {"clean_accuracy": clean, "robust_accuracy": robust}
        return accuracies | {"class_total": [4, 4, 4], "class_robust": of_class}

    monkeypatch.setattr(following, "summarise", prescribed)
    spec = tiny.colour_spec(epochs=6, selection=by, checkpoints=list(range(1, 7)))
    run = tiny.train(spec, tiny.random_images((3, 8, 8)), tmp_path)
    assert run.best_epoch == BEST[by]
    for name, tensor in run.last.items():
        assert torch.equal(run.checkpoints[f"6.{name}"], tensor)
        assert torch.equal(run.checkpoints[f"{run.best_epoch}.{name}"], run.best[name])
    assert len(run.checkpoints) == 6 * len(run.last)


def test_each_further_criterion_has_a_best_epoch_of_its_own(monkeypatch, tmp_path):
    validated = iter(EPOCHS)

    def prescribed(measured: pd.DataFrame, classes: int) -> dict:
        clean, robust, of_class = next(validated) if len(measured) == 12 else (0.0, 1.0, [4, 4, 4])
        accuracies = {"clean_accuracy": clean, "robust_accuracy": robust}
        return accuracies | {"class_total": [4, 4, 4], "class_robust": of_class}

    monkeypatch.setattr(following, "summarise", prescribed)
    further = ["accuracy", "worst-class"]
    spec = tiny.colour_spec(epochs=6, also_select=further, checkpoints=list(range(1, 7)))
    run = tiny.train(spec, tiny.random_images((3, 8, 8)), tmp_path, {3, 7, 12})
    assert run.chosen == {"best": 3, "best-accuracy": 2, "best-worst-class": 4}
    for name in run.last:
        for by in further:
            assert torch.equal(run.checkpoints[f"best-{by}.{name}"], run.checkpoints[f"{BEST[by]}.{name}"])


def test_checkpoints_and_what_is_best_resume_with_the_run(tmp_path):
    spec = tiny.colour_spec(epochs=3, selection="worst-class", checkpoints=[1, 3])
    data = tiny.random_images((3, 8, 8))
    once, again = (tiny.train(spec, data, tmp_path / name, stops) for name, stops in (("a", set()), ("b", {2, 5, 8})))
    assert once.checkpoints.keys() == again.checkpoints.keys() and once.best_epoch == again.best_epoch
    assert {name.partition(".")[0] for name in once.checkpoints} == {"1", "3"}
    assert all(torch.equal(t, again.checkpoints[name]) for name, t in once.checkpoints.items())
    assert all(torch.equal(t, again.best[name]) for name, t in once.best.items())
