import json
import math

import numpy as np
import pytest
from figure_results import SETTINGS, context, write_class_scores, write_grid
from matplotlib.colors import to_hex

from robustlens.errors import RobustlensError
from studies.energy.figures import class_distances, grid, samples


def test_samples_puts_each_class_in_a_column(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "PER_CLASS", 2)
    path = tmp_path / "digits" / "sat" / "seed0" / "samples.npz"
    path.parent.mkdir(parents=True)
    labels = np.array([1, 0, 1, 0, 0], dtype=np.int64)
    images = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) / 10 * np.ones((1, 1, 2, 2), dtype=np.float32)
    np.savez(path, images=images, labels=labels)
    figure = samples.build(context(), samples=[path]).figure
    mosaic = figure.axes[0].get_images()[0].get_array()
    assert mosaic.shape == (5, 5)
    assert [mosaic[0, 0], mosaic[3, 0], mosaic[0, 3], mosaic[3, 3]] == pytest.approx([0.1, 0.3, 0.0, 0.2])
    assert np.all(mosaic[2] == 1) and np.all(mosaic[:, 2] == 1)


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


def test_grid_shows_the_images_and_the_label_of_each_setting_and_frames_the_best(tmp_path):
    drawing = grid.build(context(), **write_grid(tmp_path, SETTINGS))
    left, right = drawing.figure.axes[:6:2], drawing.figure.axes[1:6:2]  # three settings, then the other two
    panels = [*left, *right[:2]]
    assert not right[2].get_images()
    for s, axes in enumerate(panels):
        line = np.asarray(axes.get_images()[0].get_array())
        assert line.shape == (4, 6 * 5 - 1)
        expected = [s / 10 + y / 100 + copy / 1000 for y in range(3) for copy in range(2)]
        assert line[2, 1::5] == pytest.approx(expected)
        assert np.all(line[:, 4::5] == 1)
    labels = [axes.texts[0].get_text() for axes in panels]
    assert labels[0] == "noise\nn 5, \u03b6 0: d 9 (0.25)"
    assert labels[3] == "class PCA 95 %, \u03c3 0.5\nn 5, \u03b6 0.8: d 1.25 (0.25)"
    assert [axes.texts[0].get_fontweight() == "bold" for axes in panels] == [False, False, False, True, False]
    assert [axes.axison for axes in panels] == [False, False, False, True, False]


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
