import pandas as pd
import pytest
from synthetic import OTHER_THREAT, context
from synthetic import THREAT as OWN
from tabulated import cells, files_of, index_of, t_interval, write

from robustlens.report.context import Recipe
from studies.energy.tables import subsets


def test_subsets_stand_beside_training_on_all_images(tmp_path):
    def run(recipe, seed, images, clean, best, last):
        pairs = {("best", "clean"): clean, ("best", "pgd20"): best, ("last", "pgd20"): last}
        files.append(index_of(tmp_path, recipe, seed, {k: {i: i < n for i in range(10)} for k, n in pairs.items()}))
        frame = pd.DataFrame({"epoch": [1, 2], "split": "train", "train_images": images})
        frame = frame if images else frame.drop(columns="train_images")
        history.append(write(tmp_path, "digits", recipe, seed, "history.parquet", frame))

    files, history = [], []
    run("sat", 0, 200, clean=9, best=6, last=5)
    run("sat", 1, 200, clean=10, best=7, last=4)
    run("sat-no-high", 1, 160, clean=8, best=5, last=5)
    run("sat-no-low-paper", 1, 200, clean=10, best=7, last=4)
    run("sat-no-random", 1, None, clean=9, best=6, last=4)
    table = subsets.build(context(), evaluations=files, history=history)
    labels = [
        "SAT, all images",
        "without high-energy images",
        "without E(x) \u2264 \u221211.47",
        "without random images",
    ]
    assert [row.label for row in table.rows] == labels
    row = cells(table)
    assert [row[label, "images"]["value"] for label in labels] == ["200", "160", "200", ""]
    assert float(row[labels[0], "clean, best: %"]["value"]) == pytest.approx(95)
    assert float(row[labels[0], "clean, best: difference"]["value"]) == pytest.approx(10)  # seed 1 alone
    differences = {"clean, best": -10, "PGD-20, best": -10, "PGD-20, last": 10, "PGD-20, best \u2212 last": -20}
    for name, expected in differences.items():
        assert float(row[labels[1], f"{name}: difference"]["value"]) == pytest.approx(expected), name
    fall = row[labels[1], "PGD-20, best \u2212 last: difference"]
    assert (float(fall["low"]), float(fall["high"])) == pytest.approx(t_interval([0] * 8 + [-100] * 2))
    assert float(row[labels[0], "PGD-20, best \u2212 last: points"]["value"]) == pytest.approx(20)
    assert float(row[labels[1], "PGD-20, best \u2212 last: points"]["value"]) == 0
    empty = [note for note in table.notes if "nothing was left out" in note]
    assert empty == [f"{labels[2]}: no training image is in this group, so nothing was left out."]
    assert float(row[labels[2], "PGD-20, best: difference"]["value"]) == pytest.approx(10)
    assert any(
        note.startswith("With one seed the intervals are over test images: they say nothing") for note in table.notes
    )
    assert "a fixed part of every class" in table.notes[0]
    # What is compared with is SAT without random images.
    assert row[labels[3], "clean, best: difference"]["value"] == "" and "without random images." in table.caption


def test_subsets_say_where_hardly_an_image_was_left_out(tmp_path):
    right = {
        (c, a): {i: (i * 7 + k) % 3 > 0 for i in range(10)}
        for k, (c, a) in enumerate([("best", "clean"), ("best", "pgd20"), ("last", "pgd20")])
    }
    trained = {  # images of seeds 0 and 1
        "sat": (300, 200),
        "sat-no-high": (298, 199),
        "sat-no-low": (298, 160),
        "sat-no-middle": (297, 198),
        "sat-no-misclassified": (299, 200),
        "sat-no-random": (None, 160),
    }
    files, history = [], []
    for recipe, counts in trained.items():
        for seed, images in enumerate(counts):
            files.append(index_of(tmp_path, recipe, seed, right))
            frame = pd.DataFrame({"epoch": [1], "split": "train", "train_images": [images]}, dtype=object)
            frame = frame.astype({"train_images": float})
            history.append(write(tmp_path, "digits", recipe, seed, "history.parquet", frame))
    table = subsets.build(context(), evaluations=files, history=history)
    assert [note for note in table.notes if note.startswith("without ")] == [
        "without high-energy images, of seed 1: only 1 of 200 training images left out, because the group has no more.",
        "without high-energy images, of seed 0: only 2 of 300 training images left out, because the group has no more.",
        "without low-energy images, of seed 0: only 2 of 300 training images left out, because the group has no more.",
        "without misclassified images, of seed 1: no training image is in this group, so nothing was left out.",
        "without misclassified images, of seed 0: only 1 of 300 training images left out, because the group has no "
        "more.",
    ]
    assert not any("With one seed" in note for note in table.notes)


def test_subsets_under_two_threats_are_compared_within_each(tmp_path):
    files, history = [], []
    for threat, counts in ((OWN, (6, 4)), (OTHER_THREAT, (3, 2))):
        for recipe, n in zip(("sat", "sat-no-high"), counts, strict=True):
            right = {("best", "pgd20"): {i: i < n for i in range(10)}, ("best", "clean"): {i: True for i in range(10)}}
            files.append(index_of(tmp_path, recipe, 0, right, threat=threat))
            frame = pd.DataFrame({"epoch": [1], "split": "train", "train_images": [200]})
            history.append(write(tmp_path, "digits", recipe, 0, "history.parquet", frame))
    table = subsets.build(context(), evaluations=files, history=history[:2])
    found = [(row.group, row.label, row.cells[3].value, row.cells[4].value) for row in table.rows]
    assert found == [
        ("L∞, ε = 3/16", "SAT, all images", 60.0, None),
        ("L∞, ε = 3/16", "without high-energy images", 40.0, pytest.approx(-20.0)),
        ("L2, ε = 1/2", "SAT, all images", 30.0, None),
        ("L2, ε = 1/2", "without high-energy images", 20.0, pytest.approx(-10.0)),
    ]
    assert any(note.startswith("Trained under L∞, ε = 3/16, but evaluated under L2") for note in table.notes)


def test_a_name_does_not_make_a_recipe_a_subset(tmp_path):
    right = {("best", "pgd20"): {0: True, 1: False}}
    names = ("arat", "arat-no-predictor", "arat-few")
    recipes = {"arat": Recipe("AR-AT"), "arat-no-predictor": Recipe("AR-AT without predictor", changes="arat")}
    recipes["arat-few"] = Recipe("few images", changes="arat", leaves_out="high-energy")
    frame = pd.DataFrame({"epoch": [1], "split": "train", "train_images": [200]})
    files = [index_of(tmp_path, name, 0, right) for name in names]
    history = [write(tmp_path, "digits", name, 0, "history.parquet", frame) for name in names]
    table = subsets.build(context(recipes=recipes), evaluations=files, history=history)
    assert [(row.group, row.label) for row in table.rows] == [
        ("AR-AT", "AR-AT, all images"),
        ("AR-AT", "few images"),
        ("AR-AT without predictor", "AR-AT without predictor, all images"),
    ]


def test_the_files_behind_a_fall_are_those_of_both_checkpoints(tmp_path):
    attacks = [("best", "pgd20"), ("last", "pgd20")]
    index = index_of(tmp_path, "sat", 0, {attack: {0: True, 1: False} for attack in attacks})
    frame = pd.DataFrame({"epoch": [1], "split": "train", "train_images": [200]})
    history = [write(tmp_path, "digits", "sat", 0, "history.parquet", frame)]
    row = cells(subsets.build(context(), evaluations=[index], history=history))
    assert row["SAT, all images", "PGD-20, best \u2212 last: points"]["files"].split(";") == files_of(index, *attacks)
    assert row["SAT, all images", "PGD-20, last: %"]["files"].split(";") == files_of(index, attacks[1])
