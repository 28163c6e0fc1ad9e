import math

import numpy as np
import pandas as pd
import pytest
from figure_results import context, lines, write, write_bent_histories
from matplotlib.backends.backend_agg import FigureCanvasAgg
from synthetic import write_study

from robustlens.errors import RobustlensError
from robustlens.report.context import Recipe
from studies.energy.figures import correlation, delta, phases, weight


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades", "mart", "weat-adv")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, seeds=(0, 1), epochs=24, images=40)


def test_phases_shows_the_mean_over_seeds_and_the_bends(study):
    drawing = phases.build(context(), history=study.history)
    error, energy = drawing.figure.axes
    histories = [pd.read_parquet(path) for path in study.history[2:4]]
    expected = []
    for epoch in range(1, 25):
        rows = [h[(h["epoch"] == epoch) & (h["split"] == "validation")] for h in histories]
        expected.append(100 - 50 * sum(r["robust_accuracy"].item() for r in rows))
    assert lines(error)[0].get_ydata() == pytest.approx(expected)
    assert len(lines(error)) == len(lines(energy)) == 2
    borders = [line.get_xdata()[0] for line in energy.lines if set(line.get_ydata()) == {0, 1}]
    assert borders == pytest.approx([4, 17], abs=1)  # the made-up curve bends at 0.15 and 0.7 of 24 epochs
    assert f"epochs {borders[0]:g} and {borders[1]:g}" in drawing.caption


def test_phases_of_a_short_run_says_that_there_are_none(tmp_path):
    study = write_study(tmp_path, recipes=("sat",), seeds=(0,), epochs=6, images=20)
    drawing = phases.build(context(), history=study.history)
    assert "too few epochs" in drawing.caption and "1 seed." in drawing.caption


def test_phases_without_sat_says_what_to_do(study):
    with pytest.raises(RobustlensError, match="recipe sat"):
        phases.build(context(), history=[path for path in study.history if "trades" in str(path)])


def test_phases_shades_the_range_of_the_borders_of_single_seeds(tmp_path):
    bends = [(5, 15), (7, 14), (6, 16)]
    drawing = phases.build(context(), history=write_bent_histories(tmp_path, "sat", bends))
    for axes in drawing.figure.axes:
        shaded = [patch for patch in axes.patches if patch.get_y() == 0 and patch.get_height() == 1]
        assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in shaded] == [(5, 7), (14, 16)]
    assert "5 to 7 and 14 to 16" in drawing.caption


def test_phases_of_seeds_that_agree_shades_nothing(tmp_path):
    drawing = phases.build(context(), history=write_bent_histories(tmp_path, "sat", [(5, 15), (5, 15)]))
    assert not drawing.figure.axes[0].patches
    assert "epochs 5 and 15" in drawing.caption and "alone, 5 and 15." in drawing.caption
    one = phases.build(context(), history=write_bent_histories(tmp_path, "sat", [(5, 15)]))
    assert "One seed" in one.caption and "Shaded" not in one.caption


def test_a_figure_shows_one_dataset(study, tmp_path):
    other = write_study(tmp_path, "svhn", ("sat",), (0,), epochs=12, images=20)
    with pytest.raises(RobustlensError, match="digits, svhn"):
        delta.build(context(), history=[*study.history, *other.history])


def test_delta_gives_a_recipe_off_the_scale_its_own_axis(study):
    figure = delta.build(context(), history=study.history).figure
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert "Standard (own axis)" in panels and {"TRADES", "MART", "WEAT-adv"} <= set(panels)
    assert panels["TRADES"].get_ylim() == panels["MART"].get_ylim() == panels["WEAT-adv"].get_ylim()
    low, high = panels["MART"].get_ylim()
    for name in ("TRADES", "MART", "WEAT-adv"):
        for line in lines(panels[name]):
            assert low <= line.get_ydata().min() and line.get_ydata().max() <= high
    assert [len(lines(axes)) for axes in panels.values()] == [2] * 5


def test_weight_is_the_papers_formula():
    energies = np.array([0.0, -1.0, 3.87, -11.47, -200.0])
    expected = [1 / math.log(1 + math.exp(abs(e))) for e in energies]
    assert weight.weight(energies) == pytest.approx(expected)
    assert weight.weight(np.array([-1e4]))[0] == pytest.approx(1e-4)


def test_weight_figure_says_the_mean_weight_of_the_last_tracked_epoch(study):
    files = [path for path in study.energies if "weat-adv" in str(path)]
    drawing = weight.build(context(), energies=files)
    weights = []
    for path in files:
        frame = pd.read_parquet(path)
        last = frame[(frame["epoch"] == 24) & (frame["split"] == "train")]
        weights += [1 / math.log(1 + math.exp(abs(e))) for e in last["marginal_natural"]]
    curve = drawing.figure.axes[0]
    assert [text.get_text() for text in curve.texts] == [f"mean {sum(weights) / len(weights):.3f}"]
    assert "epoch 24" in drawing.caption


def test_delta_of_all_recipes_fits_on_a_page_and_its_titles_stay_apart(study, tmp_path):
    frame, paths = pd.read_parquet(study.history[2]), []
    labels = [f"WEAT-adv, variant {number} of its weights" for number in range(18)]
    for number in range(18):
        paths.append(write(tmp_path / "runs" / "digits" / f"recipe{number}" / "seed0" / "history.parquet", frame))
    recipes = {f"recipe{number}": Recipe(label) for number, label in enumerate(labels)}
    figure = delta.build(context(recipes=recipes), history=paths).figure
    assert figure.get_size_inches()[1] <= 9.5
    FigureCanvasAgg(figure).draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_visible()]
    assert len(boxes) == 18
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def by_hand_points(paths):
    """{(recipe, seed): (overfitting gap in points, |mean ΔE(x)|)} of the last epoch."""
    found = {}
    for path in paths:
        rows = {row.split: row for row in pd.read_parquet(path).itertuples() if row.epoch == 24}
        gap = 100 * (rows["train"].robust_accuracy - rows["validation"].robust_accuracy)
        found[path.parts[-3], path.parts[-2]] = gap, abs(rows["train"].delta_marginal)
    return found


def pearson(pairs):
    (mx, my), n = (sum(x for x, _ in pairs) / len(pairs), sum(y for _, y in pairs) / len(pairs)), len(pairs)
    xy, xx, yy = (
        sum(f(x - mx, y - my) for x, y in pairs) for f in (lambda a, b: a * b, lambda a, b: a * a, lambda a, b: b * b)
    )
    r = xy / math.sqrt(xx * yy)
    low, high = (math.tanh(math.atanh(r) + sign * 1.959964 / math.sqrt(n - 3)) for sign in (-1, 1))
    return [f"{value:.2f}".replace("-", "\u2212") for value in (r, low, high)]


def test_correlation_has_one_point_per_robust_run_and_says_pearsons_r(study):
    drawing = correlation.build(context(), history=study.history)
    expected = by_hand_points(path for path in study.history if "standard" not in str(path))
    drawn = [tuple(point) for part in drawing.figure.axes[0].collections for point in np.asarray(part.get_offsets())]
    assert np.array(sorted(drawn)) == pytest.approx(np.array(sorted(expected.values())))
    labels = [part.get_label() for part in drawing.figure.axes[0].collections]
    assert labels == ["SAT", "TRADES", "MART", "WEAT-adv"]
    r, low, high = pearson(list(expected.values()))
    assert f"over 8 runs is {r} (95 % interval {low} to {high})" in drawing.caption
    recipes = dict.fromkeys(recipe for recipe, _ in expected)
    means = [np.mean([expected[recipe, f"seed{k}"] for k in (0, 1)], axis=0) for recipe in recipes]
    r, low, high = pearson(means)
    assert f"over 4 means of recipes that vary no other is {r} (95 % interval {low} to {high})" in drawing.caption
    assert "not independent" in drawing.caption


def test_correlation_of_few_runs_is_not_given_and_without_robust_runs_there_is_no_figure(study):
    few = correlation.build(context(), history=study.history[2:4])
    assert "over 2 runs is not given" in few.caption
    with pytest.raises(RobustlensError, match="recipes other than standard"):
        correlation.build(context(), history=study.history[:2])
