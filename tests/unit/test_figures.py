import json
import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image, ImageSequence
from scipy import stats
from synthetic import write_study

from robustlens.errors import RobustlensError
from robustlens.report import names
from robustlens.report.escape import latex
from robustlens.report.figure import OF_RECIPE, Drawing, colour, marker, save, title_and_caption
from robustlens.report.figures import (
    energy_attack_histograms,
    energy_class_distances,
    energy_correlation,
    energy_delta,
    energy_grid,
    energy_phases,
    energy_plane,
    energy_samples,
    energy_subsets,
    energy_violins,
    energy_weight,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    recipes = ("standard", "sat", "trades", "mart", "weat-adv")
    return write_study(tmp_path_factory.mktemp("study"), recipes=recipes, seeds=(0, 1), epochs=24, images=40)


def write(path, frame):
    """The frame as a file of a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    return path


def bent(epochs, first, second):
    """0 up to the first bend, then falling by 1 an epoch, after the second bend by 3."""
    return [-max(t - first, 0) - 2 * max(t - second, 0) for t in epochs]


def write_bent_histories(folder, recipe, bends, epochs=20):
    """A history a seed whose ΔE(x) on training images bends at the given epochs."""
    t = range(1, epochs + 1)
    paths = []
    for seed, (first, second) in enumerate(bends):
        curve = pd.DataFrame({"epoch": t, "robust_accuracy": 0.5, "delta_marginal": bent(t, first, second)})
        frame = pd.concat([curve.assign(split=split) for split in ("train", "validation")])
        paths.append(write(folder / "runs" / "digits" / recipe / f"seed{seed}" / "history.parquet", frame))
    return paths


def write_tracked(folder, recipe, epochs, seeds=(0, 1), images=60):
    """Energies of training and validation images at some epochs."""
    paths = []
    for seed in seeds:
        random, frames = np.random.default_rng(seed), []
        for epoch in epochs:
            for split in ("train", "validation"):
                marginal = random.normal(-0.2 * epoch, 1, (2, images))
                joint = marginal + random.exponential(1.0, (2, images))
                frame = {"epoch": epoch, "split": split, "index": np.arange(images)[::-1], "label": 0}
                for row, kind in enumerate(("natural", "adversarial")):
                    frame |= {f"marginal_{kind}": marginal[row], f"joint_{kind}": joint[row]}
                frames.append(pd.DataFrame(frame))
        paths.append(write(folder / "runs" / "digits" / recipe / f"seed{seed}" / "energies.parquet", pd.concat(frames)))
    return paths


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


def test_phases_shades_the_range_of_the_borders_of_single_seeds(tmp_path):
    figure = energy_phases.build(
        write_bent_histories(tmp_path, "sat", [(5, 15), (7, 14), (6, 16)]), "embedded", "digits"
    )
    for axes in figure.figure.axes:
        shaded = [patch for patch in axes.patches if patch.get_y() == 0 and patch.get_height() == 1]
        assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in shaded] == [(5, 7), (14, 16)]
    assert "5 to 7 and 14 to 16" in figure.caption


def test_phases_of_seeds_that_agree_shades_nothing(tmp_path):
    drawing = energy_phases.build(write_bent_histories(tmp_path, "sat", [(5, 15), (5, 15)]), "embedded", "digits")
    assert not drawing.figure.axes[0].patches
    assert "epochs 5 and 15" in drawing.caption and "alone, 5 and 15." in drawing.caption
    one = energy_phases.build(write_bent_histories(tmp_path, "sat", [(5, 15)]), "embedded", "digits")
    assert "One seed" in one.caption and "Shaded" not in one.caption


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


def test_delta_of_all_recipes_fits_on_a_page_and_its_titles_stay_apart(study, tmp_path):
    frame, paths = pd.read_parquet(study.history[2]), []
    for recipe in OF_RECIPE:
        paths.append(write(tmp_path / "runs" / "digits" / recipe / "seed0" / "history.parquet", frame))
    figure = energy_delta.build(paths, "embedded", "digits").figure
    assert len(paths) == 18 and figure.get_size_inches()[1] <= 9.5
    FigureCanvasAgg(figure).draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_visible()]
    assert len(boxes) == 18
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_no_two_recipes_look_the_same():
    looks = {(colour(recipe), marker(recipe)) for recipe in OF_RECIPE}
    assert len(looks) == len(OF_RECIPE) == 18
    without_ablations = [
        recipe for recipe in OF_RECIPE if recipe == "weat-adv-awp" or not recipe.startswith("weat-adv-")
    ]
    assert len({colour(recipe) for recipe in without_ablations}) == 12


def test_plane_draws_the_last_tracked_epoch_of_each_phase_of_the_first_seed(tmp_path):
    history = write_bent_histories(tmp_path, "sat", [(5, 15), (5, 15)])
    energies = write_tracked(tmp_path, "sat", (1, 4, 5, 10, 14, 15, 18, 20))
    drawing = energy_plane.build(energies[::-1], history, "embedded", "digits")
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
        assert arrows.U.size == 40
        for x, y, dx, dy in zip(arrows.X, arrows.Y, arrows.U, arrows.V, strict=True):
            row = by_start[x, y]
            assert (x + dx, y + dy) == pytest.approx((row.joint_adversarial, row.marginal_adversarial))
    assert panels[0].get_xlim() == panels[2].get_xlim() and panels[0].get_ylim() == panels[2].get_ylim()


def test_plane_says_when_it_cannot_show_the_phases(tmp_path):
    history = write_bent_histories(tmp_path, "sat", [(5, 15)])
    energies = write_tracked(tmp_path, "sat", (1, 16, 18, 20), seeds=(0,))
    drawing = energy_plane.build(energies, history, "embedded", "digits")
    assert [axes.get_title() for axes in drawing.figure.axes[:3]] == ["epoch 1", "epoch 18", "epoch 20"]
    assert "no epoch was tracked" in drawing.caption
    short = write_bent_histories(tmp_path / "short", "sat", [(2, 4)], epochs=6)
    energies = write_tracked(tmp_path / "short", "sat", (1, 6), seeds=(0,))
    drawing = energy_plane.build(energies, short, "embedded", "digits")
    assert [axes.get_title() for axes in drawing.figure.axes[:2]] == ["epoch 1", "epoch 6"]
    assert "too few epochs" in drawing.caption


def test_plane_refuses_two_recipes_and_runs_without_tracked_training_images(tmp_path):
    history = write_bent_histories(tmp_path, "sat", [(5, 15)])
    energies = [write_tracked(tmp_path, recipe, (1, 20), seeds=(0,))[0] for recipe in ("sat", "trades")]
    with pytest.raises(RobustlensError, match="sat, trades"):
        energy_plane.build(energies, history, "embedded", "digits")
    frame = pd.read_parquet(energies[0])
    path = write(tmp_path / "digits" / "sat" / "seed0" / "energies.parquet", frame[frame["split"] == "validation"])
    with pytest.raises(RobustlensError, match="train_samples"):
        energy_plane.build([path], history, "embedded", "digits")


def test_animation_has_a_frame_for_each_tracked_epoch_and_repeats_its_bytes(tmp_path):
    energies = write_tracked(tmp_path, "sat", (1, 4, 6, 20))
    for folder in ("one", "two"):
        energy_plane.animate(energies, "digits", tmp_path / folder / "plane.gif")
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
        energy_plane.FigureCanvasAgg,
        "draw",
        lambda self, draw=FigureCanvasAgg.draw: (draw(self), limits.append(self.figure.axes[0].axis()))[0],
    )
    energies = write_tracked(tmp_path, "sat", (1, 4, 20), seeds=(0,))
    energy_plane.animate(energies, "digits", tmp_path / "plane.gif")
    rows = pd.read_parquet(energies[0]).query("split == 'train'")
    assert len(limits) == 3 and len(set(limits)) == 1
    left, right, bottom, top = limits[0]
    assert left < rows[["joint_natural", "joint_adversarial"]].min().min()
    assert right > rows[["joint_natural", "joint_adversarial"]].max().max()
    assert bottom < rows[["marginal_natural", "marginal_adversarial"]].min().min()
    assert top > rows[["marginal_natural", "marginal_adversarial"]].max().max()


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


def test_correlation_has_a_point_a_robust_run_and_says_pearsons_r(study):
    drawing = energy_correlation.build(study.history, "embedded", "digits")
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
    assert f"over 4 means of recipes is {r} (95 % interval {low} to {high})" in drawing.caption
    assert "not independent" in drawing.caption


def test_correlation_of_few_runs_is_not_given_and_without_robust_runs_there_is_no_figure(study):
    few = energy_correlation.build(study.history[2:4], "embedded", "digits")
    assert "over 2 runs is not given" in few.caption
    with pytest.raises(RobustlensError, match="recipes other than standard"):
        energy_correlation.build(study.history[:2], "embedded", "digits")


def by_hand_accuracy(paths, attack):
    right = []
    for path in paths:
        rows = pd.read_parquet(path).query("checkpoint == 'best' and attack == @attack")
        right.append(sum(rows["prediction_adversarial"] == rows["label"]) / len(rows))
    return 100 * sum(right) / len(right)


def violins(axes):
    """(side, place, low, high) of each half violin of a panel."""
    found = []
    for body in axes.collections:
        if type(body).__name__ != "FillBetweenPolyCollection":
            continue
        x, y = body.get_paths()[0].vertices.T
        flat = x.min() if np.isclose(x.min(), round(x.min())) else x.max()
        found.append(("left" if x.min() < flat - 0.1 else "right", round(flat), y.min(), y.max()))
    return found


@pytest.fixture
def far_off(study, tmp_path):
    """The evaluations of the study, but attacks move the energies of standard training ten times as far."""
    paths = []
    for path in study.robustness[:2]:
        frame = pd.read_parquet(path)
        for energy in ("marginal", "joint"):
            frame[f"{energy}_adversarial"] += 9 * (frame[f"{energy}_adversarial"] - frame[f"{energy}_natural"])
        paths.append(write(tmp_path / "far" / "/".join(path.parts[-4:]), frame))
    return [*paths, *study.robustness[2:]]


def test_violins_stand_in_the_order_of_robust_accuracy_and_show_the_middle_of_the_values(study, far_off):
    drawing = energy_violins.build(far_off, "embedded", "digits")
    own, shared = drawing.figure.axes
    files = {
        recipe: [p for p in study.robustness if p.parts[-3] == recipe]
        for recipe in ("sat", "trades", "mart", "weat-adv")
    }
    accuracy = {recipe: by_hand_accuracy(paths, "autoattack") for recipe, paths in files.items()}
    order = sorted(accuracy, key=accuracy.get)
    assert [label.get_text() for label in own.get_xticklabels()] == ["Standard"]
    assert [label.get_text() for label in shared.get_xticklabels()] == [names.recipe(recipe) for recipe in order]
    assert [text.get_text() for text in shared.texts] == [f"{accuracy[recipe]:.1f}" for recipe in order]
    assert "under AutoAttack, of seeds 0, 1, which all our recipes have." in drawing.caption
    assert "own: Standard." in drawing.caption
    drawn = {(side, place): ends for side, place, *ends in violins(shared)}
    assert len(drawn) == 8
    for place, recipe in enumerate(order):
        rows = pd.concat(map(pd.read_parquet, files[recipe])).query("checkpoint == 'best' and attack == 'pgd20'")
        for side, energy in (("left", "marginal"), ("right", "joint")):
            values = sorted(rows[f"{energy}_natural"] - rows[f"{energy}_adversarial"])
            low, high = drawn[side, place]
            inside = [v for v in values if low - 1e-9 <= v <= high + 1e-9]
            assert inside[0] == pytest.approx(low) and inside[-1] == pytest.approx(high)
            assert len(values) - len(inside) == 2  # of 80 values, 1 % is less than one at each end
    assert [line.get_segments()[0][0][1] for line in own.collections if hasattr(line, "get_segments")]


def test_violins_without_autoattack_everywhere_go_by_pgd_and_say_so(study, tmp_path):
    frame = pd.read_parquet(study.robustness[4]).query("attack in ('clean', 'pgd20')")
    brief = write(tmp_path / "evaluations" / "digits" / "gairat" / "seed0" / "brief.parquet", frame)
    drawing = energy_violins.build([*study.robustness, brief], "embedded", "digits")
    assert "under PGD-20 (not every classifier" in drawing.caption
    printed = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    assert f"{by_hand_accuracy([brief], 'pgd20'):.1f}" in printed
    clean = write(
        tmp_path / "clean" / "digits" / "gairat" / "seed0" / "brief.parquet", frame[frame["attack"] == "clean"]
    )
    with pytest.raises(RobustlensError, match="pgd20"):
        energy_violins.build([clean], "embedded", "digits")


def test_violins_are_ordered_by_the_seeds_that_all_our_recipes_have(tmp_path):
    def run(recipe, seed, right, checkpoint="best", attacks=("pgd20",)):
        rows = pd.DataFrame({"index": range(10), "label": 0, "marginal_natural": np.linspace(-9, -8, 10)})
        rows["joint_natural"] = rows["marginal_adversarial"] = rows["marginal_natural"] + np.linspace(0.1, 0.2, 10)
        rows["joint_adversarial"] = rows["marginal_natural"] + np.linspace(0.5, 1.5, 10)
        rows["prediction_adversarial"] = [int(i >= right) for i in range(10)]
        frame = pd.concat([rows.assign(attack=attack, checkpoint=checkpoint) for attack in attacks])
        return write(tmp_path / "digits" / recipe / f"seed{seed}" / "robustness.parquet", frame)

    def printed(files):
        drawing = energy_violins.build(files, "embedded", "digits")
        axes = drawing.figure.axes[-1]
        labels = [label.get_text() for label in axes.get_xticklabels()]
        return list(zip(labels, [text.get_text() for text in axes.texts], strict=True)), drawing.caption

    files = [run("sat", 0, 4), run("sat", 1, 9), run("sat", 2, 9), run("trades", 0, 5), run("trades", 2, 9)]
    files += [run("mart", 2, 9), run("mart", 0, 6), run("wu2020", 7, 3, "published")]
    found, text = printed(files)
    assert found == [("wu2020", "30.0"), ("SAT", "65.0"), ("TRADES", "70.0"), ("MART", "75.0")]
    assert "under PGD-20 (not every classifier was tested with AutoAttack), of seeds 0, 2, which all" in text
    found, text = printed([*files, run("mail-at", 0, 1)])
    assert found == [("MAIL-AT", "10.0"), ("wu2020", "30.0"), ("SAT", "40.0"), ("TRADES", "50.0"), ("MART", "60.0")]
    assert "of seed 0, which all our recipes have." in text
    found, text = printed([*files, run("mail-at", 3, 1)])
    assert ("SAT", "73.3") in found and "for there is none that all our recipes have." in text
    both = ("pgd20", "autoattack")  # of seed 1 there is no AutoAttack, but it is not compared
    found, text = printed([run("sat", 0, 4, attacks=both), run("sat", 1, 9), run("mart", 0, 6, attacks=both)])
    assert found == [("SAT", "40.0"), ("MART", "60.0")] and "under AutoAttack, of seed 0, which" in text
    found, text = printed([run("wu2020", 7, 3, "published", both)])
    assert found == [("wu2020", "30.0")] and "under AutoAttack." in text


def test_violins_of_many_classifiers_take_rows_that_share_their_axis(study, far_off, tmp_path):
    frame = pd.read_parquet(study.robustness[4])
    paths = [write(tmp_path / "digits" / recipe / "seed0" / "r.parquet", frame) for recipe in OF_RECIPE]
    figure = energy_violins.build([*far_off[:2], *paths[1:]], "embedded", "digits").figure
    own, first, second = figure.axes
    assert [len(axes.get_xticks()) for axes in (own, first, second)] == [1, 8, 9]
    assert first.get_ylim() == second.get_ylim() != own.get_ylim()


def write_subsets(folder, right):
    """Evaluations of ten images. right: {recipe: {(attack, checkpoint): which images are classified correctly}}."""
    paths = []
    for recipe, parts in right.items():
        frames = []
        for (attack, checkpoint), correct in parts.items():
            predicted = np.where(np.isin(np.arange(10), list(correct)), 0, 1)
            row = {"checkpoint": checkpoint, "attack": attack, "index": np.arange(10), "label": 0}
            frames.append(pd.DataFrame(row | {"prediction_adversarial": predicted}))
        paths.append(write(folder / "digits" / recipe / "seed0" / "brief.parquet", pd.concat(frames)))
    return paths


def measured(folder, recipe="sat-early", shift=0.0):
    energy, prediction = shift + np.array([-12.0, -9.0, -9.1, -4.0, -2.0]), [0, 0, 1, 0, 1]
    frame = pd.DataFrame({"index": range(5), "label": 0, "prediction": prediction, "marginal": energy, "joint": energy})
    return write(folder / "energies" / "digits" / recipe / "seed0" / "training-images.parquet", frame)


SAT = {
    ("clean", "best"): range(9),
    ("clean", "last"): range(9),
    ("pgd20", "best"): range(6),
    ("pgd20", "last"): range(5),
}
NO_HIGH = {
    ("clean", "best"): range(7),
    ("clean", "last"): range(9),
    ("pgd20", "best"): range(1, 4),
    ("pgd20", "last"): range(0),
}


def test_subsets_shows_paired_differences_with_their_intervals(tmp_path):
    runs = write_subsets(tmp_path, {"sat": SAT, "sat-no-high": NO_HIGH})
    drawing = energy_subsets.build([measured(tmp_path)], runs, "embedded", "digits")
    below = drawing.figure.axes[1]
    differences = {  # by hand, image by image
        "clean accuracy": [0] * 7 + [-1, -1, 0],
        "accuracy under PGD-20": [-1, 0, 0, 0, -1, -1, 0, 0, 0, 0],
        "robust overfitting: PGD-20, best minus last": [0, 1, 1, 1, 0, -1, 0, 0, 0, 0],
    }
    for drawn in below.containers:
        values = 100 * np.array(differences.pop(drawn.get_label()))
        mean, half = values.mean(), stats.t.ppf(0.975, 9) * values.std(ddof=1) / math.sqrt(10)
        assert drawn.lines[0].get_xdata() == pytest.approx([mean])
        (segment,) = drawn.lines[2][0].get_segments()
        assert segment[:, 0] == pytest.approx([mean - half, mean + half])
    assert not differences
    assert [label.get_text() for label in below.get_yticklabels()] == ["without high-energy images"]
    assert "minus SAT" in drawing.caption and "images only (one seed)" in drawing.caption


def test_subsets_histogram_holds_every_image_and_the_papers_thresholds(tmp_path):
    runs = write_subsets(tmp_path, {"sat": SAT, "sat-no-high": NO_HIGH})
    above = energy_subsets.build([measured(tmp_path)], runs, "embedded", "digits").figure.axes[0]
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
    sat, early, _ = energy_subsets.build(energies, runs, "embedded", "digits").figure.axes
    assert [axes.get_title() for axes in (sat, early)] == ["SAT", "SAT, a few epochs"]
    for axes, low, high in ((sat, -12, -2), (early, 8, 18)):
        patches = [patch for container in axes.containers for patch in container]
        assert min(patch.get_x() for patch in patches) == pytest.approx(low)
        assert max(patch.get_x() + patch.get_width() for patch in patches) == pytest.approx(high)
        assert sum(patch.get_height() for patch in patches) == pytest.approx(100)
    assert sat.get_xlim() == early.get_xlim()


def test_subsets_says_which_runs_are_missing(tmp_path):
    energies = [measured(tmp_path)]
    with pytest.raises(RobustlensError, match="-no-"):
        energy_subsets.build(energies, write_subsets(tmp_path, {"sat": SAT}), "embedded", "digits")
    with pytest.raises(RobustlensError, match="sat-no-high and sat have no seed"):
        energy_subsets.build(energies, write_subsets(tmp_path, {"sat-no-high": NO_HIGH}), "embedded", "digits")
    only_best = {key: value for key, value in NO_HIGH.items() if key[1] == "best"}
    with pytest.raises(RobustlensError, match="best and last"):
        runs = write_subsets(tmp_path, {"sat": SAT, "sat-no-high": only_best})
        energy_subsets.build(energies, runs, "embedded", "digits")


def write_class_scores(folder, distances, kernel=None):
    """distances, kernel: {recipe: one `frechet_per_class`, or one `kid_per_class`, a seed}."""
    paths = []
    for recipe, of_seeds in distances.items():
        for seed, per_class in enumerate(of_seeds):
            path = folder / "generation" / "digits" / recipe / f"seed{seed}" / "scores.json"
            path.parent.mkdir(parents=True)
            labels = {"frechet": "Fréchet classifier distance", "kid": "kernel classifier distance"}
            content = {"names": labels, "dims": 16, "frechet_per_class": per_class}
            if kernel:
                content["kid_per_class"] = kernel[recipe][seed]
            path.write_text(json.dumps(content))
            paths.append(path)
    return paths


def test_class_distances_are_means_over_seeds_with_their_deviation(tmp_path):
    distances = {
        "sat": [{"0": 1.0, "10": 4.0, "2": 2.0}, {"0": 3.0, "10": 4.0, "2": 5.0}],
        "trades": [None, {"0": 7.0}],
    }
    drawing = energy_class_distances.build(write_class_scores(tmp_path, distances), "embedded", "digits")
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
    drawing = energy_class_distances.build(write_class_scores(tmp_path / "few", few, kernel), "embedded", "digits")
    sat, trades = drawing.figure.axes[0].containers
    assert sat.lines[0].get_ydata() == pytest.approx([0.375, -0.125])
    assert trades.lines[0].get_ydata() == pytest.approx([0.125, 0.25])
    axes = drawing.figure.axes[0]
    assert axes.get_ylim()[0] < -0.125 and axes.get_ylabel() == "kernel classifier distance"
    assert drawing.title == "Kernel classifier distance, class by class"
    assert "stands for the Fréchet classifier distance, which needs more" in drawing.caption
    assert "Not shown" not in drawing.caption
    full = few | {"sat": [{"0": 1.0, "1": 2.0}, {"0": 2.0, "1": 2.0}]}
    drawing = energy_class_distances.build(write_class_scores(tmp_path / "full", full, kernel), "embedded", "digits")
    assert drawing.figure.axes[0].containers[0].lines[0].get_ydata() == pytest.approx([1.5, 2.0])
    assert drawing.figure.axes[0].get_ylabel() == "Fréchet classifier distance"
    assert drawing.figure.axes[0].get_ylim()[0] == 0


def test_class_distances_that_are_nowhere_known_are_explained(tmp_path, study):
    paths = write_class_scores(tmp_path, {"sat": [None, None]})
    drawing = energy_class_distances.build(paths, "embedded", "digits")
    (text,) = drawing.figure.axes[0].texts
    assert "dimensions (16 here)" in text.get_text().replace("\n", " ") and "(16 here)" in drawing.caption
    older = energy_class_distances.build(study.scores, "embedded", "digits")  # files without the entry
    assert "There is no distance class by class" in older.caption
    with pytest.raises(RobustlensError, match="generation"):
        energy_class_distances.build([], "embedded", "digits")


def write_grid(folder, settings):
    """settings: (init, momentum, steps, distance) each. The energy of setting s after step t is -s - t; its images
    are of grey level s / 10 + class / 100 + copy / 1000."""
    place = folder / "generation" / "digits" / "sat" / "seed0"
    common = {"retained_variance": 0.95, "sigma": 0.5, "step_size": 0.1, "noise": 0.0, "frechet_two_half_spread": 0.25}
    common |= {"n_generated": 30, "frechet_name": "Fréchet classifier distance"}
    rows = [
        common | {"setting": s, "init": init, "momentum": momentum, "steps": steps, "frechet": distance}
        for s, (init, momentum, steps, distance) in enumerate(settings)
    ]
    chains = [
        {"setting": r["setting"], "step": t, "joint": -r["setting"] - t} for r in rows for t in range(r["steps"] + 1)
    ]
    levels = np.indices((len(settings), 3, 2))
    images = (levels[0] / 10 + levels[1] / 100 + levels[2] / 1000)[..., None, None, None] * np.ones((1, 4, 4))
    grid = write(place / "grid.parquet", pd.DataFrame(rows)), write(place / "grid-chains.parquet", pd.DataFrame(chains))
    np.savez(place / "grid.npz", images=images.astype(np.float32))
    return {"grid": [grid[0]], "chains": [grid[1]], "samples": [place / "grid.npz"]}


SETTINGS = [
    ("noise", 0.0, 5, 9.0),
    ("noise", 0.0, 10, 8.0),
    ("pca", 0.0, 5, 3.0),
    ("pca", 0.8, 5, 1.25),
    ("gaussian", 0.8, 5, 2.0),
]


def test_grid_shows_the_images_and_the_label_of_each_setting_and_frames_the_best(tmp_path):
    drawing = energy_grid.build(**write_grid(tmp_path, SETTINGS), scale="embedded", title="digits")
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
    drawing = energy_grid.build(**write_grid(tmp_path, SETTINGS), scale="embedded", title="digits")
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
    figure = energy_grid.build(**write_grid(tmp_path, settings), scale="embedded", title="digits").figure
    assert len(settings) == 44 and figure.get_size_inches()[1] <= 9.5


def test_grid_refuses_files_that_do_not_belong_together(tmp_path):
    files = write_grid(tmp_path / "a", SETTINGS)
    other = write_grid(tmp_path / "b", SETTINGS[:2])
    with pytest.raises(RobustlensError, match="images of 2 settings"):
        energy_grid.build(**files | {"samples": other["samples"]}, scale="embedded", title="digits")
    with pytest.raises(RobustlensError, match="1 grids, 0 files of chains"):
        energy_grid.build(**files | {"chains": []}, scale="embedded", title="digits")


@pytest.fixture
def new_drawings(study, tmp_path):
    """{figure: draws it anew}."""
    history = write_bent_histories(tmp_path, "sat", [(5, 15), (6, 16)])
    energies = write_tracked(tmp_path, "sat", (1, 6, 20))
    runs = write_subsets(tmp_path / "subsets", {"sat": SAT, "sat-no-high": NO_HIGH})
    scores = write_class_scores(tmp_path, {"sat": [{"0": 1.0, "1": 4.0}]})
    grid, images = write_grid(tmp_path, SETTINGS), [measured(tmp_path)]
    return {
        "plane": lambda: energy_plane.build(energies, history, "embedded", "digits"),
        "phases": lambda: energy_phases.build(history, "embedded", "digits"),
        "correlation": lambda: energy_correlation.build(study.history, "embedded", "digits"),
        "violins": lambda: energy_violins.build(study.robustness, "embedded", "digits"),
        "subsets": lambda: energy_subsets.build(images, runs, "embedded", "digits"),
        "class-distances": lambda: energy_class_distances.build(scores, "embedded", "digits"),
        "grid": lambda: energy_grid.build(**grid, scale="embedded", title="digits"),
    }


def test_latex_can_print_what_the_figures_say(new_drawings):
    for draw in new_drawings.values():
        drawing = draw()
        assert latex(drawing.title) and latex(drawing.caption)
        assert drawing.caption.endswith("no evidence about CIFAR-10.")


def test_a_dollar_sign_in_a_title_is_drawn_as_it_is(new_drawings, study, tmp_path, monkeypatch):
    for recipe in names.RECIPES:
        monkeypatch.setitem(names.RECIPES, recipe, f"{recipe} $b^^$")  # as a formula it would be an error
    new_drawings["delta"] = lambda: energy_delta.build(study.history, "embedded", "digits")
    new_drawings["samples"] = lambda: energy_samples.build(study.samples, "embedded", "digits")
    for name, draw in new_drawings.items():
        drawing = draw()
        save(drawing, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
        texts = [text.get_text() for text in drawing.figure.findobj(Text)]
        assert any(r"\$b^^\$" in text for text in texts) == (name not in ("plane", "grid")), name  # in their captions
    energy_plane.animate(write_tracked(tmp_path, "sat", (1,)), "a $b^^$", tmp_path / "plane.gif")


@pytest.mark.parametrize("name", ["plane", "violins", "grid"])
def test_a_figure_drawn_anew_has_the_same_bytes(new_drawings, tmp_path, name):
    for folder in ("one", "two"):
        save(new_drawings[name](), tmp_path / folder / "f.pdf", tmp_path / folder / "f.png")
    for file in ("f.pdf", "f.png"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


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


def test_an_edge_that_is_at_zero_but_for_rounding_leaves_no_trace_in_the_bytes(tmp_path):
    for name, edge in (("above", 1e-18), ("below", -1e-18)):
        figure = Figure(figsize=(2, 2))
        below = figure.subfigures(2, 1)[1]
        below.bbox_relative.p0 = (0, edge)
        below.subplots().plot([0, 1])
        save(Drawing(figure, "title", "caption"), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    assert (tmp_path / "above.pdf").read_bytes() == (tmp_path / "below.pdf").read_bytes()
