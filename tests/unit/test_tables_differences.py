from pathlib import Path

import pytest
from synthetic import AS_PUBLISHED, OTHER_THREAT, RESNET18, THREATS, context, evaluation, write_study
from tabulated import cells, files_of, index_of, t_interval

from robustlens.report.context import Recipe
from robustlens.report.tables import differences

PUBLISHED = Path(__file__).parents[2] / "studies" / "energy" / "published.yaml"
ARCHITECTURES = f"architectures: {{resnet18: {RESNET18}}}\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, epochs=12, images=40)


def build(files, published=PUBLISHED, **changes):
    architectures = {"cifar10": RESNET18, "digits": RESNET18}
    told = context(architectures=architectures, **{"threats": AS_PUBLISHED, "caveat": ""} | changes)
    return differences.build(told, evaluations=files, published=published)


def rate(index, checkpoint, attack):
    rows = list(evaluation(index, checkpoint, attack)[0].itertuples())
    return 100 * sum(r.prediction_adversarial == r.label for r in rows) / len(rows)


def test_differences_are_paired_by_the_seeds_and_images_that_both_have(tmp_path):
    trades = {i: i % 3 > 0 for i in range(9)}
    own = {i: i % 2 > 0 for i in (8, 3, 4, 5, 6, 7, 20)}
    files = [
        index_of(tmp_path, "trades", 0, {("best", "pgd20"): dict.fromkeys(range(9), True), ("best", "clean"): trades}),
        index_of(tmp_path, "trades", 1, {("best", "pgd20"): trades, ("last", "pgd20"): dict.fromkeys(range(9), False)}),
        index_of(tmp_path, "gairat", 1, {("best", "pgd20"): own, ("last", "pgd20"): own}),
        index_of(tmp_path, "mail-at", 5, {("best", "pgd20"): own, ("best", "clean"): own}),
        index_of(tmp_path, "wu2020", 0, {("published", "pgd20"): own}),
    ]
    table = build(files)
    assert [row.label for row in table.rows] == ["GAIRAT", "MAIL-AT"]
    row = cells(table)["GAIRAT", "PGD-20"]
    values = [100 * (own[i] - trades[i]) for i in range(3, 9)]
    assert float(row["value"]) == pytest.approx(sum(values) / 6)
    assert (float(row["low"]), float(row["high"])) == pytest.approx(t_interval(values))
    assert (row["n_seeds"], row["n_images"], row["unit"]) == ("1", "6", "points")
    assert row["files"].split(";") == [file for k in (2, 1) for file in files_of(files[k], ("best", "pgd20"))]
    missing = [cells(table)[key]["value"] for key in (("GAIRAT", "clean"), ("MAIL-AT", "PGD-20"), ("MAIL-AT", "clean"))]
    assert missing == ["", "", ""]
    assert "One seed of each recipe is compared." in table.notes


def test_differences_over_several_seeds_are_wider_than_over_their_images(study):
    table = build(study.robustness)
    assert [row.label for row in table.rows] == ["Standard", "SAT"]
    sat = cells(table)["SAT", "PGD-20"]
    rates = [
        rate(a, "best", "pgd20") - rate(b, "best", "pgd20")
        for a, b in zip(study.robustness[3:6], study.robustness[6:], strict=True)
    ]
    assert float(sat["value"]) == pytest.approx(sum(rates) / 3)
    assert sat["n_seeds"] == "3" and float(sat["low"]) < min(rates) < max(rates) < float(sat["high"])
    assert not any("One seed" in note for note in table.notes)
    assert "Test images per seed: clean: 40; PGD-20: 40; AutoAttack: 20." in table.notes


def test_variants_are_compared_with_what_they_change_on_the_same_seeds(tmp_path):
    def right(*images):
        return {("best", "clean"): {i: i in images for i in range(8)}}

    def runs(dataset):
        return [
            index_of(tmp_path, recipe, seed, right(*images), dataset)
            for recipe, seed, images in [
                ("sat", 0, range(4)),
                ("trades", 0, range(2)),
                ("trades", 1, range(8)),
                ("weat-adv", 0, range(5)),
                ("weat-adv", 1, range(1)),
                ("mail-at", 0, range(3)),
                ("sat-awp", 0, range(7)),
                ("weat-adv-awp", 0, range(3)),
                ("trades-awp", 1, range(6)),
                ("weat-adv-awp-ce", 0, range(4)),
            ]
        ]

    recipes = {**context().recipes, "weat-adv-awp-ce": Recipe("weat-adv-awp-ce", changes="weat-adv-awp")}
    table = build(runs("digits"), recipes=recipes)
    found = [(row.group, row.label, row.cells[0].value, row.cells[0].n_seeds) for row in table.rows]
    assert found == [  # images of 8 that are right, by hand
        ("minus TRADES", "SAT", pytest.approx(25), 1),
        ("minus TRADES", "WEAT-adv", pytest.approx(100 * ((5 - 2) + (1 - 8)) / 16), 2),
        ("minus TRADES", "MAIL-AT", pytest.approx(12.5), 1),
        ("minus TRADES", "TRADES + AWP", pytest.approx(-25), 1),
        ("minus SAT", "SAT + AWP", pytest.approx(37.5), 1),
        ("minus WEAT-adv", "WEAT-adv + AWP", pytest.approx(-25), 1),
        ("minus WEAT-adv + AWP", "weat-adv-awp-ce", pytest.approx(12.5), 1),
    ]
    assert "for a recipe that changes another one, of that one" in table.caption
    assert any("is compared with that one on the seeds that both have" in note for note in table.notes)
    several = build([*runs("digits"), *runs("svhn")], recipes=recipes)
    assert [row.group for row in several.rows[6:9]] == ["digits: minus WEAT-adv + AWP"] + ["svhn: minus TRADES"] * 2


def test_variants_have_no_published_differences(tmp_path):
    right = {("best", "pgd20"): {0: True, 1: False}}
    files = [index_of(tmp_path, r, 0, right, "cifar10") for r in ("trades", "weat-adv", "weat-adv-awp")]
    block = "{source: one, trust: t, dataset: cifar10, architecture: resnet18, metrics: [pgd], values: {%s}}"
    values = "trades: [50.0], weat-adv: [51.0], weat-adv-awp: [55.0]"
    (tmp_path / "p.yaml").write_text(f"{ARCHITECTURES}blocks:\n- {block % values}\n")
    row = cells(build(files, tmp_path / "p.yaml"))
    found = [row[recipe, "PGD-20"]["published"] for recipe in ("WEAT-adv", "WEAT-adv + AWP")]
    assert found == ["1", ""]


def test_published_differences_are_of_two_numbers_of_one_source(tmp_path):
    right = {("best", attack): {i: i % 2 > 0 for i in range(4)} for attack in ("clean", "pgd20", "autoattack")}
    files = [index_of(tmp_path, r, 0, right, "cifar10") for r in ("trades", "weat-adv", "weat-nat", "mart")]
    table = build(files)
    row = cells(table)
    assert (row["WEAT-adv", "PGD-20"]["published"], row["WEAT-adv", "AutoAttack"]["published"]) == ("0.7", "0.29")
    assert "third-party summary" in row["WEAT-adv", "PGD-20"]["published_source"]
    assert row["WEAT-nat", "PGD-20"]["published"] == "-0.22"
    assert row["WEAT-nat", "clean"]["published"] == row["MART", "AutoAttack"]["published"] == ""
    assert "difference of two of its numbers" in table.to_latex()
    assert "ublished" not in build(files, caveat="Small scale.").to_latex()
    block = (
        "{{source: {0}, trust: t, dataset: cifar10, architecture: resnet18, metrics: [pgd], values: {{{1}: [50.0]}}}}"
    )
    blocks = [block.format("one", "trades"), block.format("two", "mart"), block.format("one", "weat-adv")]
    (tmp_path / "p.yaml").write_text(f"{ARCHITECTURES}blocks:\n" + "".join(f"- {b}\n" for b in blocks))
    row = cells(build(files, tmp_path / "p.yaml"))
    assert (row["WEAT-adv", "PGD-20"]["published"], row["MART", "PGD-20"]["published"]) == ("0", "")


def test_published_differences_are_of_the_architectures_that_the_two_recipes_have(tmp_path):
    files = measured(tmp_path, "trades", "weat-adv", "weat-nat", dataset="cifar10")
    wide = {"family": "wide-resnet", "depth": 34}
    block = "{{source: one, trust: t, dataset: cifar10, architecture: {0}, metrics: [pgd], values: {{{1}}}}}"
    blocks = [
        block.format("resnet18", "trades: [50.0], weat-adv: [51.0], weat-nat: [52.0]"),
        block.format("wide", "weat-adv: [54.0]"),
    ]
    described = ARCHITECTURES.replace("}}\n", f"}}, wide: {wide}}}\n")
    (tmp_path / "p.yaml").write_text(f"{described}blocks:\n" + "".join(f"- {b}\n" for b in blocks))

    def published(**own):
        labels = {"trades": "TRADES", "weat-adv": "WEAT-adv", "weat-nat": "WEAT-nat"}
        recipes = {
            name: Recipe(label, architectures={"cifar10": own[name]} if name in own else {})
            for name, label in labels.items()
        }
        row = cells(build(files, tmp_path / "p.yaml", recipes=recipes))
        return [row[label, "PGD-20"]["published"] for label in ("WEAT-adv", "WEAT-nat")]

    assert published() == ["1", "2"]
    assert published(**{"weat-adv": wide}) == ["4", "2"]
    assert published(**{"weat-nat": {"family": "small-cnn"}}) == ["1", ""]
    assert published(trades=wide) == ["", ""]


def measured(folder, *recipes, **place):
    """Each next recipe has one image of eight more right."""
    return [
        index_of(folder, recipe, 0, {("best", "pgd20"): {i: i <= k for i in range(8)}}, **place)
        for k, recipe in enumerate(recipes)
    ]


def test_a_name_says_nothing_of_what_a_recipe_changes(tmp_path):
    recipes = {"sat": Recipe("SAT"), "sat-pp": Recipe("SAT++"), "arat-no-predictor": Recipe("AR-AT*", changes="sat-pp")}
    table = build(measured(tmp_path, "trades", "sat", "sat-pp", "arat-no-predictor"), recipes=recipes)
    found = [(row.group, row.label, row.cells[0].value) for row in table.rows]
    assert found == [
        ("minus trades", "SAT", 12.5),
        ("minus trades", "SAT++", 25.0),
        ("minus SAT++", "AR-AT*", 12.5),
    ]


def test_where_the_changed_recipe_is_missing_trades_is_compared_with(tmp_path):
    table = build(measured(tmp_path, "trades", "weat-adv-awp"))
    assert [(row.group, row.label) for row in table.rows] == [("minus TRADES", "WEAT-adv + AWP")]
    assert "digits minus that of TRADES: in points" in table.caption


def test_without_trades_only_changes_are_compared(tmp_path):
    table = build(measured(tmp_path, "sat", "sat-awp", "mart"))
    assert [(row.group, row.label, row.cells[0].value) for row in table.rows] == [("minus SAT", "SAT + AWP", 12.5)]
    assert "minus that of the recipe that is changed" in table.caption
    assert "TRADES" not in table.caption + " ".join(table.notes)


def test_a_study_without_a_baseline_compares_recipes_with_what_they_change_alone(tmp_path):
    table = build(measured(tmp_path, "sat", "sat-awp", "trades"), baseline=None)
    assert [(row.group, row.label) for row in table.rows] == [("minus SAT", "SAT + AWP")]
    assert "compared with" in table.notes[0] and "all others" not in table.notes[0]


def test_what_cannot_be_compared_is_said(tmp_path):
    table = build(measured(tmp_path, "sat", "mart"))
    assert table.rows == () and table.notes[0].startswith("Nothing can be compared here: no recipe changes another one")
    assert "Accuracy on digits" in table.caption and table.to_latex() and table.to_html()


def test_recipes_are_compared_under_one_threat(tmp_path):
    files = [*measured(tmp_path, "trades", "sat"), *measured(tmp_path, "sat", "trades", threat=OTHER_THREAT)]
    table = build(files, threats=THREATS)
    assert [(row.group, row.label, row.cells[0].value) for row in table.rows] == [
        ("L∞, ε = 3/16: minus TRADES", "SAT", 12.5),
        ("L2, ε = 1/2: minus TRADES", "SAT", -12.5),
    ]
    assert sum("Trained under" in note for note in table.notes) == 1


def test_a_recipe_that_has_not_learned_is_named(tmp_path):
    """Its row looks like a loss of robustness, and is one of everything."""

    def right(count):
        return {("best", "clean"): {i: i < count for i in range(8)}}

    files = [
        index_of(tmp_path, "trades", 0, right(6)),
        index_of(tmp_path, "gairat", 0, right(3)),  # half of it
        index_of(tmp_path, "mail-at", 0, right(2)),
        index_of(tmp_path, "sat", 0, right(8)),
    ]
    (note,) = [note for note in build(files).notes if note.startswith("Not learned")]
    assert note.startswith("Not learned: MAIL-AT. Without an attack less than half as accurate")
    assert not any(note.startswith("Not learned") for note in build([files[0], files[1], files[3]]).notes)
