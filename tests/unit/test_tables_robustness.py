import math
from pathlib import Path

import pandas as pd
import pytest
from synthetic import AS_PUBLISHED, OTHER_THREAT, RESNET18, THREATS, context, evaluation, write_evaluations, write_study
from tabulated import cells, index_of

from robustlens.report.context import Recipe
from robustlens.report.layout import ONE_SEED
from robustlens.report.tables import autoattack, robustness

PUBLISHED = Path(__file__).parents[2] / "studies" / "energy" / "published.yaml"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, epochs=12, images=40)


def build(files, **changes):
    architectures = dict.fromkeys(("digits", "cifar10", "svhn"), RESNET18)
    told = {"architectures": architectures, "threats": AS_PUBLISHED} | changes
    return robustness.build(context(**told), evaluations=files, published=PUBLISHED)


def rate(index, checkpoint, attack):
    rows = list(evaluation(index, checkpoint, attack)[0].itertuples())
    return 100 * sum(r.prediction_adversarial == r.label for r in rows) / len(rows)


def test_robustness_is_the_mean_over_seeds_of_each_file(study):
    table = build(study.robustness)
    assert [row.label for row in table.rows] == ["Standard", "SAT", "TRADES"]
    sat = study.robustness[3:6]
    rates = [rate(path, "last", "autoattack") for path in sat]
    mean = sum(rates) / 3
    cell = cells(table)["SAT", "Last checkpoint: AutoAttack"]
    assert float(cell["value"]) == pytest.approx(mean)
    assert float(cell["std"]) == pytest.approx(math.sqrt(sum((r - mean) ** 2 for r in rates) / 2))
    assert (cell["n_seeds"], cell["n_images"], cell["unit"]) == ("3", "20", "%")
    assert cell["files"].split(";") == [evaluation(index, "last", "autoattack")[1] for index in sat]
    assert "published" not in table.to_latex().lower()
    assert "20 test images" in table.to_latex() and "no evidence about CIFAR-10" in table.caption


def test_published_columns_appear_for_a_dataset_with_published_numbers(tmp_path):
    study = write_study(tmp_path, "cifar10", ("standard", "sat", "weat-nat"), (0,), epochs=12, images=40)
    table = build(study.robustness, caveat="")
    text = table.to_latex()
    assert "& clean & published " in text and "& PGD-20 & published " in text and "& AutoAttack & published " in text
    assert "45.4 (b)" in text or "45.4 (a)" in text
    assert "third-party summary" in text
    assert cells(table)["WEAT-nat", "Best checkpoint: clean"]["published"] == "83.36"
    assert cells(table)["SAT", "Last checkpoint: AutoAttack"]["published"] == ""
    for other in (
        {"architectures": {"cifar10": {"family": "wide-resnet"}}},
        {"threats": THREATS},
    ):  # of another epsilon
        assert "published" not in build(study.robustness, caveat="", **other).to_latex()
    assert "ublished" not in build(study.robustness).to_latex()  # at a scale with a caveat


def test_a_recipe_of_another_architecture_has_no_published_number_of_its_dataset_s(tmp_path):
    study = write_study(tmp_path, "cifar10", ("sat", "trades", "weat-nat"), (0,), epochs=12, images=40)
    recipes = {
        "sat": Recipe("SAT", architectures={"cifar10": {"family": "wide-resnet"}}),
        "trades": Recipe("TRADES", architectures={"svhn": {"family": "wide-resnet"}}),  # of another dataset
        "weat-nat": Recipe("WEAT-nat", architectures={"cifar10": RESNET18 | {"normalisation": {"mean": [0.5]}}}),
    }
    row = cells(build(study.robustness, recipes=recipes, caveat=""))
    found = [row[label, "Best checkpoint: AutoAttack"]["published"] for label in ("SAT", "TRADES", "WEAT-nat")]
    assert found == ["", "49.46", "49.02"]
    # The other way round: the architecture of the published numbers is a recipe's own, and not that of the dataset.
    wide = {"cifar10": {"family": "wide-resnet"}}
    own = {"sat": Recipe("SAT", architectures={"cifar10": RESNET18})}
    row = cells(build(study.robustness, recipes=own, architectures=wide, caveat=""))
    found = [row[label, "Best checkpoint: AutoAttack"]["published"] for label in ("SAT", "trades", "weat-nat")]
    assert found == ["45.37", "", ""]


def test_several_datasets_become_groups(tmp_path, study):
    other = write_study(tmp_path, "svhn", ("sat",), (0, 1), epochs=12, images=40)
    table = build([*study.robustness, *other.robustness], caveat="")
    assert [(row.group, row.label) for row in table.rows][2:] == [("digits", "TRADES"), ("svhn", "SAT")]
    assert table.rows[3].cells[2].published.value == 44.87
    assert table.rows[1].cells[2].published is None


def test_robustness_says_which_rows_have_one_seed(tmp_path, study):
    right = {(c, a): {i: i > 1 for i in range(8)} for c in ("best", "last") for a in ("clean", "pgd20")}
    files = [
        *study.robustness,
        index_of(tmp_path, "gairat", 0, right),
        index_of(tmp_path, "mail-at", 0, right),
    ]
    table = build(files)
    assert [str(cell) for cell in table.rows[3].cells] == ["75.0", "75.0", "\u2013"] * 2
    assert "±" in str(table.rows[1].cells[0])
    assert "± is the standard deviation over 3 seeds (n \u2212 1)." in table.notes
    assert "GAIRAT \\textdagger{} & 75 & 75" in table.to_latex()  # as finely as the others, whose spread is known
    assert ONE_SEED in table.to_html() and ONE_SEED not in build(study.robustness).to_html()


def pgd_on_the_same(index):
    """Accuracy in % under PGD-20 on the images that AutoAttack attacked, which are not all that PGD-20 did."""
    of_autoattack, of_pgd = (evaluation(index, "best", attack)[0] for attack in ("autoattack", "pgd20"))
    same = of_pgd[of_pgd["index"].isin(of_autoattack["index"])]
    assert 0 < len(same) < len(of_pgd)
    return 100 * float((same["prediction_adversarial"] == same["label"]).mean())


def test_autoattack_stages_end_at_the_autoattack_accuracy(study):
    stages, robust = autoattack.build(context(), evaluations=study.robustness), study.robustness
    row = cells(stages)
    for label, files in (("SAT", robust[3:6]), ("TRADES", robust[6:9])):
        values = [float(row[label, c]["value"]) for c in autoattack.LABELS]
        assert values == sorted(values, reverse=True)
        assert values[-1] == pytest.approx(sum(rate(path, "best", "autoattack") for path in files) / 3)
        assert float(row[label, "PGD-20"]["value"]) == pytest.approx(sum(map(pgd_on_the_same, files)) / 3)
    broken = evaluation(robust[3], "best", "autoattack")[0]["broken_by"].tolist()
    left = [100 * (1 - sum(b in ("misclassified", "apgd-ce") for b in broken) / len(broken))]
    one = autoattack.build(context(), evaluations=robust[3:4])
    assert float(cells(one)["SAT", "after APGD-CE"]["value"]) == pytest.approx(left[0])
    assert "One seed" in one.notes[0]


def test_a_study_without_published_numbers_shows_its_own_attacks_in_the_order_of_the_suites(tmp_path):
    right = {("best", attack): {i: i > k for i in range(8)} for k, attack in enumerate(("pgd50", "fgsm", "clean"))}
    told = context(study="other", attacks={"clean": "no attack", "fgsm": "FGSM", "pgd50": "PGD-50"})
    table = robustness.build(told, evaluations=[index_of(tmp_path, "sat", 0, right)])
    assert table.name == "other-table"
    assert [column.label for column in table.columns] == ["no attack", "PGD-50"]
    assert [cell.value for cell in table.rows[0].cells] == [62.5, 87.5]
    weak = {key: images for key, images in right.items() if key[1] != "pgd50"}
    alone = robustness.build(told, evaluations=[index_of(tmp_path / "weak", "sat", 0, weak)])
    assert [column.label for column in alone.columns] == ["no attack", "FGSM"]


def test_evaluations_under_two_threats_are_two_groups_and_never_one_mean(tmp_path):
    def index(recipe, right, **place):
        return index_of(tmp_path, recipe, 0, {("best", "pgd20"): {i: i < right for i in range(8)}}, **place)

    files = [index("sat", 6), index("sat", 2, threat=OTHER_THREAT), index("trades", 5)]
    table = build(files, threats=THREATS)
    assert [(row.group, row.label, row.cells[0].value) for row in table.rows] == [
        ("L∞, ε = 3/16", "SAT", 75.0),
        ("L∞, ε = 3/16", "TRADES", 62.5),
        ("L2, ε = 1/2", "SAT", 25.0),
    ]
    assert "Trained under L∞, ε = 3/16, but evaluated under L2, ε = 1/2 on digits: SAT." in table.notes
    own = build([files[0], files[2]])
    assert [row.group for row in own.rows] == ["", ""] and not any("Trained under" in note for note in own.notes)
    of_two = build([*files, index("sat", 4, dataset="svhn")], threats=THREATS)
    threats = ("digits, L∞, ε = 3/16", "digits, L2, ε = 1/2", "svhn, L∞, ε = 3/16")
    assert tuple(row.group for row in of_two.rows[1:]) == threats


def test_of_two_subsets_of_one_attack_the_larger_counts(tmp_path):
    def index(suite, n, right):
        images = {
            ("best", "clean"): dict.fromkeys(range(20), True),
            ("best", "pgd20"): {i: i < right for i in range(n)},
        }
        return index_of(tmp_path, "sat", 0, images, suite=suite)

    files = [index("small", 4, 4), index("large", 10, 5)]
    for order in (files, files[::-1]):
        row = cells(build(order))["SAT", "Best checkpoint: PGD-20"]
        assert (float(row["value"]), row["n_images"], row["n_seeds"]) == (50.0, "10", "1")
        assert row["files"].endswith("pgd20.10.parquet")


def test_third_party_models_stand_beside_the_best_checkpoints_under_their_title(tmp_path):
    files = [
        index_of(tmp_path, recipe, 0, {(checkpoint, "clean"): {i: i < 3 for i in range(4)}})
        for recipe, checkpoint in (("sat", "best"), ("wang", "published"))
    ]
    table = build(files, recipes={"sat": Recipe("SAT"), "wang": Recipe("Wang et al.")})
    assert [(row.label, row.cells[0].value) for row in table.rows] == [("SAT", 75.0), ("Wang et al.", 75.0)]
    assert "Third-party models stand there as they were published." in table.notes


def test_without_autoattack_its_table_says_so_and_is_empty(tmp_path):
    clean = {"checkpoint": "best", "attack": "clean", "index": [0], "broken_by": "", "label": 0}
    clean = pd.DataFrame(clean | {"prediction_adversarial": 0})
    table = autoattack.build(context(), evaluations=[write_evaluations(tmp_path, clean, "sat")])
    assert table.rows == () and table.notes == ("None of these suites has AutoAttack.",)
    assert "on digits after each stage" in table.caption and table.to_latex() and table.to_html()
