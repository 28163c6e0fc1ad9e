import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import write_study

from robustlens.errors import RobustlensError
from robustlens.report.figure import save, title_and_caption
from robustlens.report.figures import (
    energy_attack_histograms,
    energy_delta,
    energy_phases,
    energy_samples,
    energy_weight,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades", "mart", "weat-adv")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, seeds=(0, 1), epochs=24, images=40)


def lines(axes):
    """The curves of a panel, without its horizontal and vertical helper lines."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def test_phases_shows_the_mean_over_seeds_and_the_bends(study):
    drawing = energy_phases.build(study.history, "embedded", "digits")
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
    drawing = energy_phases.build(study.history, "embedded", "digits")
    assert "too few epochs" in drawing.caption and "1 seed." in drawing.caption


def test_phases_without_sat_says_what_to_do(study):
    with pytest.raises(RobustlensError, match="recipe sat"):
        energy_phases.build([path for path in study.history if "trades" in str(path)], "embedded", "digits")


def test_a_figure_shows_one_dataset(study, tmp_path):
    other = write_study(tmp_path, "svhn", ("sat",), (0,), epochs=12, images=20)
    with pytest.raises(RobustlensError, match="digits, svhn"):
        energy_delta.build([*study.history, *other.history], "embedded", "digits")


def test_delta_gives_a_recipe_off_the_scale_its_own_axis(study):
    figure = energy_delta.build(study.history, "embedded", "digits").figure
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert "Standard (own axis)" in panels and {"TRADES", "MART", "WEAT-adv"} <= set(panels)
    assert panels["TRADES"].get_ylim() == panels["MART"].get_ylim() == panels["WEAT-adv"].get_ylim()
    low, high = panels["MART"].get_ylim()
    for name in ("TRADES", "MART", "WEAT-adv"):
        for line in lines(panels[name]):
            assert low <= line.get_ydata().min() and line.get_ydata().max() <= high
    assert [len(lines(axes)) for axes in panels.values()] == [2] * 5


def test_attack_histograms_hold_every_image(study):
    figure = energy_attack_histograms.build(study.attack_energies, "standard", "embedded", "digits").figure
    panels = figure.axes
    assert len(panels) == 16
    assert [axes.get_title() for axes in panels[:2]] == ["PGD", "KL-PGD"]
    for axes in panels:
        for patch in axes.patches:  # one filled outline a kind; its area over a bin's width is the sum of the heights
            x, y = patch.get_path().vertices.T
            area = abs(sum(x[i] * y[i + 1] - x[i + 1] * y[i] for i in range(len(x) - 1))) / 2
            edges = np.unique(x)
            assert area / ((edges[-1] - edges[0]) / (len(edges) - 1)) == pytest.approx(100)
    with pytest.raises(RobustlensError, match="mart"):
        energy_attack_histograms.build(study.attack_energies, "mart", "embedded", "digits")


def test_weight_is_the_papers_formula():
    energies = np.array([0.0, -1.0, 3.87, -11.47, -200.0])
    expected = [1 / math.log(1 + math.exp(abs(e))) for e in energies]
    assert energy_weight.weight(energies) == pytest.approx(expected)
    assert energy_weight.weight(np.array([-1e4]))[0] == pytest.approx(1e-4)


def test_weight_figure_says_the_mean_weight_of_the_last_tracked_epoch(study):
    files = [path for path in study.energies if "weat-adv" in str(path)]
    drawing = energy_weight.build(files, "embedded", "digits")
    weights = []
    for path in files:
        frame = pd.read_parquet(path)
        last = frame[(frame["epoch"] == 24) & (frame["split"] == "train")]
        weights += [1 / math.log(1 + math.exp(abs(e))) for e in last["marginal_natural"]]
    curve = drawing.figure.axes[0]
    assert [text.get_text() for text in curve.texts] == [f"mean {sum(weights) / len(weights):.3f}"]
    assert "epoch 24" in drawing.caption


def test_samples_puts_each_class_in_a_column(tmp_path):
    path = tmp_path / "digits" / "sat" / "seed0" / "samples.npz"
    path.parent.mkdir(parents=True)
    labels = np.array([1, 0, 1, 0, 0], dtype=np.int64)
    images = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) / 10 * np.ones((1, 1, 2, 2), dtype=np.float32)
    np.savez(path, images=images, labels=labels)
    figure = energy_samples.build([path], "embedded", "digits", per_class=2).figure
    mosaic = figure.axes[0].get_images()[0].get_array()
    assert mosaic.shape == (5, 5)
    assert [mosaic[0, 0], mosaic[3, 0], mosaic[0, 3], mosaic[3, 3]] == pytest.approx([0.1, 0.3, 0.0, 0.2])
    assert np.all(mosaic[2] == 1) and np.all(mosaic[:, 2] == 1)


def test_save_gives_the_same_bytes_and_keeps_the_caption(study, tmp_path):
    for folder in ("one", "two"):
        drawing = energy_samples.build(study.samples[:1], "embedded", "digits")
        save(drawing, tmp_path / folder / "f.pdf", tmp_path / folder / "f.png")
    for name in ("f.pdf", "f.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert b"CreationDate" not in (tmp_path / "one" / "f.pdf").read_bytes()
    assert title_and_caption(tmp_path / "one" / "f.png") == ("Generated images", drawing.caption)
    with Image.open(tmp_path / "one" / "f.png") as image:
        assert "Software" not in image.text
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["f.pdf", "f.png"]
