"""What the figures of this study draw."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from attacked import context, right, rows, write
from matplotlib.text import Text

from robustlens.errors import RobustlensError
from robustlens.report.cells import number
from robustlens.report.context import Recipe
from robustlens.report.figure import save
from studies.classwise.drops import drop_slope_interval
from studies.classwise.figures import class_accuracy, confusion, consistency, epochs, stronger_attacks

RATES = [0.6, 0.2, 0.9]
NAMES = ["ant", "b$e^e", "cat"]


def names_of(folder, names=NAMES, superclasses=None):
    path = folder / "digits.json"
    path.write_text(json.dumps({"names": names, "superclasses": superclasses or {}}))
    return [path]


def texts(drawing):
    return [text.get_text() for text in drawing.figure.findobj(Text)]


def matrices(drawing):
    """The axes of the confusion matrices."""
    return [axes for axes in drawing.figure.findobj(lambda a: hasattr(a, "get_images")) if axes.get_images()]


def test_bars_are_ordered_by_robustness(tmp_path):
    files = write(tmp_path, [right("sat", 0, RATES), right("sat", 0, [1.0, 0.8, 0.9], attack="clean")])
    drawing = class_accuracy.build(context("class-accuracy"), evaluations=files, names=names_of(tmp_path))
    (axes,) = drawing.figure.axes
    heights = [bar.get_height() for container in axes.containers[::2] for bar in container]
    assert heights == pytest.approx([80, 100, 90, 20, 60, 90])  # without attack, then under PGD-20
    assert [label.get_text() for label in axes.get_xticklabels()] == [r"b\$e^e", "ant", "cat"]
    said = re.match(
        r"Under PGD-20 the accuracy of a class, on average over the recipes, is between "
        r"20 \[\S+ \S+\] % \(class b\$e\^e\) and 90 \[\S+ \S+\] % \(class cat\)",
        drawing.caption,
    )
    assert said and "1 of 1 recipes are the least accurate on class b$e^e." in drawing.caption
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")


def test_bars_are_means_over_the_seeds_of_the_images_that_all_of_them_have(tmp_path):
    """The second seed lacks five images of class 0, all of which the first one has right."""
    second = right("sat", 1, [0.8, 0.4, 0.7])
    files = write(tmp_path, [right("sat", 0, RATES), second[second["index"] >= 5]])
    drawing = class_accuracy.build(context("class-accuracy"), evaluations=files, names=names_of(tmp_path))
    heights = [bar.get_height() for container in drawing.figure.axes[0].containers[::2] for bar in container]
    assert heights == pytest.approx([(20 + 40) / 2, (20 + 60) / 2, (90 + 70) / 2])  # classes 1, 0, 2


def test_of_very_many_classes_points_stand_for_bars(tmp_path):
    count = class_accuracy.BARS + 1
    rates = [c % 10 / 10 for c in range(count)]
    files = write(tmp_path, [right("sat", 0, rates), right("sat", 0, [1.0] * count, attack="clean")])
    named = names_of(tmp_path, [f"n{c}" for c in range(count)])
    drawing = class_accuracy.build(context("class-accuracy"), evaluations=files, names=named)
    (axes,) = drawing.figure.axes
    clean, robust = (line.get_ydata() for line in axes.lines)
    assert not axes.containers and (clean == 100).all()
    assert robust == pytest.approx(sorted(100 * rate for rate in rates))
    assert drawing.caption.count("the band has the intervals") == 1


def test_a_matrix_shows_errors_in_colour_and_robust_accuracy_as_a_number(tmp_path):
    labels, predictions = [0] * 4 + [1] * 4 + [2] * 4, [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 0, 2]
    few = rows(labels[::4], [1, 1, 2], attack="autoattack")
    files = write(tmp_path, [rows(labels, predictions), few, rows(labels, labels, attack="clean")])
    named = names_of(tmp_path, superclasses={"one": [2, 0], "two": [1]})
    drawing = confusion.build(context("confusion"), evaluations=files, names=named)
    classes, stronger, groups, stronger_groups = matrices(drawing)
    shown = np.ma.filled(classes.get_images()[0].get_array().astype(float), np.nan)
    # In the order of the superclasses: cat, ant, bee.
    assert shown == pytest.approx(np.array([[np.nan, 25, 0], [0, np.nan, 75], [25, 0, np.nan]]), nan_ok=True)
    assert [text.get_text() for text in classes.texts] == ["75", "25", "25", "75", "25", "75"]
    assert [text.get_text() for text in groups.texts] == ["62", "38", "25", "75"]  # 5 and 3 of 8
    assert [text.get_text() for text in stronger.texts] == ["100", "0", "100", "100"]
    assert [text.get_text() for text in stronger_groups.texts] == ["50", "50", "100"]
    assert [axes.get_title() for axes in (classes, stronger)] == ["PGD-20, 12 images", "AutoAttack, 3 images"]
    assert [axes.get_images()[0].get_clim() for axes in (classes, stronger)] == [(0, 100)] * 2
    finding = (
        "The largest error of SAT, picked as the largest and so rather too high: 75 % of class ant are taken for "
        "b$e^e under PGD-20 and 100 % of class ant are taken for b$e^e under AutoAttack."
    )
    assert drawing.caption.startswith(finding)
    assert "the first of its four attacks" in drawing.caption and drawing.title.endswith(": SAT")
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")


def test_classes_without_superclasses_stay_in_order_beside_their_clusters(tmp_path):
    confused = rows([0, 1, 2, 3] * 2, [0, 3, 2, 1, 0, 1, 2, 3])
    drawing = confusion.build(
        context("confusion"), evaluations=write(tmp_path, [confused]), names=names_of(tmp_path, list("abcd"))
    )
    classes, groups = matrices(drawing)
    assert [label.get_text() for label in classes.get_yticklabels()] == ["a", "b", "c", "d"] and not classes.lines
    assert [label.get_text() for label in groups.get_yticklabels()] == ["a", "b, d", "c"]
    assert "clusters of the mean of these matrices (ours): a; b, d; c." in drawing.caption
    assert "AutoAttack" not in drawing.caption


def test_of_many_classes_only_groups_are_shown(tmp_path):
    count = confusion.MOST + 2
    files = write(tmp_path, [right("sat", 0, [0.5] * count)])
    halves = {"low": list(range(16)), "high": list(range(16, count))}
    named = names_of(tmp_path, [f"n{c}" for c in range(count)], halves)
    drawing = confusion.build(context("confusion"), evaluations=files, names=named)
    (axes,) = matrices(drawing)
    # Half of class 15 goes to class 16, of the last class to class 0: 5 of 160 images each way.
    assert np.nan_to_num(axes.get_images()[0].get_array().filled(0)) == pytest.approx(
        np.array([[0, 3.125], [3.125, 0]])
    )


def test_the_heat_map_shows_rank_correlations(tmp_path):
    frames = [
        right("sat", 0, RATES),
        right("trades", 0, RATES[::-1]),
        right("sat", 0, [0.5, 0.1, 0.2], attack="autoattack"),
    ]
    frames.append(right("sat", 0, [0.1, 0.2, 0.3], attack="clean"))  # no attack
    drawing = consistency.build(context("consistency"), evaluations=write(tmp_path, frames))
    attacks, defences = drawing.figure.axes[:2]
    assert attacks.get_images()[0].get_array()[0, 1] == pytest.approx(1 - 6 * 2 / (3 * 8))  # ranks 2 1 3 and 3 1 2
    assert [label.get_text() for label in defences.get_xticklabels()] == ["SAT", "TRADES"]
    shown = defences.get_images()[0].get_array().filled(np.nan)
    assert shown == pytest.approx(np.array([[1, 0.5], [0.5, 1]]))  # the same ranks
    assert "PGD-20" not in attacks.get_title() and "clean" not in drawing.caption.partition(".")[0]
    assert drawing.caption.startswith(
        "The smallest rank correlation of the robustness of the classes is 0.50 between attacks (PGD-20; AutoAttack) "
        "and 0.50 between defences under PGD-20 (SAT; TRADES)."
    )


def test_lines_are_means_over_the_seeds(tmp_path):
    files = []
    for seed, robust in enumerate(([[2, 4], [6, 4]], [[4, 4], [4, 2]])):
        files.append(tmp_path / "digits" / "sat" / f"seed{seed}" / "history.parquet")
        files[-1].parent.mkdir(parents=True)
        columns = {"epoch": [1, 2], "split": "validation", "class_total": [[10, 10]] * 2, "class_robust": robust}
        pd.DataFrame(columns).to_parquet(files[-1])
    drawing = epochs.build(context("epochs"), history=files)
    accuracy, gap, variance = ([line.get_ydata().tolist() for line in axes.lines] for axes in drawing.figure.axes)
    # The average of the classes, 30 and 50 and 40 and 30, then the worst class.
    assert accuracy == [pytest.approx([35, 40]), pytest.approx([30, 30])]
    assert gap == [pytest.approx([10, 20])] and variance == [pytest.approx([0.005, 0.01], abs=1e-12)]
    assert [text.get_text() for axes in drawing.figure.axes for text in axes.texts] == ["SAT"] * 3
    assert "10 images per class" in drawing.caption
    # 10 points behind in both epochs of the first seed, 0 and 10 of the second: 7.5, with t(1) = 12.7
    assert "the average of all is 8 [\u221224, 39] points (SAT)." in drawing.caption


def test_drops_are_drawn_against_robustness_with_the_slope_of_the_table(tmp_path):
    """Of AutoAttack's images, half of the others, two recipes of two seeds."""
    strong = {"sat": ([0.4, 0.2, 0.8], [0.6, 0.0, 0.8]), "trades": ([0.2, 0.2, 0.6], [0.4, 0.4, 0.6])}
    frames = []
    for recipe, of_seeds in strong.items():
        for seed, rates in enumerate(of_seeds):
            frames.append(right(recipe, seed, RATES, images=20))
            frames.append(right(recipe, seed, rates, images=20, attack="autoattack"))
            frames.append(right(recipe, seed, [1.0] * 3, images=20, attack="fgsm"))
    frames = [frame[(frame["attack"] != "autoattack") | (frame["index"] % 2 == 0)] for frame in frames]
    files = write(tmp_path, frames)
    drawing = stronger_attacks.build(context("stronger-attacks"), evaluations=files)
    (axes,) = (axes for axes in drawing.figure.axes if axes.axison)
    _, sat, trades, line = axes.lines
    # Of the even images of 20 as many shares are right: the first ones of each class are.
    assert sat.get_xydata() == pytest.approx(np.array([[60, 10], [20, 10], [90, 10]]))
    assert trades.get_xydata() == pytest.approx(np.array([[60, 30], [20, -10], [90, 30]]))
    pairs = [
        pd.concat(f for f in frames if (f["recipe"].iloc[0], f["attack"].iloc[0]) == (recipe, attack))
        for recipe in strong
        for attack in ("pgd20", "autoattack")
    ]
    interval = drop_slope_interval(pairs)
    (x0, y0), (x1, y1) = line.get_xydata()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(interval.estimate, rel=1e-9)
    assert (y0 + y1) / 2 - interval.estimate * (x0 + x1) / 2 == pytest.approx(80 / 6 - interval.estimate * 170 / 3)
    assert axes.get_title(loc="left").startswith("AutoAttack\nslope ")
    assert f"[{number(interval.low, 2)}, {number(interval.high, 2)}]" in axes.get_title(loc="left")
    said = (
        "Less robust classes lose" if interval.low > 0 or interval.high < 0 else "It stays open which classes lose more"
    )
    assert drawing.caption.startswith(said)
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")


def test_without_a_stronger_attack_there_is_nothing_to_draw(tmp_path):
    files = write(tmp_path, [right("sat", 0, RATES), right("sat", 0, RATES, attack="fgsm")])
    with pytest.raises(RobustlensError, match="no attack beside clean, fgsm, pgd20 on digits"):
        stronger_attacks.build(context("stronger-attacks"), evaluations=files)


@pytest.mark.parametrize("name", ["class-accuracy", "confusion", "consistency", "epochs"])
def test_a_dollar_sign_in_a_label_is_drawn_as_it_is(tmp_path, name):
    recipes = {recipe: Recipe(f"{recipe} $x^^$") for recipe in ("sat", "trades")}
    told = context(name, recipes=recipes)
    if name == "epochs":
        path = tmp_path / "digits" / "sat" / "seed0" / "history.parquet"
        path.parent.mkdir(parents=True)
        columns = {"epoch": [1], "split": "validation", "class_total": [[9, 9]], "class_robust": [[3, 1]]}
        pd.DataFrame(columns).to_parquet(path)
        drawing = epochs.build(told, history=[path])
    else:
        shown = ["sat"] if name == "confusion" else recipes
        files = write(tmp_path, [right(recipe, 0, RATES) for recipe in shown])
        inputs = {} if name == "consistency" else {"names": names_of(tmp_path)}
        module = {"class-accuracy": class_accuracy, "confusion": confusion, "consistency": consistency}[name]
        drawing = module.build(told, evaluations=files, **inputs)
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")
    assert any(r"sat \$x^^\$" in text for text in texts(drawing))
