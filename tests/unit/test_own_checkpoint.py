"""What evaluating a checkpoint of one's own adds to the configuration, and what is said of the result."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from scipy.special import betaincinv

from robustlens.errors import RobustlensError
from robustlens.evaluation.own_checkpoint import Asked, index_file, name_of, overlay, scale_with, summary

CONFIG = {
    "scale": "paper",
    "attacks": {"clean": {"family": "clean"}, "pgd20": {"family": "pgd", "label": "PGD-20"}},
    "suites": {"both": {"attacks": ["clean", "pgd20"], "best_only": ["pgd20"]}},
    "threats": {"small": {}, "large": {}},
    "datasets": {"own": {"threat": "small"}},
}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("My Net (v2).pt", "my-net-v2-"),
        ("sat.pt", "sat-"),
        ("模型.pt", ""),
        ("a" * 90 + ".pt", "a" * 40 + "-"),
    ],
)
def test_a_classifier_is_called_by_its_file_and_by_what_makes_it_another(file, name):
    models = [{"sha256": "0"}, {"sha256": "1"}, {"sha256": "0", "part": "best"}, {"sha256": "0", "part": "last"}]
    found = [name_of(Path("some", file), model) for model in models]
    assert all(re.fullmatch(f"{name}[0-9a-f]{{8}}", one) for one in found) and len(set(found)) == len(found)


def test_one_attack_is_run_beside_the_clean_images():
    added = overlay(Asked("own", "pgd20"), CONFIG, "my-01", {"dataset": "own"})
    assert added == {
        "models": {"my-01": {"dataset": "own"}},
        "suites": {"clean-and-pgd20": {"attacks": ["clean", "pgd20"]}},
        "studies": {
            "own-weights": {
                "cohorts": {
                    "evaluation": {
                        "datasets": ["own"],
                        "seeds": [0],
                        "models": ["my-01"],
                        "suite": "clean-and-pgd20",
                    }
                }
            }
        },
    }
    assert overlay(Asked("own", "clean"), CONFIG, "m", {})["suites"] == {"clean-and-clean": {"attacks": ["clean"]}}


def test_a_suite_is_the_configuration_s_own_and_one_on_fewer_images_is_another():
    whole = Asked("own", "both")
    assert overlay(whole, CONFIG, "m", {})["suites"] == {}
    assert index_file(whole, CONFIG, "m") == Path("results/paper/evaluations/own/m/seed0/small/both.json")
    fewer = Asked("own", "both", threat="large", images=50)
    added = overlay(fewer, CONFIG, "m", {})
    suite = {"attacks": ["clean", "pgd20"], "samples": {"clean": 50, "pgd20": 50}}
    assert added["suites"] == {"both-of-50": suite}
    assert added["studies"]["own-weights"]["cohorts"]["evaluation"]["threat"] == "large"
    assert index_file(fewer, CONFIG, "m") == Path("results/paper/evaluations/own/m/seed0/large/both-of-50.json")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked("own", "pgd02"), "no attack or suite is called 'pgd02'; did you mean 'pgd20'"),
        (Asked("own", "both", threat="smal"), "no threat is called 'smal'; did you mean 'small'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(asked, message):
    with pytest.raises(RobustlensError, match=message):
        overlay(asked, CONFIG, "m", {})


def test_the_scale_is_the_last_that_has_the_dataset(tmp_path):
    (tmp_path / "ours.yaml").write_text(
        "scales: {tiny: {datasets: {digits: {}, cifar10: {}}}, paper: {datasets: {cifar10: {}}}}"
    )
    (tmp_path / "theirs.yaml").write_text("scales: {own: {datasets: {photos: {}}}}")
    ours, theirs = [tmp_path / "ours.yaml"], [tmp_path / "theirs.yaml"]
    assert scale_with("digits", ours, []) == "tiny"
    assert scale_with("cifar10", ours, theirs) == "paper"
    assert scale_with("photos", ours, theirs) == "own"
    (tmp_path / "empty.yaml").write_text("")
    assert scale_with("photos", ours, [*theirs, tmp_path / "empty.yaml"]) == "own"
    with pytest.raises(RobustlensError, match="no scale has the dataset 'photo'; did you mean 'photos'"):
        scale_with("photo", ours, theirs)


# What came out --------------------------------------------------------------------------------------------------------


def evaluated(
    folder: Path, classes: list[str], answers: dict[str, list[tuple[int, int]]], official: bool = True
) -> Path:
    """The index of evaluations; answers: by attack (label, prediction) of each image."""
    (folder / "best").mkdir()
    for attack, pairs in answers.items():
        rows = [{"index": i, "label": y, "prediction_adversarial": p} for i, (y, p) in enumerate(pairs)]
        pd.DataFrame(rows).to_parquet(folder / "best" / f"{attack}.parquet")
    sheet = {"classes": classes, "official_test_split": official, "sizes": {"test": 1234}}
    (folder / "sheet.json").write_text(json.dumps(sheet))
    index = {
        "run": {"dataset": "own"},
        "threat": {"norm": "linf", "epsilon": "8/255"},
        "evaluations": [{"attack": attack, "file": f"best/{attack}.parquet"} for attack in answers],
    }
    (folder / "suite.json").write_text(json.dumps(index))
    return folder / "suite.json"


def said(folder: Path, *arguments: object, **keywords: object) -> list[str]:
    return summary(evaluated(folder, *arguments, **keywords), CONFIG, folder / "sheet.json").splitlines()


def shown(right: int, images: int) -> str:
    """By the quantiles of Beta distributions that Clopper and Pearson's interval consists of."""
    low = betaincinv(right, images - right + 1, 0.025) if right else 0.0
    high = betaincinv(right + 1, images - right, 0.975) if right < images else 1.0
    return f"{100 * right / images:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def test_accuracies_have_their_intervals_over_all_images_and_by_class(tmp_path):
    natural = [(0, 0)] * 9 + [(0, 1)] + [(1, 1)] * 10
    attacked = [(0, 0)] * 3 + [(0, 1)] * 7 + [(1, 1)] * 5 + [(1, 0)] * 5
    lines = said(tmp_path, ["cat", "dog"], {"clean": natural, "pgd20": attacked})
    assert "on test images of own; linf, epsilon 8/255" in lines[0]
    assert f"clean     {shown(19, 20)}, 20 images" in lines and f"PGD-20    {shown(8, 20)}, 20 images" in lines
    (cat,), (dog,) = ([line for line in lines if line.startswith(name)] for name in ("cat", "dog"))
    assert shown(9, 10) in cat and shown(3, 10) in cat and shown(10, 10) in dog and shown(5, 10) in dog
    assert lines[-2:] == [f"  clean: {tmp_path}/best/clean.parquet", f"  PGD-20: {tmp_path}/best/pgd20.parquet"]
    assert not any("split off" in line for line in lines)


def test_test_images_that_are_split_off_by_the_workflow_are_told(tmp_path):
    lines = said(tmp_path, ["cat"], {"clean": [(0, 0)]}, official=False)
    assert any("these 1234 are split off by the workflow" in line for line in lines)


def test_a_class_without_images_under_an_attack_has_an_empty_cell(tmp_path):
    lines = said(tmp_path, ["cat", "dog"], {"clean": [(0, 0)], "pgd20": [(0, 0), (1, 1)]})
    (dog,) = (line for line in lines if line.startswith("dog"))
    assert dog.split(maxsplit=1)[1].strip() == shown(1, 1)


def test_attacks_of_one_label_are_told_apart_by_their_names(tmp_path, monkeypatch):
    monkeypatch.setitem(CONFIG["attacks"], "pgd50", {"family": "pgd", "label": "PGD-20"})
    lines = said(tmp_path, ["cat"], {"pgd20": [(0, 0)], "pgd50": [(0, 1)]})
    assert any(line.startswith("pgd20") for line in lines) and any(line.startswith("pgd50") for line in lines)


def test_classes_of_one_name_are_told_apart_by_their_numbers(tmp_path):
    lines = said(tmp_path, ["crane", "dog", "crane"], {"clean": [(0, 0), (1, 1), (2, 1)]})
    (bird,), (machine,) = ([line for line in lines if line.startswith(f"crane ({y})")] for y in (0, 2))
    assert shown(1, 1) in bird and shown(0, 1) in machine


def test_of_many_classes_those_with_the_lowest_accuracy_are_shown(tmp_path):
    names = [f"c{y:02d}" for y in range(30)]
    pairs = [(y, y if i < y else -1) for y in range(30) for i in range(30)]  # class y has y of 30 right
    lines = said(tmp_path, names, {"clean": pairs})
    assert [line[:3] for line in lines if line.startswith("c") and line[1].isdigit()] == names[:20]
    assert "(the lowest; 10 more classes)" in lines
