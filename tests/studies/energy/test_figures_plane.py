from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from figure_results import context, write, write_bent_histories, write_tracked
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image, ImageSequence
from scipy import stats

from robustlens.errors import RobustlensError
from studies.energy.figures import plane


def test_plane_draws_the_last_tracked_epoch_of_each_phase_of_the_first_seed(tmp_path):
    history = write_bent_histories(tmp_path, "sat", [(5, 15), (5, 15)])
    energies = write_tracked(tmp_path, "sat", (1, 4, 5, 10, 14, 15, 18, 20))
    drawing = plane.build(context(), energies=energies[::-1], history=history)
    panels = drawing.figure.axes[:3]
    assert [axes.get_title() for axes in panels] == ["phase 1: epoch 5", "phase 2: epoch 15", "phase 3: epoch 20"]
    assert "epochs 5 and 15" in drawing.caption and "seed 0" in drawing.caption
    frame = pd.read_parquet(energies[0])
    for axes, epoch in zip(panels, (5, 15, 20), strict=True):
        rows = frame[(frame["epoch"] == epoch) & (frame["split"] == "train")].sort_values("index")
        arrows, points = axes.collections
        assert np.asarray(points.get_offsets()) == pytest.approx(rows[["joint_natural", "marginal_natural"]].to_numpy())
        losses = [y - x for y, x in zip(rows["joint_adversarial"], rows["marginal_adversarial"], strict=True)]
        assert np.asarray(points.get_array()) == pytest.approx(losses)
        by_start = {(row.joint_natural, row.marginal_natural): row for row in rows.itertuples()}
        assert arrows.U.size == 12
        for x, y, dx, dy in zip(arrows.X, arrows.Y, arrows.U, arrows.V, strict=True):
            row = by_start[x, y]
            assert (x + dx, y + dy) == pytest.approx((row.joint_adversarial, row.marginal_adversarial))
    assert panels[0].get_xlim() == panels[2].get_xlim() and panels[0].get_ylim() == panels[2].get_ylim()


def test_plane_says_when_it_cannot_show_the_phases(tmp_path):
    history = write_bent_histories(tmp_path, "sat", [(5, 15)])
    energies = write_tracked(tmp_path, "sat", (1, 16, 18, 20), seeds=(0,))
    drawing = plane.build(context(), energies=energies, history=history)
    assert [axes.get_title() for axes in drawing.figure.axes[:3]] == ["epoch 1", "epoch 18", "epoch 20"]
    assert "no epoch was tracked" in drawing.caption
    short = write_bent_histories(tmp_path / "short", "sat", [(2, 4)], epochs=6)
    energies = write_tracked(tmp_path / "short", "sat", (1, 6), seeds=(0,))
    drawing = plane.build(context(), energies=energies, history=short)
    assert [axes.get_title() for axes in drawing.figure.axes[:2]] == ["epoch 1", "epoch 6"]
    assert "too few epochs" in drawing.caption


def test_plane_has_a_row_for_each_recipe_at_the_epochs_of_the_first_ones_phases(tmp_path):
    history = write_bent_histories(tmp_path, "sat", [(5, 15)]) + write_bent_histories(tmp_path, "trades", [(8, 12)])
    energies = [write_tracked(tmp_path, recipe, (1, 5, 15, 20), seeds=(0,))[0] for recipe in ("sat", "trades")]
    drawing = plane.build(context(), energies=energies, history=history)
    panels = drawing.figure.axes[:6]
    titles = [axes.get_title() for axes in panels]
    assert titles == ["phase 1: epoch 5", "phase 2: epoch 15", "phase 3: epoch 20", "", "", ""]
    assert [axes.get_ylabel().splitlines()[0] for axes in panels[::3]] == ["SAT", "TRADES"]
    assert all(axes.get_aspect() == 1 for axes in panels)
    moved = []
    for path in energies:
        rows = pd.read_parquet(path).query("epoch == 20 and split == 'train'")
        differences = rows["marginal_adversarial"] - rows["marginal_natural"]
        half = stats.t.ppf(0.975, 59) * differences.std() / 60**0.5
        ends = [f"{end:.2f}".replace("-", "\u2212") for end in (differences.mean() - half, differences.mean() + half)]
        moved.append(f"[{ends[0]}, {ends[1]}] nat under {path.parts[-3].upper()}")
    assert all(part in drawing.caption for part in moved) and drawing.caption.startswith("At epoch 20 PGD moves E(x)")


def test_plane_refuses_two_datasets_and_runs_without_tracked_training_images(tmp_path):
    history = write_bent_histories(tmp_path, "sat", [(5, 15)])
    (energies,) = write_tracked(tmp_path, "sat", (1, 20), seeds=(0,))
    frame = pd.read_parquet(energies)
    other = write(tmp_path / "svhn" / "sat" / "seed0" / "energies.parquet", frame)
    with pytest.raises(RobustlensError, match="digits, svhn"):
        plane.build(context(), energies=[energies, other], history=history)
    path = write(tmp_path / "digits" / "sat" / "seed0" / "energies.parquet", frame[frame["split"] == "validation"])
    with pytest.raises(RobustlensError, match=r"sat/seed0/energies\.parquet: .* train_samples"):
        plane.build(context(), energies=[path], history=history)


def test_animation_has_a_frame_for_each_tracked_epoch_and_repeats_its_bytes(tmp_path):
    energies = write_tracked(tmp_path, "sat", (1, 4, 6, 20))
    for folder in ("one", "two"):
        plane.animate(context(), energies=energies, gif=tmp_path / folder / "plane.gif")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["plane.gif"]
    content = (tmp_path / "one" / "plane.gif").read_bytes()
    assert content == (tmp_path / "two" / "plane.gif").read_bytes() and len(content) < 1.5e6
    with Image.open(tmp_path / "one" / "plane.gif") as image:
        frames = [(frame.info["duration"], np.asarray(frame.convert("RGB"))) for frame in ImageSequence.Iterator(image)]
    assert [duration for duration, _ in frames] == [250, 250, 250, 1500]
    assert all((pixels[0, 0] == 255).all() for _, pixels in frames)
    for (_, before), (_, after) in pairwise(frames):
        assert (before != after).any()


def test_animation_keeps_its_axes_from_frame_to_frame(tmp_path, monkeypatch):
    limits = []
    monkeypatch.setattr(
        plane.FigureCanvasAgg,
        "draw",
        lambda self, draw=FigureCanvasAgg.draw: (draw(self), limits.append(self.figure.axes[0].axis()))[0],
    )
    energies = write_tracked(tmp_path, "sat", (1, 4, 20), seeds=(0,))
    plane.animate(context(), energies=energies, gif=tmp_path / "plane.gif")
    rows = pd.read_parquet(energies[0]).query("split == 'train'")
    assert len(limits) == 3 and len(set(limits)) == 1
    left, right, bottom, top = limits[0]
    assert left < rows[["joint_natural", "joint_adversarial"]].min().min()
    assert right > rows[["joint_natural", "joint_adversarial"]].max().max()
    assert bottom < rows[["marginal_natural", "marginal_adversarial"]].min().min()
    assert top > rows[["marginal_natural", "marginal_adversarial"]].max().max()
