"""The headline numbers of a chapter, computed by hand from tables of robustness."""

import pytest

from robustlens.report.chapter import Chapter
from robustlens.report.context import Context, Recipe
from robustlens.report.headlines import headlines

HEADER = "group,row,column,value,std,n_seeds,n_images,unit,files,best"


def context(caveat, threat="near"):
    """What the table of robustness was told; SAT was trained under `threat`."""
    recipes = {"SAT": Recipe("SAT of ours", threats={"digits": threat})}
    threats = {"near": {"norm": "linf", "epsilon": "3/16"}, "far": {"norm": "l2", "epsilon": "1/2"}}
    return Context("robustness", "light", caveat, "", {"digits": "scikit-learn digits"}, recipes, threats=threats)


def table(folder, rows):
    """rows: (group, recipe, column, value, std, seeds, images)."""
    path = folder / "robustness.csv"
    lines = [",".join([HEADER])]
    for group, recipe, column, *numbers in rows:
        files = ";".join(f"results/x/evaluations/digits/{recipe}/seed{seed}/near/best/a.parquet" for seed in (0, 1))
        lines.append(",".join([group, recipe, column, *map(str, numbers), "%", files, ""]))
    path.write_text("\n".join(lines) + "\n")
    return path


def shown(found):
    """Rows as (group, label, printed cells)."""
    return [(row.group, row.label, *map(str, row.cells)) for row in found.rows]


BEST = [
    ("", "Standard", "Best checkpoint: clean", 97.5, 0.5, 3, 1397),
    ("", "Standard", "Best checkpoint: PGD-20", 0.07, 0.1, 3, 1397),
    ("", "Standard", "Best checkpoint: AutoAttack", 0.0, 0.0, 3, 30),
    ("", "Standard", "Last checkpoint: clean", 99.0, 0.5, 3, 1397),
    ("", "SAT", "Best checkpoint: clean", 95.75, 0.25, 3, 1397),
    ("", "SAT", "Best checkpoint: PGD-20", 53.0, 0.9, 3, 1397),
    ("", "SAT", "Best checkpoint: AutoAttack", 54.4, 10.2, 3, 30),
    ("", "TRADES", "Best checkpoint: clean", 94.5, 0.3, 3, 1397),
    ("", "TRADES", "Best checkpoint: PGD-20", 52.0, 2.4, 3, 1397),
    ("", "TRADES", "Best checkpoint: AutoAttack", 60.0, 11.5, 3, 30),
]


def test_the_most_and_least_robust_and_the_most_accurate_recipe_are_named(tmp_path):
    """Under AutoAttack although PGD-20 gives lower numbers, on other images; at the best checkpoint, not the last."""
    found = headlines(table(tmp_path, BEST), context("Embedded scale."))
    assert [column.label for column in found.columns] == ["AutoAttack", "without attack"]
    assert shown(found) == [
        ("Most robust of 3 recipes with 3 seeds", "TRADES", "60 ± 12", "94.5 ± 0.3"),
        ("Least robust of these", "Standard", "0.0 ± 0.0", "97.5 ± 0.5"),
        ("Most accurate of these without attack", "Standard", "0.0 ± 0.0", "97.5 ± 0.5"),
    ]
    assert found.name == "light-headlines"
    assert "on scikit-learn digits: accuracy in %, best checkpoint. Embedded scale" in found.caption
    assert found.notes[0] == "Test images of each run: 30 under AutoAttack; 1,397 without attack."


def test_without_autoattack_recipes_are_compared_under_the_attack_that_leaves_least(tmp_path):
    rows = [
        ("", "SAT", "Best checkpoint: clean", 90.0, "", 1, 500),
        ("", "SAT", "Best checkpoint: PGD-5", 70.0, "", 1, 500),
        ("", "SAT", "Best checkpoint: PGD-20", 50.0, "", 1, 500),
        ("", "TRADES", "Best checkpoint: PGD-5", 80.0, "", 1, 500),
        ("", "TRADES", "Best checkpoint: PGD-20", 40.0, "", 1, 500),
    ]
    found = headlines(table(tmp_path, rows), context(""))
    assert shown(found) == [
        ("Most robust of 2 recipes with one seed", "SAT", "50.0", "90.0"),
        ("Least robust of these", "TRADES", "40.0", "\u2013"),
        ("Most accurate of these without attack", "SAT", "50.0", "90.0"),
    ]
    assert not any("standard deviation" in note for note in found.notes)


@pytest.mark.parametrize("name", ["autoattack-10", "AutoAttack-10", "AA of torchattacks (10)"])
def test_an_attack_that_begins_like_autoattack_is_not_taken_for_it(name, tmp_path):
    rows = [
        ("", "SAT", "Best checkpoint: PGD-20", 40.0, "", 1, 500),
        ("", "SAT", f"Best checkpoint: {name}", 50.0, "", 1, 500),
    ]
    found = headlines(table(tmp_path, rows), context(""))
    assert [column.label for column in found.columns] == ["PGD-20", "without attack"]
    rows.append(("", "SAT", "Best checkpoint: AutoAttack (standard)", 45.0, "", 1, 500))
    found = headlines(table(tmp_path, rows), context(""))
    assert [column.label for column in found.columns] == ["AutoAttack (standard)", "without attack"]


def test_recipes_with_fewer_seeds_are_named_apart(tmp_path):
    rows = [
        *BEST,
        ("", "SAT + AWP", "Best checkpoint: AutoAttack", 70.0, "", 1, 30),
        ("", "MAIL", "Best checkpoint: AutoAttack", 10.0, "", 1, 30),
        ("", "Not attacked", "Best checkpoint: clean", 99.0, "", 1, 30),
    ]
    found = shown(headlines(table(tmp_path, rows), context("Embedded scale.")))
    assert found[0][:2] == ("Most robust of 3 recipes with 3 seeds", "TRADES")
    assert found[-1] == ("Most robust of 2 recipes with fewer seeds", "SAT + AWP", "70.0", "\u2013")


def test_recipes_of_equal_accuracy_are_all_named_up_to_three(tmp_path):
    rows = [("", name, "Best checkpoint: AutoAttack", 50.0, 1.0, 3, 30) for name in ("A", "B")]
    rows += [("", name, "Best checkpoint: AutoAttack", 0.0, 0.0, 3, 30) for name in ("C", "D", "E", "F")]
    found = [(group, label) for group, label, *_ in shown(headlines(table(tmp_path, rows), context("Embedded scale.")))]
    least = "Least robust of these (3 of 4 with the same accuracy)"
    most = "Most robust of 6 recipes with 3 seeds"
    assert found == [(most, "A"), (most, "B"), (least, "C"), (least, "D"), (least, "E")]


def test_each_dataset_has_numbers_of_its_own(tmp_path):
    rows = [
        ("CIFAR-10", "SAT", "Best checkpoint: AutoAttack", 50.0, 1.0, 3, 10000),
        ("CIFAR-10", "TRADES", "Best checkpoint: AutoAttack", 51.0, 1.0, 3, 10000),
        ("SVHN", "SAT", "Best checkpoint: PGD-20", 60.0, "", 1, 2000),
    ]
    found = headlines(table(tmp_path, rows), context(""))
    assert [column.label for column in found.columns] == ["AutoAttack", "PGD-20", "without attack"]
    assert shown(found) == [
        ("CIFAR-10: most robust of 2 recipes with 3 seeds", "TRADES", "51.0 ± 1.0", "\u2013", "\u2013"),
        ("CIFAR-10: least robust of these", "SAT", "50.0 ± 1.0", "\u2013", "\u2013"),
        ("SVHN: most robust of 1 recipe with one seed", "SAT", "\u2013", "60.00", "\u2013"),
    ]
    assert found.notes[:2] == (
        "CIFAR-10: Test images of each run: 10,000 under AutoAttack.",
        "SVHN: Test images of each run: 2,000 under PGD-20.",
    )
    assert "recipes: accuracy" in found.caption


@pytest.mark.parametrize("rows", [[], [("", "SAT", "Best checkpoint: clean", 90.0, "", 1, 500)]])
def test_where_nothing_was_attacked_there_are_no_headlines(tmp_path, rows):
    assert headlines(table(tmp_path, rows), context("")) is None


def test_recipes_that_were_trained_under_another_threat_are_named(tmp_path):
    path, said = (
        table(tmp_path, BEST),
        "Trained under L2, ε = 1/2, but evaluated under L∞, ε = 3/16 on scikit-learn digits",
    )
    assert not any("Trained" in note for note in headlines(path, context("")).notes)
    assert not any("Trained" in note for note in headlines(path, context("", "far")).notes)  # SAT is not shown
    rows = [row for row in BEST if row[1] != "TRADES"]
    assert f"{said}: SAT of ours." in headlines(table(tmp_path, rows), context("", "far")).notes


def test_a_chapter_takes_them_from_its_table_of_robustness_alone(tmp_path):
    path, told = table(tmp_path, BEST).with_suffix(".tex"), context("")
    assert len(Chapter("light", "L", "l", tables=[path], robustness=told).headlines.rows) == 3
    assert Chapter("light", "L", "l", tables=[path.with_name("phases.tex")], robustness=told).headlines is None
    assert Chapter("light", "L", "l", tables=[path]).headlines is None
