import json
import math

import numpy as np
import pytest
from figure_results import SETTINGS, context, write_class_scores, write_grid, write_images
from matplotlib.colors import to_hex

from robustlens.errors import RobustlensError
from studies.energy.figures import class_distances, grid, samples


def write_samples(folder, images, labels, recipe="sat", distance=1.25):
    """The samples of a recipe and their scores."""
    place = folder / "generation" / "digits" / recipe / "seed0"
    place.mkdir(parents=True)
    np.savez(place / "samples.npz", images=images.astype(np.float32), labels=np.array(labels, dtype=np.int64))
    (place / "scores.json").write_text(json.dumps({"nearest_training_distance_median": distance}))
    return {"samples": [place / "samples.npz"], "scores": [place / "scores.json"]}


def test_samples_stand_beside_real_images_and_above_the_nearest_of_their_class(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "COLUMNS", 4)
    grey = np.ones((1, 2, 2))
    real = np.stack([255 * level * grey for level in (0.2, 0.6, 0.4, 0.8)])  # of classes 0, 1, 0, 1
    files = write_samples(tmp_path, np.stack([level * grey for level in (0.7, 0.25, 0.35, 0.41, 0.5)]), [1, 0, 1, 0, 0])
    data = [write_images(tmp_path, images=real, labels=np.array([0, 1, 0, 1]))]
    drawing = samples.build(context(), **files, data=data)
    strips = [np.asarray(axes.get_images()[0].get_array()) for axes in drawing.figure.axes]
    labels = [axes.texts[0].get_text() for axes in drawing.figure.axes]
    assert labels == ["real images", "SAT", "nearest"]
    shown = [[strip[0, column] for column in (0, 3, 6, 9)] for strip in strips]
    assert shown[0] == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=1e-2)
    assert shown[1] == pytest.approx([0.25, 0.41, 0.7, 0.35])
    assert shown[2] == pytest.approx([0.2, 0.4, 0.6, 0.6], abs=1e-2)
    assert all(np.all(strip[:, 2::3] == 1) for strip in strips)
    assert drawing.caption.startswith(
        "The median distance of a generated image to the nearest training image is 1.25 for SAT (L2, pixels from 0 to "
        "1)."
    )


def test_samples_smaller_than_the_prepared_images_are_compared_with_their_centres(tmp_path):
    real = np.zeros((2, 1, 4, 4))
    real[0, :, 1:3, 1:3], real[1, :, 0] = 255, 255
    files = write_samples(tmp_path, np.ones((1, 1, 2, 2)), [0])
    data = [write_images(tmp_path, images=real, labels=np.array([0, 0]))]
    drawing = samples.build(context(), **files, data=data)
    nearest = np.asarray(drawing.figure.axes[2].get_images()[0].get_array())
    assert nearest.shape == (2, 2) and np.all(nearest == 1)


def test_class_distances_are_means_over_seeds_with_their_deviation(tmp_path):
    distances = {
        "sat": [{"0": 1.0, "10": 4.0, "2": 2.0}, {"0": 3.0, "10": 4.0, "2": 5.0}],
        "trades": [None, {"0": 7.0}],
    }
    drawing = class_distances.build(context(), scores=write_class_scores(tmp_path, distances))
    sat, trades = drawing.figure.axes[0].containers
    assert np.round(sat.lines[0].get_xdata()) == pytest.approx([0, 2, 10])
    assert sat.lines[0].get_ydata() == pytest.approx([2.0, 3.5, 4.0])
    heights = [segment[:, 1] for segment in sat.lines[2][0].get_segments()]
    spread = math.sqrt(2), 1.5 * math.sqrt(2)
    assert heights[0] == pytest.approx([2 - spread[0], 2 + spread[0]])
    assert heights[1] == pytest.approx([3.5 - spread[1], 3.5 + spread[1]])
    assert trades.lines[0].get_ydata() == pytest.approx([7.0]) and not trades.has_yerr
    assert "over 1 to 2 seeds" in drawing.caption and "1 of 4 runs, with too few" in drawing.caption
    assert drawing.figure.axes[0].get_ylabel() == "Fréchet classifier distance"


def test_class_distances_are_kernel_distances_unless_every_run_has_frechet_distances(tmp_path):
    kernel = {"sat": [{"0": 0.5, "1": -0.25}, {"0": 0.25, "1": 0.0}], "trades": [{"0": 0.125, "1": 0.25}]}
    few = {"sat": [{"0": 1.0, "1": 2.0}, None], "trades": [{"0": 3.0, "1": 4.0}]}
    drawing = class_distances.build(context(), scores=write_class_scores(tmp_path / "few", few, kernel))
    sat, trades = drawing.figure.axes[0].containers
    assert sat.lines[0].get_ydata() == pytest.approx([0.375, -0.125])
    assert trades.lines[0].get_ydata() == pytest.approx([0.125, 0.25])
    axes = drawing.figure.axes[0]
    assert axes.get_ylim()[0] < -0.125 and axes.get_ylabel() == "kernel classifier distance"
    assert drawing.title == "Kernel classifier distance, class by class"
    assert "stands for the Fréchet classifier distance, which needs more" in drawing.caption
    assert "Not shown" not in drawing.caption
    full = few | {"sat": [{"0": 1.0, "1": 2.0}, {"0": 2.0, "1": 2.0}]}
    drawing = class_distances.build(context(), scores=write_class_scores(tmp_path / "full", full, kernel))
    assert drawing.figure.axes[0].containers[0].lines[0].get_ydata() == pytest.approx([1.5, 2.0])
    assert drawing.figure.axes[0].get_ylabel() == "Fréchet classifier distance"
    assert drawing.figure.axes[0].get_ylim()[0] == 0


def test_class_distances_that_are_nowhere_known_are_explained(tmp_path):
    paths = write_class_scores(tmp_path, {"sat": [None, None]})
    drawing = class_distances.build(context(), scores=paths)
    (text,) = drawing.figure.axes[0].texts
    assert "dimensions (16 here)" in text.get_text().replace("\n", " ") and "(16 here)" in drawing.caption
    for path in paths:  # older files do not have the entry
        path.write_text(json.dumps({"names": json.loads(path.read_text())["names"]}))
    older = class_distances.build(context(), scores=paths)
    assert "There is no distance class by class" in older.caption
    with pytest.raises(RobustlensError, match="generation"):
        class_distances.build(context(), scores=[])


def heat_map(figure):
    """{(starting point, way): the number in its cell} of a grid's heat map, and the bold ones."""
    axes = figure.axes[0]
    starts, ways = ([tick.get_text() for tick in ticks] for ticks in (axes.get_yticklabels(), axes.get_xticklabels()))
    cells = {(starts[t.get_position()[1]], ways[t.get_position()[0]]): t for t in axes.texts}
    return {k: t.get_text() for k, t in cells.items()}, [k for k, t in cells.items() if t.get_fontweight() == "bold"]


def test_grid_has_the_distance_of_every_setting_and_marks_the_best(tmp_path):
    drawing = grid.build(context(), **write_grid(tmp_path, SETTINGS))
    cells, best = heat_map(drawing.figure)
    assert cells == {
        ("noise", "5 steps\nζ 0"): "9.00",
        ("noise", "10 steps\nζ 0"): "8.00",
        ("class PCA 95 %, \u03c3 0.5", "5 steps\nζ 0"): "3.00",
        ("class PCA 95 %, \u03c3 0.5", "5 steps\nζ 0.8"): "1.25",
        ("class Gaussian", "5 steps\nζ 0.8"): "2.00",
    }
    assert best == [("class PCA 95 %, \u03c3 0.5", "5 steps\nζ 0.8")]
    assert "1.25 ± 0.2, starts from class PCA 95 %, \u03c3 0.5 and takes 5 steps with momentum 0.8;" in drawing.caption
    assert "the one with the largest, 9.00 ± 0.2, starts from noise." in drawing.caption


def test_grid_of_no_steps_has_no_momentum(tmp_path):
    settings = [("noise", 0.8, 0, 9.0), ("noise", 0.0, 5, 3.0), ("noise", 0.8, 5, 4.0)]
    cells, _ = heat_map(grid.build(context(), **write_grid(tmp_path, settings)).figure)
    assert cells == {
        ("noise", "no steps"): "9.00",
        ("noise", "5 steps\nζ 0"): "3.00",
        ("noise", "5 steps\nζ 0.8"): "4.00",
    }


def test_grid_shows_the_images_of_the_best_and_the_worst_settings(tmp_path):
    figure = grid.build(context(), **write_grid(tmp_path, SETTINGS)).figure
    strips = [axes for axes in figure.axes if axes.get_images() and axes.get_images()[0].get_array().shape[0] == 4]
    labels = [axes.texts[0].get_text().splitlines()[0] for axes in strips]
    assert labels == ["best: class PCA 95 %, \u03c3 0.5", "worst: noise", "best: class Gaussian", "worst: noise"]
    for s, axes in zip((3, 0, 4, 1), strips, strict=True):
        line = np.asarray(axes.get_images()[0].get_array())
        assert line.shape == (4, 6 * 5 - 1)
        expected = [s / 10 + y / 100 + copy / 1000 for y in range(3) for copy in range(2)]
        assert line[2, 1::5] == pytest.approx(expected)
        assert np.all(line[:, 4::5] == 1)


def test_grid_draws_the_longest_chain_of_each_setting(tmp_path):
    drawing = grid.build(context(), **write_grid(tmp_path, SETTINGS))
    chains = drawing.figure.axes[-1]
    expected = [(1, 10), (2, 5), (3, 5), (4, 5)]  # the first setting is the second one, cut off
    assert len(chains.lines) == 4
    for line, (s, steps) in zip(chains.lines, expected, strict=True):
        assert line.get_ydata() == pytest.approx([-s - t for t in range(steps + 1)])
    shades = [to_hex(line.get_color()) for line in chains.lines]
    assert shades[1] == shades[2] and len(set(shades)) == 3
    assert [line.get_linestyle() for line in chains.lines] == ["-", "-", "--", "--"]
    named = {text.get_text() for text in chains.texts}
    assert named == {"noise, ζ 0", "class PCA, ζ 0", "class PCA, ζ 0.8", "class Gaussian, ζ 0.8"}


def test_a_grid_of_the_paper_scale_fits_on_a_page(tmp_path):
    settings = [
        (init, momentum, steps, 1.0 + steps)
        for init in ("noise", "pca")
        for momentum in (0.0, 0.8)
        for steps in range(11)
    ]
    figure = grid.build(context(), **write_grid(tmp_path, settings)).figure
    assert len(settings) == 44 and figure.get_size_inches()[1] <= 9.5


def test_grid_refuses_files_that_do_not_belong_together(tmp_path):
    files = write_grid(tmp_path / "a", SETTINGS)
    other = write_grid(tmp_path / "b", SETTINGS[:2])
    with pytest.raises(RobustlensError, match="images of 2 settings"):
        grid.build(context(), **files | {"samples": other["samples"]})
    with pytest.raises(RobustlensError, match="1 grids, 0 files of chains"):
        grid.build(context(), **files | {"chains": []})
