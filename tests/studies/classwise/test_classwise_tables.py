"""What the tables of this study say, against numbers by hand."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from attacked import context, right, rows, write
from safetensors.numpy import save_file

from studies.classwise import errors
from studies.classwise.tables import (
    checkpoints,
    class_accuracy,
    classes,
    confusion,
    consistency,
    late_epochs,
    stronger_attacks,
    weight_norms,
)

PUBLISHED = Path(__file__).parents[3] / "studies" / "classwise" / "published.yaml"
FIRST, SECOND = [0.2, 0.5, 0.9, 0.6], [0.4, 0.5, 0.7, 0.6]


def cells(table):
    """(group, row, column) -> the row of the CSV."""
    found = csv.DictReader(io.StringIO(table.to_csv()))
    return {(row["group"], row["row"], row["column"]): row for row in found}


def value(table, *place):
    return float(cells(table)[place]["value"])


@pytest.fixture
def names(tmp_path):
    """The names of the four classes of `digits`, without superclasses."""
    path = tmp_path / "digits.json"
    path.write_text(json.dumps({"names": ["ant", "bee", "cat", "dog"], "superclasses": {}}))
    return [path]


@pytest.fixture
def evaluations(tmp_path):
    """Two seeds of SAT, without attack (all right), under PGD-20 and under AutoAttack."""
    frames = []
    for seed, rates in enumerate((FIRST, SECOND)):
        frames += [right("sat", seed, [1.0] * 4, attack="clean"), right("sat", seed, rates)]
        frames.append(right("sat", seed, [rate - 0.1 for rate in rates], attack="autoattack"))
    return write(tmp_path, frames)


def test_classes_are_summarised_run_by_run(evaluations, names):
    table = classes.build(context("classes"), evaluations=evaluations, names=names, published=PUBLISHED)
    place = ("PGD-20", "SAT")
    variances = [sum((a - sum(of) / 4) ** 2 for a in of) / 4 for of in (FIRST, SECOND)]
    assert value(table, *place, "average") == pytest.approx(55)
    assert value(table, *place, "worst class") == pytest.approx(30)
    assert value(table, *place, "worst 3") == pytest.approx(100 * (0.2 + 0.5 + 0.6 + 0.4 + 0.5 + 0.6) / 6)
    assert value(table, *place, "CV") == pytest.approx(sum(variances) / 2)
    assert value(table, *place, "MCD") == pytest.approx((70 + 30) / 2)
    assert cells(table)[(*place, "weakest")]["text"] == "ant (30)"
    assert value(table, "clean", "SAT", "MCD") == 0
    assert not any("published" in row for _, row, _ in cells(table))


def test_what_no_draw_changes_has_no_interval(tmp_path, names):
    """The class that is worst is never right, and another one always."""
    files = write(tmp_path, [right("sat", seed, [0.0, 1.0, 0.5, 0.5]) for seed in (0, 1)])
    table = classes.build(context("classes"), evaluations=files, names=names, published=PUBLISHED)
    found = cells(table)
    for column, expected in (("worst class", "0"), ("MCD", "100")):
        row = found["PGD-20", "SAT", column]
        assert (row["value"], row["low"], row["high"]) == (expected, "", "")
    average = found["PGD-20", "SAT", "average"]
    assert float(average["low"]) < 50 < float(average["high"])


def test_a_table_says_how_many_seeds_there_are(evaluations, names, tmp_path):
    table = classes.build(context("classes"), evaluations=evaluations, names=names, published=PUBLISHED)
    assert "Seeds of each recipe: 2." in table.notes
    frames = [right("sat", seed, FIRST) for seed in (0, 1, 2)] + [right("trades", 0, FIRST)]
    frames += [right("sat", 0, FIRST, attack="autoattack")]
    fewer = write(tmp_path / "fewer", frames)
    table = classes.build(context("classes"), evaluations=fewer, names=names, published=PUBLISHED)
    assert "Seeds of each recipe: PGD-20: 1 to 3; AutoAttack: 1." in table.notes


def test_numbers_of_follow_ups_stand_beside_those_of_cifar10_alone(tmp_path, names):
    (named,) = names
    named.rename(named.with_name("cifar10.json"))
    frames = [right("sat", 0, FIRST, attack=attack).assign(dataset="cifar10") for attack in ("clean", "autoattack")]
    files = write(tmp_path, frames, "cifar10")
    table = classes.build(
        context("classes"), evaluations=files, names=[named.with_name("cifar10.json")], published=PUBLISHED
    )
    found = cells(table)["AutoAttack", "TRADES + CFA, published", "worst class"]
    assert (found["value"], found["published"]) == ("", "26.5") and found["published_source"].startswith(
        "Wei et al. 2023"
    )
    assert cells(table)["clean", "AT, published", "average"]["published"] == "82.3"
    dafa = "TRADES + DAFA, in DAFA's figure, published"
    assert cells(table)["under an attack that is not named", dafa, "worst class"]["published"] == "30.53"
    assert cells(table)["clean", dafa, "worst class"]["published"] == "67.9"
    assert ("AutoAttack", dafa, "worst class") not in cells(table)
    assert cells(table)["clean", "AT, published", "MCD"]["published"] == ""


def test_each_class_has_a_column(evaluations, names):
    table = class_accuracy.build(context("class-accuracy"), evaluations=evaluations, names=names)
    assert [value(table, "PGD-20", "SAT", str(c)) for c in range(4)] == pytest.approx([30, 50, 80, 60])
    assert table.notes[0] == "digits: 0 ant, 1 bee, 2 cat, 3 dog."


def test_columns_of_classes_that_do_not_fit_beside_one_another_are_in_groups():
    groups = [column.group for column in class_accuracy._columns(class_accuracy.BESIDE + 1)]
    assert groups == ["classes 0 to 4"] * 5 + ["class 5"]
    assert {column.group for column in class_accuracy._columns(class_accuracy.BESIDE)} == {""}


def test_the_accuracy_of_a_class_has_an_interval_over_images_and_seeds(evaluations, names):
    table = class_accuracy.build(context("class-accuracy"), evaluations=evaluations, names=names)
    found = cells(table)
    # Class 1 has 5 of 10 images right in both seeds: 50 % +- 1.96 standard deviations of 10 images.
    half = 196 * (0.5 * 0.5 / 10) ** 0.5
    ends = [float(found["PGD-20", "SAT", "1"][end]) for end in ("low", "high")]
    assert ends == pytest.approx([50 - half, 50 + half], abs=3)  # of 1,000 draws, known to 1.5
    # Class 0 has 2 and 4. One of the seeds is drawn: their variance, (0.1)^2, comes to that of the images.
    half = 196 * (0.1**2 + (0.2 * 0.8 + 0.4 * 0.6) / 2 / 10) ** 0.5
    ends = [float(found["PGD-20", "SAT", "0"][end]) for end in ("low", "high")]
    assert ends == pytest.approx([0, 30 + half], abs=3) and 30 - half < 0
    # All of 10 images right: p^10 = 2.5 % for the lowest accuracy p that is not excluded.
    ends = [float(found["clean", "SAT", "1"][end]) for end in ("low", "high")]
    assert ends == pytest.approx([100 * 0.025**0.1, 100], abs=1e-6)
    assert found["PGD-20", "SAT", "0"]["std"] == "" and found["PGD-20", "SAT", "0"]["n_images"] == "10"
    assert "with 95 % intervals over images and seeds (2 of each recipe)" in table.caption
    assert "Seeds of each recipe: 2." in table.notes


def test_classes_that_are_called_by_their_numbers_are_not_listed(evaluations, tmp_path):
    path = tmp_path / "digits.json"
    path.write_text(json.dumps({"names": ["0", "1", "2", "3"], "superclasses": {}}))
    table = class_accuracy.build(context("class-accuracy"), evaluations=evaluations, names=[path])
    assert not any("0 0" in note for note in table.notes)


def test_of_many_classes_the_worst_and_the_best_have_columns(tmp_path):
    rates = [round(c % 10 / 10, 1) for c in range(30)]
    path = tmp_path / "digits.json"
    path.write_text(json.dumps({"names": [f"n{c}" for c in range(30)], "superclasses": {}}))
    files = write(tmp_path, [right("sat", 0, rates), right("sat", 0, rates, attack="clean")])
    table = class_accuracy.build(context("class-accuracy"), evaluations=files, names=[path])
    columns = [f"classes {i // 5 * 5} to {i // 5 * 5 + 4}: {i}" for i in range(20)]
    shown = [value(table, "PGD-20", "SAT", column) for column in columns]
    assert shown == pytest.approx([100 * rate for rate in (*sorted(rates)[:10], *sorted(rates)[-10:])])
    assert "the classes with the lowest and the highest accuracy: 0 n0, 1 n10, 2 n20, 3 n1" in table.notes[0]


def test_late_epochs_by_hand(tmp_path):
    robust = [[9, 9]] * 6 + [[2, 8], [6, 8]]
    columns = {"epoch": range(1, 9), "split": "validation", "class_total": [[10, 10]] * 8, "class_robust": robust}
    path = tmp_path / "digits" / "sat" / "seed0" / "history.parquet"
    path.parent.mkdir(parents=True)
    pd.concat([pd.DataFrame(columns), pd.DataFrame(columns).assign(split="train")]).to_parquet(path)
    table = late_epochs.build(context("late-epochs"), history=[path])
    expected = {"mean": 60, "lowest": 50, "highest": 70, "swing": 20}
    assert {name: value(table, "", "SAT", f"Average: {name}") for name in expected} == pytest.approx(expected)
    expected = {"mean": 40, "lowest": 20, "highest": 60, "swing": 40}
    assert {name: value(table, "", "SAT", f"Worst class: {name}") for name in expected} == pytest.approx(expected)
    # Half the difference of the two classes, squared.
    expected = {"mean": 0.05, "lowest": 0.01, "highest": 0.09, "swing": 0.08}
    assert {name: value(table, "", "SAT", f"CV: {name}") for name in expected} == pytest.approx(expected)
    expected = {"mean": 40, "lowest": 20, "highest": 60, "swing": 40}
    assert {name: value(table, "", "SAT", f"MCD: {name}") for name in expected} == pytest.approx(expected)


def test_late_checkpoints_are_summarised_one_by_one_and_then_averaged(tmp_path):
    rates = {"best": [0.5, 0.9], "best-worst-class": [0.6, 0.7], "last": [0.4, 0.8], "38": [0.3, 0.9], "40": [0.8, 0.5]}
    frames = [right("sat", seed, of).assign(checkpoint=name) for seed in (0, 1) for name, of in rates.items()]
    table = checkpoints.build(context("checkpoints"), evaluations=write(tmp_path, frames))
    found = {
        row.label: [
            value(table, "SAT", row.label, f"PGD-20: {name}") for name in ("average", "worst class", "CV", "MCD")
        ]
        for row in table.rows
    }
    # Of two classes CV is half their difference, squared.
    assert found == {
        "best by robust accuracy": pytest.approx([70, 50, 0.2**2, 40]),
        "best by the worst class": pytest.approx([65, 60, 0.05**2, 10]),
        "last epoch": pytest.approx([60, 40, 0.2**2, 40]),
        "mean of epochs 38, 40": pytest.approx([(60 + 65) / 2, (30 + 50) / 2, (0.3**2 + 0.15**2) / 2, (60 + 30) / 2]),
    }


def test_consistency_is_in_two_groups(tmp_path):
    frames = [right("sat", 0, FIRST), right("sat", 0, FIRST[::-1], attack="autoattack"), right("trades", 0, SECOND)]
    table = consistency.build(context("consistency"), evaluations=write(tmp_path, frames))
    # Ranks of FIRST: 1 2 4 3, reversed 3 4 2 1; of SECOND: 1 2 4 3.
    assert value(table, "between attacks", "PGD-20 and AutoAttack", "Spearman") == pytest.approx(1 - 6 * 16 / (4 * 15))
    group = "between defences, under PGD-20"
    assert value(table, group, "SAT and the others", "Kendall") == pytest.approx(1)
    assert {row for place, row, _ in cells(table) if place == group} == {"SAT and the others", "TRADES and the others"}


def test_only_attacks_beyond_pgd20_are_stronger(tmp_path):
    shares = {"clean": 0.0, "fgsm": 0.1, "pgd20": 0.0, "autoattack": 0.1}
    frames = [right("sat", 0, [rate - less for rate in FIRST], attack=attack) for attack, less in shares.items()]
    table = stronger_attacks.build(context("stronger-attacks"), evaluations=write(tmp_path, frames))
    assert {group for group, _, _ in cells(table)} == {"PGD-20 to AutoAttack"}
    assert value(table, "PGD-20 to AutoAttack", "SAT", "drop") == pytest.approx(10)


def test_errors_by_hand(tmp_path, names):
    labels = [c for c in range(4) for _ in range(4)] * 10
    predictions = [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 0, 3, 3, 3, 2] * 10
    table = confusion.build(context("confusion"), evaluations=write(tmp_path, [rows(labels, predictions)]), names=names)
    place = ("PGD-20", "SAT")
    # Of four images each: ant to bee 2, bee to ant 2, cat to dog 1, cat to ant 1, dog to cat 1.
    assert value(table, *place, "symmetry") == pytest.approx(1 - 1 / 7)
    assert "0, 1" not in str(table.notes) and "clusters of the matrices under PGD-20 (ours" in " ".join(table.notes)
    assert value(table, *place, "Errors to the 2 largest, %: if spread evenly") == pytest.approx(200 / 3)


def test_errors_are_told_attack_by_attack_with_one_grouping_of_the_classes(tmp_path, names):
    """Under PGD-20 ant and bee are taken for each other, and cat and dog; under AutoAttack, of one image of each class
    and so few that chance decides, ant and cat are."""
    labels = [c for c in range(4) for _ in range(4)] * 10
    weaker = rows(labels, [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 2, 2] * 10)
    stronger = rows([0, 1, 2, 3] * 10, [2, 0, 0, 2] * 5 + [0, 1, 2, 3] * 5, attack="autoattack")
    files = write(tmp_path, [weaker, stronger, rows(labels, labels, attack="clean")])
    table = confusion.build(context("confusion"), evaluations=files, names=names)
    within = "Errors within the group, %: measured"
    assert [(row.group, row.label) for row in table.rows] == [("PGD-20", "SAT"), ("AutoAttack", "SAT")]
    assert value(table, "PGD-20", "SAT", within) == pytest.approx(100)
    assert value(table, "AutoAttack", "SAT", within) == pytest.approx(50)  # bee to ant, dog to cat
    found = cells(table)
    assert found["PGD-20", "SAT", "symmetry"]["value"] == "1" and not found["AutoAttack", "SAT", "symmetry"]["value"]
    assert "ant, bee; cat, dog" in " ".join(table.notes) and errors.CASCADE in table.notes


def test_what_few_images_cannot_say_of_errors_is_not_said(tmp_path, names):
    for repeated, said in ((10, True), (9, False)):
        labels = [c for c in range(4) for _ in range(4)] * repeated
        predictions = [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 0, 3, 3, 3, 2] * repeated
        files = write(tmp_path / str(repeated), [rows(labels, predictions)])
        found = cells(confusion.build(context("confusion"), evaluations=files, names=names))
        largest = found["PGD-20", "SAT", "Errors to the 2 largest, %: measured"]
        assert bool(found["PGD-20", "SAT", "symmetry"]["value"]) == said == bool(largest["low"])
        assert largest["value"] and found["PGD-20", "SAT", "Errors within the group, %: measured"]["low"]


def test_norms_stand_beside_their_correlation(tmp_path, evaluations):
    weights = []
    for seed in range(2):
        weights.append(tmp_path / "digits" / "sat" / f"seed{seed}" / "best.safetensors")
        weights[-1].parent.mkdir(parents=True, exist_ok=True)
        norms = np.array([2.0, 5.0, 9.0, 6.0]) if seed == 0 else np.array([4.0, 5.0, 7.0, 6.0])
        save_file({"linear.weight": np.diag(norms).astype(np.float32)}, weights[-1])
    table = weight_norms.build(context("weight-norms"), evaluations=evaluations, weights=weights)
    assert value(table, "PGD-20", "SAT", "Norm of a class's row: smallest") == pytest.approx(3)
    assert value(table, "PGD-20", "SAT", "Norm of a class's row: largest") == pytest.approx(8)
    assert value(table, "PGD-20", "SAT", "Correlation with its accuracy: Pearson") == pytest.approx(1)
    sources = cells(table)["PGD-20", "SAT", "Correlation with its accuracy: Pearson"]["files"]
    assert "best.safetensors" in sources and "pgd20" in sources
