import math
import re

import numpy as np
import pandas as pd
import pytest
from figure_results import LOOKS, bent, context, lines, write, write_bent_histories
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats
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
    assert "too few epochs" in drawing.caption and "1 seed;" in drawing.caption
    assert "nat, one seed" in drawing.caption


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
        delta.build(context(), main=[*study.history, *other.history], further=[])


def test_delta_has_a_panel_for_each_main_recipe_and_one_for_all_others(study):
    drawing = delta.build(context(), main=study.history[:6], further=study.history[6:])
    panels = {axes.get_title(): axes for axes in drawing.figure.axes if axes.get_visible()}
    assert list(panels) == ["Standard", "SAT", "TRADES", ""]
    assert len({axes.get_ylim() for name, axes in panels.items() if name}) == 1
    for axes in panels.values():
        low, high = axes.get_ylim()
        for line in lines(axes):
            assert low <= line.get_ydata().min() and line.get_ydata().max() <= high
    assert [len(lines(axes)) for axes in panels.values()] == [5, 5, 5, 2]  # in each, all main recipes in grey, too
    assert [text.get_text() for text in panels[""].texts] == ["MART", "WEAT-adv"]
    alone = delta.build(context(), main=study.history[:6], further=[])
    assert [axes.get_title() for axes in alone.figure.axes if axes.get_visible()] == ["Standard", "SAT", "TRADES"]
    assert "Below" in drawing.caption and "Below" not in alone.caption


def test_delta_says_the_smallest_and_the_largest_gap_that_a_recipe_ends_with(study):
    gaps = {}
    for path in study.history:
        last = pd.read_parquet(path).query("epoch == 24 and split == 'train'")
        gaps.setdefault(path.parts[-3], []).append(abs(last["delta_marginal"].item()))
    order = sorted(gaps, key=lambda recipe: sum(gaps[recipe]))
    caption = delta.build(context(), main=study.history, further=[]).caption
    for recipe in (order[0], order[-1]):
        mean, half = np.mean(gaps[recipe]), stats.t.ppf(0.975, 1) * np.std(gaps[recipe], ddof=1) / 2**0.5
        said = re.search(rf"([\d.]+) \[(\S+), (\S+)\] nat \({LOOKS[recipe][0]}\)", caption)
        numbers = [float(number.replace("\u2212", "-")) for number in said.groups()]
        assert numbers == pytest.approx([mean, mean - half, mean + half], rel=0.06, abs=0.01)


def test_weight_is_the_papers_formula():
    energies = np.array([0.0, -1.0, 3.87, -11.47, -200.0])
    expected = [1 / math.log(1 + math.exp(abs(e))) for e in energies]
    assert weight.weight(energies) == pytest.approx(expected)
    assert weight.weight(np.array([-1e4]))[0] == pytest.approx(1e-4)


def test_weight_figure_says_the_weights_at_the_last_tracked_epoch_of_each_recipe(study):
    files = [path for path in study.energies if "weat-adv" in str(path)]
    drawing = weight.build(context(), energies=files)
    weights = []
    for path in files:
        frame = pd.read_parquet(path)
        last = frame[(frame["epoch"] == 24) & (frame["split"] == "train")]
        weights += [1 / math.log(1 + math.exp(abs(e))) for e in last["marginal_natural"]]
    low, high = np.quantile(weights, (0.05, 0.95))
    said = re.match(
        r"90 % of the training images have weights of (\S+) to (\S+) for WEAT-adv \(mean (\S+)\)", drawing.caption
    )
    assert [float(number) for number in said.groups()] == pytest.approx(
        [low, high, sum(weights) / len(weights)], rel=0.05
    )
    assert "epoch 24" in drawing.caption
    both = weight.build(context(), energies=[*study.energies[2:4], *files])
    histogram = both.figure.axes[1]
    assert [text.get_text() for text in histogram.get_legend().get_texts()] == ["SAT", "WEAT-adv"]
    assert len({patch.get_linestyle() for patch in histogram.patches}) == 2  # told apart in grey, too


def test_delta_of_all_recipes_fits_on_a_page_and_its_titles_stay_apart(study, tmp_path):
    frame, paths = pd.read_parquet(study.history[2]), []
    labels = [f"WEAT-adv, variant {number} of its weights" for number in range(18)]
    for number in range(18):
        paths.append(write(tmp_path / "runs" / "digits" / f"recipe{number}" / "seed0" / "history.parquet", frame))
    recipes = {f"recipe{number}": Recipe(label) for number, label in enumerate(labels)}
    figure = delta.build(context(recipes=recipes), main=paths[:11], further=paths[11:]).figure
    assert figure.get_size_inches()[1] <= 8.2
    FigureCanvasAgg(figure).draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_visible()]
    assert len(boxes) == 12
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
    return [r, *(math.tanh(math.atanh(r) + sign * 1.959964 / math.sqrt(n - 3)) for sign in (-1, 1))]


def test_correlation_has_a_point_per_recipe_and_per_robust_run_and_says_pearsons_r(study):
    drawing = correlation.build(context(), history=study.history)
    (axes,) = drawing.figure.axes
    expected = by_hand_points(path for path in study.history if "standard" not in str(path))
    runs, *of_recipes = [np.asarray(part.get_offsets()) for part in axes.collections]
    assert np.array(sorted(map(tuple, runs))) == pytest.approx(np.array(sorted(expected.values())))
    recipes = dict.fromkeys(recipe for recipe, _ in expected)
    means = [np.mean([expected[recipe, f"seed{k}"] for k in (0, 1)], axis=0) for recipe in recipes]
    assert np.concatenate(of_recipes) == pytest.approx(np.array(means))
    assert [text.get_text() for text in axes.texts] == ["SAT", "TRADES", "MART", "WEAT-adv"]
    assert axes.get_yscale() == "log"
    said = re.search(r"r = (\S+) \[(\S+), (\S+)\] over 4 recipes", drawing.caption)
    numbers = [float(number.replace("\u2212", "-")) for number in said.groups()]
    assert numbers == pytest.approx(pearson([(gap, math.log(delta)) for gap, delta in means]), abs=0.06)
    assert "independent of each other" in drawing.caption


def test_correlation_says_a_sign_only_where_the_interval_has_one(tmp_path):
    def caption(folder, gaps, deltas):
        paths, recipes = [], {}
        for number, (gap, value) in enumerate(zip(gaps, deltas, strict=True)):
            rows = {"epoch": 5, "split": ["train", "validation"], "robust_accuracy": [0.4 + gap, 0.4]}
            frame = pd.DataFrame(rows | {"delta_marginal": -value})
            paths.append(write(tmp_path / folder / "digits" / f"r{number}" / "seed0" / "history.parquet", frame))
            recipes[f"r{number}"] = Recipe(f"R{number}")
        return correlation.build(context(recipes=recipes), history=paths).caption

    gaps = [0.05, 0.1, 0.15, 0.2, 0.25]
    assert caption("up", gaps, [0.1, 0.21, 0.39, 0.8, 1.6]).startswith("Recipes that overfit more end with a larger")
    assert caption("down", gaps, [1.6, 0.8, 0.39, 0.21, 0.1]).startswith("Recipes that overfit more end with a smaller")
    assert caption("open", gaps, [0.3, 0.2, 0.5, 0.1, 0.4]).startswith("Whether recipes that overfit more")


def test_correlation_of_few_runs_is_not_given_and_without_robust_runs_there_is_no_figure(study):
    few = correlation.build(context(), history=study.history[2:4])
    assert "Over 1 recipe no correlation is given" in few.caption
    with pytest.raises(RobustlensError, match="recipes other than standard"):
        correlation.build(context(), history=study.history[:2])


def test_phases_says_how_much_the_gap_grows_from_the_first_bend_on(tmp_path):
    curves = [(5, 15), (7, 14), (6, 16)]
    caption = phases.build(context(), history=write_bent_histories(tmp_path, "sat", curves)).caption
    t = range(1, 21)
    first = int(re.search(r"From epoch (\d+) to epoch 20", caption)[1])
    growths = [abs(bent(t, *bends)[-1]) - abs(bent(t, *bends)[first - 1]) for bends in curves]
    mean, half = np.mean(growths), stats.t.ppf(0.975, 2) * np.std(growths, ddof=1) / 3**0.5
    said = re.search(r"of SAT grows by (\S+) \[(\S+), (\S+)\] nat", caption)
    assert [float(number) for number in said.groups()] == pytest.approx([mean, mean - half, mean + half], abs=0.06)
    flat = phases.build(context(), history=write_bent_histories(tmp_path / "flat", "sat", [(30, 30), (30, 30)])).caption
    assert "so that it stays open whether it grows" in flat
