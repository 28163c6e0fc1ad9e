"""Recipes along a curve, what validation images choose of them, and the tables and figures of both."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import proxy_results as made
import pytest
from synthetic import THREATS, evaluation, write_evaluations

from robustlens.errors import RobustlensError
from robustlens.report.context import Context, Recipe
from robustlens.study.declaration import USES
from robustlens.study.selection import Kind, Selection
from studies.proxy.curves import Curve, chosen, of_choice, of_shared_seeds, read_validation, size_curves, weight_curves
from studies.proxy.figures import sizes as sizes_figure
from studies.proxy.figures import weights as weights_figure
from studies.proxy.study import STUDY
from studies.proxy.tables import sizes, weights

PUBLISHED = Path(__file__).parents[3] / "studies" / "proxy" / "published.yaml"
NAMES = ("weights", "sizes")
KINDS = {
    "history": Kind("runs/{dataset}/{recipe}/seed{seed}/history.parquet"),
    "evaluations": Kind("evaluations/{dataset}/{recipe}/seed{seed}/{threat}/{suite}.json"),
}


def mixed(gamma, changes="sat-twice", generator="ddpm", per_class=800, ratio=1):
    mix = {
        "generator": generator,
        "label": generator.upper(),
        "per_class": per_class,
        "fit": generator[:4],
        "gamma": gamma,
        "ratio": ratio,
    }
    return Recipe("r", changes=changes, mix=mix)


KNOWN = {
    "half": mixed(0.5),
    "sat": Recipe("SAT"),
    "alone-twice": mixed(0, ratio=2),
    "alone": mixed(0),
    "sat-twice": Recipe("twice", changes="sat"),
    "port": mixed(0.4),
    "port-few": mixed(0.4, "port", "ddpm-20", 20),
    "port-trades": mixed(0.4, "trades-twice"),
    "trades-twice": Recipe("TRADES twice", changes="trades"),
    "trades": Recipe("TRADES"),
    "set": mixed(0.4, "sat", "edm", None),
    "set-half": mixed(0.5, "sat", "edm", None),
}
CONTEXT = Context("weights", "proxy", recipes=KNOWN, uses=USES)


def test_a_curve_has_the_weights_of_one_generator_and_method_in_order_and_what_it_is_matched_with():
    (ours, theirs) = weight_curves(CONTEXT, KNOWN)
    assert list(ours.recipes.items()) == [(0, "alone"), (0.4, "port"), (0.5, "half"), (1, "sat")]
    assert (ours.label, ours.matched, ours.generated_matched) == ("DDPM", "sat-twice", "alone-twice")
    # It changes SAT itself: nothing is known that has as many images a step.
    assert list(theirs.recipes.items()) == [(0.4, "set"), (0.5, "set-half"), (1, "sat")]
    assert theirs.matched is None and theirs.generated_matched is None
    without = weight_curves(CONTEXT, ["alone", "port", "port-trades"])  # no run of real images alone
    assert [list(curve.recipes) for curve in without] == [[0, 0.4]]
    assert weight_curves(CONTEXT, ["port", "sat", "sat-twice", "port-trades"]) == []


def test_sizes_are_of_one_fit_one_weight_and_one_method():
    (curve,) = size_curves(CONTEXT, KNOWN)
    assert curve == Curve("DDPM", {20: "port-few", 800: "port"}, "sat-twice")
    assert size_curves(CONTEXT, ["port", "half", "alone", "set", "set-half"]) == []


def test_the_best_epoch_is_the_first_of_the_highest_robust_accuracy_on_validation_images(tmp_path):
    run = tmp_path / "digits" / "sat" / "seed3"
    run.mkdir(parents=True)
    frame = pd.DataFrame(
        {
            "epoch": [4, 3, 2, 1, 1, 2, 3, 4],
            "split": ["validation"] * 4 + ["train"] * 4,
            "robust_accuracy": [0.5, 0.6, 0.6, 0.4, 0.9, 0.9, 0.9, 1.0],
            "other": 0,
        }
    )
    frame.to_parquet(run / "history.parquet")
    (row,) = read_validation([run / "history.parquet"]).to_dict("records")
    place = {"dataset": "digits", "recipe": "sat", "seed": 3, "source": (run / "history.parquet").as_posix()}
    assert row == {"epoch": 2, "robust_accuracy": 0.6, **place}


def test_each_seed_chooses_the_best_weight_of_equal_ones_the_largest_and_only_where_it_has_all():
    curve = Curve("DDPM", {0.0: "a", 0.4: "b", 1.0: "c"}, None)
    accuracies = {0: (0.5, 0.7, 0.6), 1: (0.6, 0.7, 0.7), 2: (0.8, 0.7, 0.7)}
    rows = [(recipe, s, v) for s, values in accuracies.items() for recipe, v in zip("abc", values, strict=True)]
    validation = pd.DataFrame([*rows, ("a", 3, 0.9), ("b", 3, 0.1)], columns=["recipe", "seed", "robust_accuracy"])
    assert chosen(curve, validation) == {0: 0.4, 1: 1.0, 2: 0.0}
    runs = pd.DataFrame([(r, s, "pgd20") for r in "abc" for s in range(4)], columns=["recipe", "seed", "attack"])
    of_each = of_choice(runs, curve, chosen(curve, validation), "pgd20")
    assert list(zip(of_each["seed"], of_each["recipe"], strict=True)) == [(0, "b"), (1, "c"), (2, "a")]
    assert of_choice(runs, curve, {}, "pgd20").empty


def test_points_over_sizes_are_of_the_seeds_that_all_have():
    rows = [("a", 0), ("a", 1), ("b", 1), ("b", 2), ("twice", 0), ("twice", 1), ("other", 1)]
    runs = pd.DataFrame(rows, columns=["recipe", "seed"])
    kept = of_shared_seeds(runs, Curve("DDPM", {20: "a", 800: "b"}, "twice"))
    assert list(zip(kept["recipe"], kept["seed"], strict=True)) == [("a", 1), ("b", 1), ("twice", 1)]


# Tables and figures -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxy") / "results" / "made-up"
    made.write(folder)
    return folder


@pytest.fixture
def built(results, monkeypatch):
    """What a table or figure of the made-up configuration is built from: its context and the files of its inputs."""
    monkeypatch.chdir(results.parents[1])

    def of(kind, name):
        parts = {k: [part for part in getattr(STUDY, k) if part.name in NAMES] for k in ("tables", "figures")}
        selected = Selection(made.CONFIG, {"proxy": replace(STUDY, name="proxy", claims=None, **parts)}, KINDS)
        item = getattr(selected, kind)("proxy")[name]
        files = {key: [Path(file) for file in paths] for key, paths in item.files.items()}
        return Context.from_json(json.loads(json.dumps(selected.context(item).to_json()))), files

    return of


def right(folder, recipe, seed, attack, dataset="digits"):
    """Image -> whether it was classified as its label under an attack."""
    suite = next(suite for recipes, suite in made.COHORTS.values() if recipe in recipes)
    index = folder / "evaluations" / dataset / recipe / f"seed{seed}" / next(iter(THREATS)) / f"{suite}.json"
    rows, _ = evaluation(index, "best", attack)
    columns = [rows[name].tolist() for name in ("index", "prediction_adversarial", "label")]
    return {i: prediction == label for i, prediction, label in zip(*columns, strict=True)}


def percent(answers):
    return 100 * sum(answers.values()) / len(answers)


def rows_of(table, group):
    return {row.label: row.cells for row in table.rows if row.group == group}


def test_the_table_of_weights_has_accuracies_gains_and_what_would_have_been_chosen(built, results):
    context, files = built("tables", "weights")
    table = weights.build(context, **files)
    rows = rows_of(table, "handwritten digits, DDPM")
    of_row = {
        "0 (generated images alone)": "ddpm-alone",
        "0.4": "port-ddpm",
        "0.8": "port-ddpm-0-8",
        "1 (real images alone)": "sat",
        "real images alone, matched": "sat-twice",
        "generated images alone, matched": "ddpm-alone-twice",
    }
    assert list(rows) == [*of_row, "chosen on validation images"]
    histories = {}
    for label, recipe in of_row.items():
        for seed in (0, 1):
            frame = pd.read_parquet(results / "runs" / "digits" / recipe / f"seed{seed}" / "history.parquet")
            of_split = frame[frame["split"] == "validation"]
            histories[recipe, seed] = 100 * max(of_split["robust_accuracy"])
        validation, clean, robust, gain, _ = rows[label]
        assert validation.value == pytest.approx((histories[recipe, 0] + histories[recipe, 1]) / 2)
        for cell, attack in ((clean, "clean"), (robust, "pgd20")):
            seeds = [percent(right(results, recipe, seed, attack)) for seed in (0, 1)]
            assert cell.value == pytest.approx(sum(seeds) / 2) and cell.n_seeds == 2 and cell.n_images == made.IMAGES
        if recipe != "sat-twice":
            seeds = [
                percent(right(results, recipe, seed, "pgd20")) - percent(right(results, "sat-twice", seed, "pgd20"))
                for seed in (0, 1)
            ]
            assert gain.value == pytest.approx(sum(seeds) / 2) and gain.low < gain.value < gain.high
    assert rows["real images alone, matched"][3].value is None
    on_curve = [recipe for recipe in of_row.values() if not recipe.endswith("-twice")]
    best = {seed: max(on_curve, key=lambda recipe: histories[recipe, seed]) for seed in (0, 1)}
    assert best == {0: "port-ddpm", 1: "port-ddpm-0-8"}
    for label, recipe in of_row.items():
        assert rows[label][4].text == ", ".join(str(seed) for seed in (0, 1) if best[seed] == recipe)
    choice = rows["chosen on validation images"]
    accuracies = [percent(right(results, best[seed], seed, "pgd20")) for seed in (0, 1)]
    assert choice[2].value == pytest.approx(sum(accuracies) / 2) and choice[4].text == "all"
    assert choice[0].value == pytest.approx(sum(histories[best[seed], seed] for seed in (0, 1)) / 2)


def test_a_curve_whose_seeds_have_no_common_history_has_no_choice(built):
    context, files = built("tables", "weights")
    files["history"] = [path for path in files["history"] if "ddpm-alone" not in path.parts]
    rows = rows_of(weights.build(context, **files), "handwritten digits, DDPM")
    assert "chosen on validation images" not in rows and rows["0 (generated images alone)"][0].value is None


def test_the_table_of_sizes_has_one_row_for_each_number_of_images(built, results):
    context, files = built("tables", "sizes")
    rows = rows_of(sizes.build(context, **files), "handwritten digits, DDPM")
    assert list(rows) == ["4", "8", "real images alone, matched"]
    for label, recipe in (("4", "port-ddpm-4"), ("8", "port-ddpm")):
        ours, theirs = (
            [percent(right(results, name, seed, "pgd20")) for seed in (0, 1)] for name in (recipe, "sat-twice")
        )
        _, robust, gain = rows[label]
        assert robust.value == pytest.approx(sum(ours) / 2)
        assert gain.value == pytest.approx(sum(ours) / 2 - sum(theirs) / 2)
    assert rows["real images alone, matched"][2].value is None


def test_the_figure_of_weights_draws_our_curve_and_the_published_one(built, results):
    context, files = built("figures", "weights-digits")
    drawing = weights_figure.build(context, **files, published=PUBLISHED)
    clean, their_clean, robust, their_robust = drawing.figure.axes
    for axes, attack in ((clean, "clean"), (robust, "pgd20")):
        line, matched = axes.lines
        seeds = [[percent(right(results, name, s, attack)) for s in (0, 1)] for name in ORDER]
        np.testing.assert_allclose(line.get_xdata(), [0, 0.4, 0.8, 1])
        np.testing.assert_allclose(line.get_ydata(), [sum(two) / 2 for two in seeds])
        twice = [percent(right(results, "sat-twice", s, attack)) for s in (0, 1)]
        np.testing.assert_allclose(matched.get_ydata(), sum(twice) / 2)
    # Of the sheet: OpenReview, forum WVX0NNVBBkV
    for axes, values in (
        (their_clean, [60.6, 64.7, 64.5, 62.2, 59.8]),
        (their_robust, [27.6, 27.7, 26.4, 23.7, 21.9]),
    ):
        np.testing.assert_allclose(axes.lines[0].get_xdata(), [0.15, 0.4, 0.5, 0.75, 0.9])
        np.testing.assert_allclose(axes.lines[0].get_ydata(), values)
    means = [sum(two) / 2 for two in seeds]  # under PGD-20
    best = means.index(max(means))
    said = re.search(r"with DDPM \((\S+) \[\S+ \S+\] % at (\S+); minus", drawing.caption)
    assert float(said[2]) == [0, 0.4, 0.8, 1][best] and float(said[1]) == pytest.approx(max(means), abs=0.6)
    near = re.search(r"told apart from the highest, at weights of (.*?) with DDPM", drawing.caption)[1]
    assert said[2] in re.findall(r"[\d.]+", near)
    gain = re.search(r"minus real images alone, matched: (\S+) \[\S+ \S+\] points\)", drawing.caption)
    assert float(gain[1].replace("\u2212", "-")) == pytest.approx(max(means) - sum(twice) / 2, abs=0.6)
    assert "The highest is picked by these numbers, and so rather too high." in drawing.caption


ORDER = ("ddpm-alone", "port-ddpm", "port-ddpm-0-8", "sat")


def test_the_figure_of_sizes_draws_each_number_of_images(built, results):
    context, files = built("figures", "sizes-digits")
    drawing = sizes_figure.build(context, **files)
    panel = drawing.figure.axes[1]
    np.testing.assert_allclose(panel.lines[0].get_xdata(), [4, 8])
    values = [
        [percent(right(results, name, seed, "pgd20")) for seed in (0, 1)] for name in ("port-ddpm-4", "port-ddpm")
    ]
    np.testing.assert_allclose(panel.lines[0].get_ydata(), [sum(two) / 2 for two in values])
    said = re.search(r"changes by (\S+) \[.*\] points with DDPM, from 4 to 8 of each class\.", drawing.caption)
    change = sum(values[1]) / 2 - sum(values[0]) / 2
    assert float(said[1].replace("\u2212", "-")) == pytest.approx(change, abs=0.6)


@pytest.mark.parametrize("module", [weights_figure, sizes_figure])
def test_a_figure_without_a_curve_says_what_is_missing(module, tmp_path):
    frame = pd.DataFrame({"index": [0, 1], "label": 0, "prediction_adversarial": 0, "prediction_natural": 0})
    index = write_evaluations(tmp_path, frame.assign(checkpoint="best", attack="clean"), "sat", suite="selected")
    more = {"published": PUBLISHED} if module is weights_figure else {}
    with pytest.raises(RobustlensError, match=r"no two recipes on digits differ in the .*; add one"):
        module.build(CONTEXT, evaluations=[index], **more)
