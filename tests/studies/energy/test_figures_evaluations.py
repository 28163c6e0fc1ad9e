import math
import re
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest
from figure_results import (
    LOOKS,
    NO_HIGH,
    OTHER_THREAT,
    SAT,
    THREAT,
    context,
    evaluations_of,
    measured,
    write_evaluations,
    write_subsets,
)
from scipy import stats
from synthetic import write_study

from robustlens.analysis.frames import read_evaluations
from robustlens.errors import RobustlensError
from robustlens.report.context import Recipe
from robustlens.report.threats import notes
from studies.energy.figures import attacks, subsets, violins


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades", "mart", "weat-adv")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, seeds=(0, 1), epochs=24, images=40)


def test_attacks_have_a_ridge_for_each_attack_in_a_column_for_each_model(study):
    drawing = attacks.build(context(), evaluations=study.attack_energies)
    panels = drawing.figure.axes
    assert [axes.get_title() for axes in panels] == ["Standard", "SAT", "", ""]
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert names[:2] == ["PGD", "KL-PGD"] and len(names) == 8
    rows = pd.concat(map(evaluations_of, (p for p in study.attack_energies if "/sat/" in p.as_posix())))
    curves = [line for line in panels[1].lines if len(line.get_xdata()) > 2]
    assert [round(line.get_ydata().max()) for line in curves] == list(range(8))  # each stands on its own line
    medians = [line for line in panels[1].lines if len(line.get_xdata()) == 2]
    own = rows[rows["attack"] == "pgd"]
    assert [line.get_xdata()[0] for line in medians[:2]] == pytest.approx(
        [own["marginal_natural"].median(), own["marginal_adversarial"].median()]
    )
    moves = own["marginal_adversarial"] - own["marginal_natural"]
    assert moves.mean() != 0 and " for SAT" in drawing.caption
    assert drawing.caption.startswith("Attacks move mean E(x) by")


def test_the_density_of_a_ridge_is_a_gaussian_kernels_and_never_narrower_than_the_grid():
    grid, values = np.linspace(-6, 6, 1201), np.array([-1.0, 0.0, 0.5, 2.0])
    low, high = np.quantile(values, (0.25, 0.75))
    width = 0.9 * min(values.std(), (high - low) / 1.34) * 4**-0.2
    expected = stats.norm.pdf(grid[:, None], values, width).mean(axis=1)
    assert attacks.density(values, grid) == pytest.approx(expected, abs=2e-3)
    same = attacks.density(np.zeros(5), grid)
    assert same.sum() * 0.01 == pytest.approx(1) and grid[same.argmax()] == pytest.approx(0)
    assert not attacks.density(np.array([50.0]), grid).any()


def test_attacks_need_the_last_checkpoint(study, tmp_path):
    frame = evaluations_of(study.robustness[2]).query("checkpoint == 'best'")
    index = write_evaluations(tmp_path, "mart", 0, frame)
    with pytest.raises(RobustlensError, match="no attacks on the last checkpoint of mart on handwritten digits"):
        attacks.build(context(), evaluations=[index, *study.attack_energies])


def under_two_threats(folder, recipe="sat"):
    """Suite indexes of one run under its own threat and under another one, under which nothing is classified right."""
    rows = pd.DataFrame({"index": range(10), "label": 0, "prediction_adversarial": [0] * 4 + [1] * 6})
    for energy in ("marginal", "joint"):
        rows[f"{energy}_natural"] = np.linspace(-9, -8, 10)
        rows[f"{energy}_adversarial"] = np.linspace(-8, -6, 10)
    frame = pd.concat([rows.assign(attack="pgd20", checkpoint=checkpoint) for checkpoint in ("best", "last")])
    other = frame.assign(marginal_adversarial=50.0, prediction_adversarial=1)
    return [
        write_evaluations(folder, recipe, 0, other, threat=OTHER_THREAT),
        write_evaluations(folder, recipe, 0, frame, threat=THREAT),
    ]


def test_of_several_threats_a_figure_shows_the_one_of_the_training(tmp_path):
    other, own = under_two_threats(tmp_path)
    drawing = attacks.build(context(), evaluations=[other, own])
    assert "10 images and 1 seed together" in drawing.caption
    assert drawing.caption == attacks.build(context(), evaluations=[own]).caption
    assert max(axes.get_xlim()[1] for axes in drawing.figure.axes) < 0
    drawing = violins.build(context(), evaluations=[other, own])
    assert printed(drawing.figure.axes[0]) == ["40.0"]
    assert "Threats differ" not in drawing.caption
    trades, _ = under_two_threats(tmp_path, "trades")
    assert "Threats differ" in violins.build(context(), evaluations=[own, trades]).caption


def test_a_figure_says_that_it_shows_another_threat_than_that_of_the_training(tmp_path):
    other, own = under_two_threats(tmp_path)
    for builder in (attacks, violins):
        drawing = builder.build(context(), evaluations=[other])
        assert any(note in drawing.caption for note in notes(read_evaluations([other]), context()))
        assert drawing.caption != builder.build(context(), evaluations=[own]).caption


def by_hand_accuracy(paths, attack):
    right = []
    for path in paths:
        rows = evaluations_of(path).query("checkpoint == 'best' and attack == @attack")
        right.append(sum(rows["prediction_adversarial"] == rows["label"]) / len(rows))
    return 100 * sum(right) / len(right)


def printed(axes):
    """The accuracies beside the classifiers."""
    return [text.get_text() for text in axes.texts if text.get_text() != "accuracy (%)"]


def half_violins(axes):
    """(side, place, low, high) of each half violin of a panel; "left" is above its line."""
    found = []
    for body in axes.collections:
        if type(body).__name__ != "FillBetweenPolyCollection":
            continue
        y, x = body.get_paths()[0].vertices.T
        flat = x.min() if np.isclose(x.min(), round(x.min())) else x.max()
        found.append(("left" if x.min() < flat - 0.1 else "right", round(flat), y.min(), y.max()))
    return found


@pytest.fixture
def far_off(study, tmp_path):
    """The evaluations of the study, but attacks move the energies of standard training ten times as far."""
    paths = []
    for seed, path in enumerate(study.robustness[:2]):
        frame = evaluations_of(path)
        for energy in ("marginal", "joint"):
            frame[f"{energy}_adversarial"] += 9 * (frame[f"{energy}_adversarial"] - frame[f"{energy}_natural"])
        paths.append(write_evaluations(tmp_path / "far", "standard", seed, frame))
    return [*paths, *study.robustness[2:]]


def test_violins_stand_in_the_order_of_robust_accuracy_and_show_the_middle_of_the_values(study, far_off):
    drawing = violins.build(context(), evaluations=far_off)
    own, shared = drawing.figure.axes
    files = {
        recipe: [p for p in study.robustness if f"/{recipe}/" in p.as_posix()]
        for recipe in ("sat", "trades", "mart", "weat-adv")
    }
    accuracy = {recipe: by_hand_accuracy(paths, "autoattack") for recipe, paths in files.items()}
    order = sorted(accuracy, key=accuracy.get)
    assert [label.get_text() for label in own.get_yticklabels()] == ["Standard"]
    assert [label.get_text() for label in shared.get_yticklabels()] == [LOOKS[recipe][0] for recipe in order]
    assert printed(shared) == [f"{accuracy[recipe]:.1f}" for recipe in order]
    assert "under AutoAttack, the mean over the seeds, which stands beside each." in drawing.caption
    assert "because they are off the scale of the others: Standard." in drawing.caption
    drawn = {(side, place): ends for side, place, *ends in half_violins(shared)}
    assert len(drawn) == 8
    for place, recipe in enumerate(order):
        rows = pd.concat(map(evaluations_of, files[recipe])).query("checkpoint == 'best' and attack == 'pgd20'")
        for side, energy in (("left", "marginal"), ("right", "joint")):
            values = sorted(rows[f"{energy}_natural"] - rows[f"{energy}_adversarial"])
            low, high = drawn[side, place]
            inside = [v for v in values if low - 1e-9 <= v <= high + 1e-9]
            assert inside[0] == pytest.approx(low) and inside[-1] == pytest.approx(high)
            assert len(values) - len(inside) == 2  # of 80 values, 1 % is less than one at each end
    assert [line.get_segments()[0][0][0] for line in own.collections if hasattr(line, "get_segments")]


def test_the_finding_of_violins_compares_classifiers_with_the_most_seeds(study, tmp_path):
    """One that is never fooled is drawn, and with one seed it is not called the most robust."""
    frame = evaluations_of(study.robustness[2])
    lucky = write_evaluations(tmp_path, "mail-at", 0, frame.assign(prediction_adversarial=frame["label"]))
    drawing = violins.build(context(), evaluations=[*study.robustness, lucky])
    shown = [label.get_text() for axes in drawing.figure.axes for label in axes.get_yticklabels()]
    assert "MAIL-AT" in shown
    named = re.search(r" nat for (\S+) \(the highest mean robust accuracy\)", drawing.caption)[1]
    assert named in set(shown) - {"MAIL-AT"}


def test_violins_without_autoattack_everywhere_go_by_pgd_and_say_so(study, tmp_path):
    frame = evaluations_of(study.robustness[4]).query("attack in ('clean', 'pgd20')")
    brief = write_evaluations(tmp_path / "brief", "gairat", 0, frame, suite="brief")
    drawing = violins.build(context(), evaluations=[*study.robustness, brief])
    assert "under PGD-20 (not every classifier" in drawing.caption
    beside = [text for axes in drawing.figure.axes for text in printed(axes)]
    assert f"{by_hand_accuracy([brief], 'pgd20'):.1f}" in beside
    clean = write_evaluations(tmp_path / "clean", "gairat", 0, frame[frame["attack"] == "clean"], suite="brief")
    with pytest.raises(RobustlensError, match="pgd20"):
        violins.build(context(), evaluations=[clean])


def test_violins_are_ordered_by_the_means_that_tables_have(tmp_path):
    folders = (tmp_path / str(number) for number in count())

    def run(recipe, seed, right, checkpoint="best", attacks=("pgd20",)):
        rows = pd.DataFrame({"index": range(10), "label": 0, "marginal_natural": np.linspace(-9, -8, 10)})
        rows["joint_natural"] = rows["marginal_adversarial"] = rows["marginal_natural"] + np.linspace(0.1, 0.2, 10)
        rows["joint_adversarial"] = rows["marginal_natural"] + np.linspace(0.5, 1.5, 10)
        rows["prediction_adversarial"] = [int(i >= right) for i in range(10)]
        frame = pd.concat([rows.assign(attack=attack, checkpoint=checkpoint) for attack in attacks])
        return write_evaluations(next(folders), recipe, seed, frame)

    def beside(files):
        drawing = violins.build(context(), evaluations=files)
        axes = drawing.figure.axes[-1]
        labels = [label.get_text() for label in axes.get_yticklabels()]
        return list(zip(labels, printed(axes), strict=True)), drawing.caption

    files = [run("sat", 0, 4), run("sat", 1, 9), run("sat", 2, 8), run("trades", 0, 5), run("trades", 2, 8)]
    files += [run("mart", 2, 9), run("mart", 0, 6), run("wu2020", 7, 3, "published")]
    found, text = beside(files)
    assert found == [("wu2020", "30.0"), ("TRADES", "65.0"), ("SAT", "70.0"), ("MART", "75.0")]
    assert (
        "under PGD-20 (not every classifier was tested with AutoAttack), the mean over the seeds, which stands beside "
        "each." in text
    )
    both = ("pgd20", "autoattack")
    found, text = beside([run("sat", 0, 4, attacks=both), run("sat", 1, 9), run("mart", 0, 6, attacks=both)])
    assert found == [("MART", "60.0"), ("SAT", "65.0")] and "under PGD-20 (not every" in text  # one seed lacks it
    found, text = beside([run("wu2020", 7, 3, "published", both)])
    assert found == [("wu2020", "30.0")] and "under AutoAttack, the mean" in text


def test_violins_of_many_classifiers_share_a_panel_that_fits_on_a_page(study, far_off, tmp_path):
    frame = evaluations_of(study.robustness[4])
    paths = [write_evaluations(tmp_path / "many", f"recipe{number}", 0, frame) for number in range(22)]
    figure = violins.build(context(), evaluations=[*far_off[:2], *paths]).figure
    assert [len(axes.get_yticks()) for axes in figure.axes] == [1, 22]
    assert figure.get_size_inches()[1] <= 8.2


def shown(figure):
    """{measure: its points} of the panels of differences, and the labels of their rows."""
    left, right = figure.axes[-2:]
    points = {part.get_label(): part for axes in (left, right) for part in axes.containers}
    return points, [label.get_text() for label in left.get_yticklabels()]


def test_subsets_shows_paired_differences_with_their_intervals(tmp_path):
    runs = write_subsets(tmp_path, {"sat": SAT, "sat-no-high": NO_HIGH})
    drawing = subsets.build(context(), energies=[measured(tmp_path)], evaluations=runs)
    found, rows = shown(drawing.figure)
    differences = {  # by hand, image by image
        "clean": [0] * 7 + [-1, -1, 0],
        "under PGD-20": [-1, 0, 0, 0, -1, -1, 0, 0, 0, 0],
        "PGD-20, best minus last": [0, 1, 1, 1, 0, -1, 0, 0, 0, 0],
    }
    assert set(found) == set(differences) and rows == ["without high-energy images"]
    for label, drawn in found.items():
        values = 100 * np.array(differences[label])
        mean, half = values.mean(), stats.t.ppf(0.975, 9) * values.std(ddof=1) / math.sqrt(10)
        assert drawn.lines[0].get_xdata() == pytest.approx([mean])
        (segment,) = drawn.lines[2][0].get_segments()
        assert segment[:, 0] == pytest.approx([mean - half, mean + half])
    assert "PGD-20, best minus last" in [part.get_label() for part in drawing.figure.axes[-1].containers]  # of its own
    assert "minus “SAT”" in drawing.caption and "images only (one seed)" in drawing.caption
    assert drawing.caption.startswith(
        "Compared with “SAT”, by intervals that exclude 0, accuracy under PGD-20 differs for 0 of 1 trainings and "
        "overfitting differs for 0 of 1 trainings. "
    )


def test_subsets_are_sorted_and_compared_with_as_many_random_images_left_out(tmp_path):
    runs = write_subsets(tmp_path, {"sat-no-high": NO_HIGH, "sat": SAT, "sat-no-random": NO_HIGH})
    known = context().recipes
    at_random = replace(known["sat-no-high"], label="without random images", leaves_out="random")
    told = context(recipes=known | {"sat-no-random": at_random})
    drawing = subsets.build(told, energies=[measured(tmp_path)], evaluations=runs)
    found, rows = shown(drawing.figure)
    assert rows == ["SAT, all images", "without high-energy images"]  # the most robust first
    assert found["clean"].lines[0].get_xdata() == pytest.approx([20, 0])  # by hand: SAT has two more images right
    assert "minus “without random images”, paired by" in drawing.caption


def test_subsets_histogram_holds_every_image_and_the_papers_thresholds(tmp_path):
    runs = write_subsets(tmp_path, {"sat": SAT, "sat-no-high": NO_HIGH})
    above = subsets.build(context(), energies=[measured(tmp_path)], evaluations=runs).figure.axes[0]
    heights = [sum(patch.get_height() for patch in container) for container in above.containers]
    assert heights == pytest.approx([60, 40])
    for energy, kind in ((-12.0, 0), (-9.1, 1), (-2.0, 1)):
        held = [patch for patch in above.containers[kind] if patch.get_height() > 0]
        ends = [(patch.get_x() - 1e-6, patch.get_x() + patch.get_width() + 1e-6) for patch in held]
        assert any(low <= energy <= high for low, high in ends)
    assert sorted(line.get_xdata()[0] for line in above.lines) == [-11.47, -3.87]


def test_subsets_draws_a_histogram_for_each_classifier_that_measures(tmp_path):
    runs = write_subsets(tmp_path, {"sat": SAT, "sat-no-high": NO_HIGH})
    energies = [measured(tmp_path, "sat"), measured(tmp_path, "sat-early", 20.0)]
    sat, early, *_ = subsets.build(context(), energies=energies, evaluations=runs).figure.axes
    assert [axes.get_title() for axes in (sat, early)] == ["SAT", "SAT, a few epochs"]
    for axes, low, high in ((sat, -12, -2), (early, 8, 18)):
        patches = [patch for container in axes.containers for patch in container]
        assert min(patch.get_x() for patch in patches) == pytest.approx(low)
        assert max(patch.get_x() + patch.get_width() for patch in patches) == pytest.approx(high)
        assert sum(patch.get_height() for patch in patches) == pytest.approx(100)
    assert sat.get_xlim() == early.get_xlim()


def test_subsets_says_which_runs_are_missing(tmp_path):
    energies = [measured(tmp_path)]
    with pytest.raises(RobustlensError, match="leave_out"):
        subsets.build(context(), energies=energies, evaluations=write_subsets(tmp_path, {"sat": SAT}))
    with pytest.raises(RobustlensError, match="sat-no-high and sat have no seed"):
        subsets.build(context(), energies=energies, evaluations=write_subsets(tmp_path, {"sat-no-high": NO_HIGH}))
    only_best = {key: value for key, value in NO_HIGH.items() if key[1] == "best"}
    with pytest.raises(RobustlensError, match="best and last"):
        runs = write_subsets(tmp_path, {"sat": SAT, "sat-no-high": only_best})
        subsets.build(context(), energies=energies, evaluations=runs)


def test_subsets_goes_by_what_a_recipe_changes_and_not_by_its_name(tmp_path):
    plain = context()
    recipes = {
        "arat": Recipe("AR-AT", threats={"digits": THREAT}),
        "arat-no-predictor": Recipe("AR-AT without predictor", changes="arat", threats={"digits": THREAT}),
        "arat-few": Recipe("AR-AT, few images", changes="arat", leaves_out="high-energy", threats={"digits": THREAT}),
        "sat-early": plain.recipes["sat-early"],
    }
    runs = write_subsets(tmp_path, {"arat": SAT, "arat-no-predictor": NO_HIGH, "arat-few": NO_HIGH})
    drawing = subsets.build(context(recipes=recipes), energies=[measured(tmp_path)], evaluations=runs)
    assert shown(drawing.figure)[1] == ["AR-AT, few images"]
    assert "minus “AR-AT”, paired by" in drawing.caption
