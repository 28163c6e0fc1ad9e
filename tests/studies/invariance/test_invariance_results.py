"""Numbers of this study's tables, figures and claims, by hand from small results."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from layers import convolve, shaken
from made_up import claims_data
from synthetic import THREAT, THREATS, write_evaluations
from torch import nn

from robustlens.analysis.claims import CONTRADICTED, OPEN, SUPPORTED, judge
from robustlens.analysis.measured import as_claims_say
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.models.weights import build, save_weights
from robustlens.report.context import Context, Recipe
from robustlens.seeds import generator
from robustlens.study.declaration import USES
from studies.invariance import training
from studies.invariance.channels import MEANS, VARIANCES, distance, read_channels
from studies.invariance.claims import CLAIMS
from studies.invariance.claims.accuracy import LITTLE
from studies.invariance.claims.data import STANDS_FOR
from studies.invariance.claims.mechanism import two_updates
from studies.invariance.features import compared_features, load_natural
from studies.invariance.figures import ablations, trade_off
from studies.invariance.figures import channels as channels_figure
from studies.invariance.figures import mixture as mixture_figure
from studies.invariance.tables import batchnorms, conflict, evaluators, features, mixture
from studies.invariance.tables import trade_off as table

ARCHITECTURE = {"family": "resnet", "blocks": [1], "width": 4, "block": "basic"}
PUBLISHED = """
architectures: {tiny: {family: resnet, blocks: [1], width: 4, block: basic}}
blocks:
  - {source: A, trust: made up, dataset: digits, architecture: tiny, norm: linf, epsilon: 3/16,
     metrics: [clean, sum], values: {sat: [81.5, 122.5]}}
"""


def context(name, *recipes, **more):
    known = {
        recipe: Recipe(
            {"sat": "SAT", "naive": "NAIVE"}[recipe],
            changes=changes,
            colour="#D55E00",
            marker="o",
            threats={"digits": THREAT},
            architectures={"digits": ARCHITECTURE},
        )
        for recipe, changes in recipes
    }
    attacks = {"clean": "clean", "pgd20": "PGD-20", "autoattack": "AutoAttack"}
    attacks |= {"autoattack-10": "AutoAttack of 10", "pgd20-off-centre": "off-centre"}
    fields = {"recipes": known, "attacks": attacks, "threats": THREATS, "uses": USES}
    return Context(name, "invariance", **(fields | more))


def answers(rights, checkpoint="best"):
    """attack -> which of the images (index 0, 1, ...) are right."""
    frames = []
    for attack, right in rights.items():
        index = np.array(sorted(right))
        predicted = np.array([0 if right[i] else 1 for i in index])
        columns = {"index": index, "label": 0, "prediction_natural": 0, "prediction_adversarial": predicted}
        frames.append(pd.DataFrame(columns).assign(checkpoint=checkpoint, attack=attack, broken_by=""))
    return pd.concat(frames, ignore_index=True)


def images(text, every=1):
    """'110' -> {0: True, 1: True, 2: False}, or only every n-th of them."""
    return {i: c == "1" for i, c in enumerate(text) if i % every == 0}


@pytest.fixture
def evaluations(tmp_path):
    """SAT of two seeds: AutoAttack was tried on images 0, 2 and 4 alone. naive of one seed."""
    made = [
        ("sat", 0, {"clean": images("111011"), "autoattack": images("100010", 2), "pgd20": images("110010")}),
        ("sat", 1, {"clean": images("111111"), "autoattack": images("101000", 2), "pgd20": images("101000")}),
        ("naive", 0, {"clean": images("111000"), "autoattack": images("100000", 2), "pgd20": images("100000")}),
    ]
    return [write_evaluations(tmp_path, answers(rights), recipe, seed) for recipe, seed, rights in made]


def cells(found, label):
    (row,) = [row for row in found.rows if row.label == label]
    return dict(zip([f"{c.group}: {c.label}" for c in found.columns], row.cells, strict=True))


def test_the_sum_is_of_the_images_that_autoattack_was_tried_on(evaluations, tmp_path):
    published = tmp_path / "published.yaml"
    published.write_text(PUBLISHED)
    built = table.build(context("t", ("sat", None), ("naive", None)), evaluations=evaluations, published=published)
    found = cells(built, "SAT")
    # clean of seed 0: 5 of 6; of 0, 2, 4 all are right without an attack, and 2 and 1 of them under AutoAttack
    assert found["Best checkpoint: clean"].value == pytest.approx((100 * 5 / 6 + 100) / 2)
    assert found["Best checkpoint: AutoAttack"].value == pytest.approx(100 * (2 / 3 + 2 / 3) / 2)
    assert found["Best checkpoint: Sum"].value == pytest.approx(100 + 100 * 2 / 3)
    assert found["Best checkpoint: Sum"].n_images == 3 and found["Best checkpoint: Sum"].n_seeds == 2
    assert found["Best checkpoint: Sum"].published.value == 122.5
    assert len(found["Best checkpoint: Sum"].sources) == 4
    assert cells(built, "NAIVE")["Best checkpoint: Sum"].value == pytest.approx(100 * (2 / 3 + 1 / 3))


def test_published_numbers_stand_beside_the_last_checkpoint_where_it_was_attacked(evaluations, tmp_path):
    published = tmp_path / "published.yaml"
    published.write_text(PUBLISHED)
    rights = {"clean": images("1110"), "autoattack": images("1000")}
    both = pd.concat([answers(rights), answers(rights, "last")])
    path = write_evaluations(tmp_path / "other", both, "sat", 0)
    found = cells(table.build(context("t", ("sat", None)), evaluations=[path], published=published), "SAT")
    assert found["Last checkpoint: Sum"].published.value == 122.5 and found["Best checkpoint: Sum"].published is None


def test_accuracies_are_judged_beside_the_paper_s_and_sums_are_not(tmp_path):
    """Of 2,000 images, at a scale without a caveat; the paper prints a deviation of 0.3 behind its accuracy."""
    counts = {0: (1630, 900), 1: (1634, 904), 2: (1629, 896)}
    files = []
    for seed, (clean, robust) in counts.items():
        rights = {attack: {i: i < k for i in range(2000)} for attack, k in (("clean", clean), ("autoattack", robust))}
        files.append(write_evaluations(tmp_path, answers(rights), "sat", seed))
    published = tmp_path / "published.yaml"
    published.write_text(PUBLISHED.rstrip()[:-1] + ", deviations: {sat: [0.3, null]}}\n")
    built = table.build(context("t", ("sat", None)), evaluations=files, published=published)
    found = cells(built, "SAT")
    clean = [100 * k / 2000 for k, _ in counts.values()]
    mean = sum(clean) / 3
    seeds = 4.302652729911275 * math.sqrt(sum((x - mean) ** 2 for x in clean) / 2 / 3)  # the quantile of t at 2
    half = math.sqrt(seeds**2 + 1.959963984540054**2 * (mean * (100 - mean) / 2000 + 0.3**2))
    judged = found["Best checkpoint: clean"].reproduction
    assert (judged.low, judged.high) == pytest.approx((mean - 81.5 - half, mean - 81.5 + half))
    assert judged.verdict == "reproduced" and half < 2
    total = found["Best checkpoint: Sum"]
    assert total.published.value == 122.5 and total.reproduction is None
    assert any(note.endswith("Sums are not judged apart from the accuracies that they are of.") for note in built.notes)
    other = table.build(context("t", ("sat", None), caveat="Small."), evaluations=files, published=published)
    assert all(cell.published is None and cell.reproduction is None for cell in other.rows[0].cells)
    assert [cell.value for cell in other.rows[0].cells] == [cell.value for cell in built.rows[0].cells]


def test_an_evaluator_is_compared_on_the_images_that_both_have(tmp_path):
    rights = {"autoattack": images("100010", 2), "autoattack-10": images("101010"), "pgd20": images("111000")}
    path = write_evaluations(tmp_path, answers(rights), "sat", 0)
    found = cells(evaluators.build(context("t", ("sat", None)), evaluations=[path]), "SAT")
    group = "AutoAttack, accuracy in %"
    assert found[f"{group}: standard"].value == pytest.approx(200 / 3)
    assert found[f"{group}: as released"].value == pytest.approx(100)
    assert found[f"{group}: difference"].value == pytest.approx(100 / 3)
    assert list(found) == [f"{group}: {name}" for name in ("standard", "as released", "difference")]


def test_the_figure_of_the_trade_off_has_each_recipe_s_accuracies(evaluations):
    drawing = trade_off.build(context("f", ("sat", None), ("naive", None)), evaluations=evaluations)
    under_autoattack, under_pgd = drawing.figure.axes
    assert re.match(r"Accuracy under \S+ is between 33 .*% \(NAIVE\) and 67 .*% \(SAT\)", drawing.caption)
    points = [line.get_xydata()[0] for line in under_autoattack.lines if line.get_marker() == "o"]
    assert points[0] == pytest.approx([(100 * 5 / 6 + 100) / 2, 100 * 2 / 3])
    assert points[1] == pytest.approx([50, 100 / 3])
    points = [line.get_xydata()[0] for line in under_pgd.lines if line.get_marker() == "o"]
    assert points[0] == pytest.approx([(100 * 5 / 6 + 100) / 2, 100 * (3 / 6 + 2 / 6) / 2])


def test_lines_of_equal_sums_have_equal_sums(evaluations):
    drawing = trade_off.build(context("f", ("sat", None), ("naive", None)), evaluations=evaluations)
    for axes in drawing.figure.axes:
        lines = [line.get_xydata().sum(axis=1) for line in axes.lines if line.get_marker() != "o"]
        assert lines and all(np.ptp(total) < 1e-9 and total[0] % 5 == pytest.approx(0, abs=1e-9) for total in lines)


def test_bars_of_ablations_are_differences_of_shared_seeds(evaluations):
    drawing = ablations.build(context("f", ("sat", None), ("naive", "sat")), evaluations=evaluations)
    (axes,) = drawing.figure.axes
    widths = [bar.get_width() for bar in axes.patches if bar.get_height() and bar.get_width()]
    assert widths == pytest.approx([50 - 100 * 5 / 6, 100 / 6 - 50])
    assert drawing.caption.startswith("Of 1 change, by intervals that exclude 0, ")


def test_the_caption_of_ablations_names_what_has_not_learned(tmp_path):
    def drawn_with(right):
        rights = {"clean": images("1" * right + "0" * (6 - right)), "pgd20": images("100000")}
        naive = write_evaluations(tmp_path / str(right), answers(rights), "naive", 0)
        return ablations.build(context("f", ("sat", None), ("naive", "sat")), evaluations=[sat, naive]).caption

    sat = write_evaluations(tmp_path, answers({"clean": images("111100"), "pgd20": images("111000")}), "sat", 0)
    assert "Not learned: NAIVE. Without an attack" in drawn_with(1)
    assert drawn_with(1).startswith("Of 0 changes,")  # a training that failed is no finding about the change
    assert "Not learned" not in drawn_with(2)  # half of 4
    assert drawn_with(2).startswith("Of 1 change,")


# Features -----------------------------------------------------------------------------------------------------------


def test_features_are_compared_image_by_image():
    torch.manual_seed(0)
    model = build(ARCHITECTURE, 1, 3).eval()
    random = np.random.default_rng(0)
    split = Split(random.integers(0, 256, (5, 1, 8, 8), dtype=np.uint8), np.arange(5) % 3, np.arange(10, 15), 255)
    threat = Threat("linf", 0.1, 0.03)
    found, _ = compared_features(model, split, threat, seed=1, batch_size=2)
    assert found["index"].tolist() == [10, 11, 12, 13, 14]
    for start in (0, 2, 4):
        where = slice(start, start + 2)
        x, y = torch.from_numpy(split.pixels(where)), torch.from_numpy(split.labels[where])
        x_adv = PGD(steps=20)(model, x, y, threat, generator(1, "pgd20", start))
        with torch.no_grad():
            z, z_adv = (model.features(images).double().numpy() for images in (x, x_adv))
        for row, a, b in zip(found.iloc[where].itertuples(), z_adv, z, strict=True):
            norm = float(np.sqrt((b * b).sum()))
            assert row.norm == pytest.approx(norm, rel=1e-4)
            assert row.distance == pytest.approx(float(np.sqrt(((a - b) ** 2).sum())), rel=1e-3)
            assert row.cosine == pytest.approx(float((a * b).sum() / norm / np.sqrt((a * a).sum())), rel=1e-4)


def test_features_of_a_model_in_train_mode_leave_it_as_it_was():
    model = build(ARCHITECTURE, 1, 3).eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    split = Split(np.zeros((3, 1, 8, 8), np.uint8), np.arange(3), np.arange(3), 255)
    compared_features(model, split, Threat("linf", 0.1, 0.03), seed=1, batch_size=3)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert isinstance(model.linear, nn.Linear) and model.linear.weight.requires_grad


def given_to(network, layers, x):
    """What these layers are given, as arrays."""
    seen = {}
    for layer in layers:
        network.get_submodule(layer).register_forward_pre_hook(lambda _, x, name=layer: seen.update({name: x[0]}))
    with torch.no_grad():
        network(x)
    return {layer: x.double().numpy() for layer, x in seen.items()}


def test_channels_have_the_mean_and_variance_of_all_images_whatever_the_batches():
    """In float64 by hand: the inputs of the first BatchNorm by loops over positions, those of the others as the network
    gives them for all images at once."""
    torch.manual_seed(0)
    model, natural_model = (shaken(build(ARCHITECTURE, 1, 3), seed) for seed in (0, 1))
    natural_model.conv1.load_state_dict(model.conv1.state_dict())
    random = np.random.default_rng(0)
    split = Split(random.integers(0, 256, (5, 1, 8, 8), dtype=np.uint8), np.arange(5) % 3, np.arange(5), 255)
    threat = Threat("linf", 0.1, 0.03)
    _, channels = compared_features(model, split, threat, seed=1, batch_size=2, natural_model=natural_model)
    attacked = []
    for start in (0, 2, 4):
        where = slice(start, start + 2)
        x, y = torch.from_numpy(split.pixels(where)), torch.from_numpy(split.labels[where])
        attacked.append(PGD(steps=20)(model, x, y, threat, generator(1, "pgd20", start)))
    given = {"natural": torch.from_numpy(split.pixels(slice(0, 5))), "adversarial": torch.cat(attacked)}
    layers = ["bn1", "layer1.0.bn1", "layer1.0.bn2"]
    assert len(channels) == 2 * 3 * 4 and list(channels["layer"].unique()) == layers
    weight = model.conv1.weight.detach().double().numpy()
    for kind, network in (("natural", natural_model), ("adversarial", model)):
        maps = given_to(network, layers, given[kind])
        maps["bn1"] = np.stack([convolve(image, weight, 1, 1) for image in given[kind].double().numpy()])
        for depth, layer in enumerate(layers, start=1):
            norm = network.get_submodule(layer)
            for channel in range(4):
                (row,) = channels[
                    (channels["images"] == kind) & (channels["layer"] == layer) & (channels["channel"] == channel)
                ].itertuples()
                values = [float(v) for v in maps[layer][:, channel].ravel()]
                mean = sum(values) / len(values)
                assert row.mean == pytest.approx(mean, rel=1e-4, abs=1e-6)
                variance = sum((v - mean) ** 2 for v in values) / len(values)
                assert row.variance == pytest.approx(variance, rel=1e-4)
                stored = float(norm.running_mean[channel]), float(norm.running_var[channel])
                assert (row.running_mean, row.running_variance, row.depth, row.eps) == (*stored, depth, 1e-5)


def test_the_classifier_of_natural_images_is_the_one_with_their_batchnorm(tmp_path):
    ours, file = shaken(build(ARCHITECTURE, 1, 3)).state_dict(), tmp_path / "checkpoints.safetensors"
    others = {f"best-worst-class.{name}": t for name, t in build(ARCHITECTURE, 1, 3).state_dict().items()}
    save_weights(others, file)
    assert load_natural(file, ARCHITECTURE, 1, 3) is None
    save_weights(others | {f"best-natural-batchnorm.{name}": t for name, t in ours.items()}, file)
    found = load_natural(file, ARCHITECTURE, 1, 3)
    assert not found.training and all(torch.equal(t, ours[name]) for name, t in found.state_dict().items())


CHANNEL = {"layer": ["a", "a", "b"], "depth": [1, 1, 2], "channel": [0, 1, 0], "eps": 0.0}


def channels_of(folder, recipe, stored, seed=0):
    """Three channels of two BatchNorms. Means 1, 2 and 0 of natural images and 3, 2 and 1 of adversarial ones,
    variances 1, 4, 9 and 3, 4, 1. stored: running mean and variance of all channels, for either kind."""
    file = folder / "features" / "digits" / recipe / f"seed{seed}" / THREAT / "robustness" / "channels.parquet"
    file.parent.mkdir(parents=True)
    numbers = {"natural": ([1.0, 2.0, 0.0], [1.0, 4.0, 9.0]), "adversarial": ([3.0, 2.0, 1.0], [3.0, 4.0, 1.0])}
    frames = [
        pd.DataFrame(CHANNEL | {"mean": mean, "variance": variance, "images": kind}).assign(
            running_mean=stored[kind][0], running_variance=stored[kind][1]
        )
        for kind, (mean, variance) in numbers.items()
    ]
    pd.concat(frames).to_parquet(file, index=False)
    return file


def test_channels_are_apart_by_the_formula(tmp_path):
    """As the mean over the channels of a BatchNorm and then over BatchNorms."""
    stored = {"natural": (2.0, 4.0), "adversarial": (2.0, 4.0)}
    rows = read_channels([channels_of(tmp_path, "sat", stored)])
    found = distance(rows, "natural", "adversarial", MEANS)
    assert found == pytest.approx(((4 / 2 + 0 / 4) / 2 + 1 / 5) / 2, rel=1e-12)
    found = distance(rows, "natural", "adversarial", VARIANCES)
    assert found == pytest.approx(((np.log(3) + 0) / 2 + np.log(9)) / 2, rel=1e-12)
    found = distance(rows, "running_adversarial", "adversarial", MEANS)
    assert found == pytest.approx(((1 / 3.5 + 0) / 2 + 1 / 2.5) / 2, rel=1e-12)
    found = distance(rows, "running_natural", "natural", VARIANCES)
    assert found == pytest.approx(((np.log(4) + 0) / 2 + np.log(9 / 4)) / 2, rel=1e-12)
    twice = read_channels([channels_of(tmp_path, "naive", stored, seed) for seed in (0, 1)])
    assert distance(twice, "natural", "adversarial", MEANS) == pytest.approx(0.6, rel=1e-12)


def test_the_figure_of_channels_shows_each_of_them_and_how_far_they_are_apart(tmp_path):
    shared = channels_of(tmp_path, "sat", {"natural": (2.0, 4.0), "adversarial": (2.0, 4.0)})
    split = channels_of(tmp_path, "naive", {"natural": (1.0, 4.0), "adversarial": (2.0, 4.0)})
    drawing = channels_figure.build(context("f", ("sat", None), ("naive", None)), channels=[shared, split])
    panels = drawing.figure.axes[:4]
    assert [axes.get_title(loc="left") for axes in panels] == [
        *("SAT", "one BatchNorm for both"),
        *("NAIVE", "one BatchNorm for each"),
    ]
    spread = np.sqrt([2, 4, 5])
    for axes, natural, adversarial, apart in (
        (panels[0], [1, 2, 0] / spread, [3, 2, 1] / spread, "0.6"),
        (panels[1], [1, 4, 9], [3, 4, 1], "1.37"),
    ):
        np.testing.assert_allclose(axes.collections[0].get_offsets(), np.transpose([natural, adversarial]))
        assert axes.texts[0].get_text().startswith(f"natural to adversarial: {apart}\nstored to natural: ")
    assert "Seed 0." in drawing.caption
    assert "natural and adversarial means is between 0.60 (SAT) and 0.60 (NAIVE)." in drawing.caption


def test_a_network_without_batchnorm_has_no_channels_to_draw(tmp_path):
    model = build({"family": "small-cnn"}, 1, 3).eval()
    split = Split(np.zeros((2, 1, 28, 28), np.uint8), np.arange(2), np.arange(2), 255)
    _, channels = compared_features(model, split, Threat("linf", 0.1, 0.03), seed=1, batch_size=2)
    file = tmp_path / "features" / "digits" / "sat" / "seed0" / THREAT / "robustness" / "channels.parquet"
    file.parent.mkdir(parents=True)
    channels.to_parquet(file, index=False)
    with pytest.raises(RobustlensError, match="no BatchNorm to look at; take the cohort `channels` out"):
        channels_figure.build(context("f", ("sat", None)), channels=[file])


# What observers saw -------------------------------------------------------------------------------------------------


def rows(values, recipe="arat", seed=0):
    """values: by (epoch, step)."""
    observer, statistic = training.CONFLICT
    of_run = {"recipe": recipe, "seed": seed, "source": f"{recipe}/{seed}", "dataset": "digits"}
    return pd.DataFrame(
        {"epoch": e, "step": s, "observer": observer, "statistic": statistic, "value": v} | of_run
        for (e, s), v in values.items()
    )


def test_only_the_second_half_of_the_epochs_counts():
    seen = rows({(1, 1): 9.0, (2, 3): 9.0, (3, 5): 1.0, (4, 7): 2.0, (4, 8): 6.0})
    assert training.late(seen)["value"].tolist() == [1.0, 2.0, 6.0]
    assert training.by_epoch(seen).loc[0].tolist() == [9.0, 9.0, 1.0, 4.0]


def test_recipes_are_compared_on_seeds_that_both_have_and_each_by_its_own_steps():
    """Batches of another size are observed at other steps, and at another number of them."""
    first = pd.concat([rows({(3, 1): 1.0, (4, 2): 2.0}, "a", 0), rows({(3, 1): 5.0, (4, 2): 6.0}, "a", 1)])
    second = pd.concat([rows({(4, 9): 2.0}, "b", 1), rows({(3, 1): 0.0, (4, 9): 2.0}, "b", 2)])
    assert training.differences(first, second).tolist() == [[5.5 - 2.0]]
    assert training.differences(first, second[second["seed"] == 2]).size == 0


def test_conflict_by_layer_is_the_mean_of_late_steps_and_seeds():
    def of_layer(layer, *values, recipe="arat"):
        frames = [rows({(1, 1): 9.0, (2, 2): value}, recipe, seed) for seed, value in enumerate(values)]
        return pd.concat(frames).assign(statistic=training.IN_LAYER + layer)

    whole = rows({(1, 1): 0.0, (2, 2): 0.0})
    seen = pd.concat(
        [whole, of_layer("conv1", 0.2, 0.4), of_layer("linear", 0.0), of_layer("conv1", 0.5, recipe="sat")]
    )
    found = training.conflict_by_layer(seen)
    assert found.index.tolist() == ["arat", "sat"] and found.columns.tolist() == ["conv1", "linear"]
    assert found.loc["arat"].tolist() == pytest.approx([0.3, 0.0])
    assert found.loc["sat", "conv1"] == 0.5 and np.isnan(found.loc["sat", "linear"])
    assert training.conflict_by_layer(whole).empty


def observations(folder, values, which, recipe="sat", seed=0):
    """The file of a run that saw these values of a statistic. values: by (epoch, step)."""
    observer, statistic = which
    seen = [{"epoch": e, "step": s, "observer": observer, "statistic": statistic, "value": v} for (e, s), v in values]
    path = folder / "runs" / "digits" / recipe / f"seed{seed}" / "statistics.parquet"
    path.parent.mkdir(parents=True)
    pd.DataFrame(seen).to_parquet(path, index=False)
    return path


@pytest.mark.parametrize(
    ("built", "which", "column", "expected"),
    [
        (conflict, training.CONFLICT, "Gradients of classification and invariance: in conflict, %", 350.0),
        (mixture, training.MEANS, "Inputs, natural against adversarial: means", 3.5),
        (mixture, training.MOVED_NATURAL, "Running means, movement: natural", 3.5),
        (mixture, training.VARIANCES, "Inputs, natural against adversarial: variances", 3.5),
        (mixture, training.CHANGED_SHARED, "Running variances, movement: shared", 3.5),
        (mixture, training.CHANGED_ADVERSARIAL, "Running variances, movement: adversarial", 3.5),
        (mixture, training.CHANGED_NATURAL, "Running variances, movement: natural", 3.5),
        (mixture, training.MOVED_SHARED, "Running means, movement: shared", 3.5),
        (mixture, training.MOVED_ADVERSARIAL, "Running means, movement: adversarial", 3.5),
        (conflict, training.COSINE, "Gradients of classification and invariance: cosine", 3.5),
        (
            conflict,
            ("gradient-conflict", "teacher-distance/cosine"),  # of LBGAT with one network
            "Gradients of classification and invariance: cosine",
            3.5,
        ),
        (conflict, ("loss-terms", "distance/gradient"), "Gradient of invariance: norm", 3.5),
        (conflict, training.GRADIENT, "Gradient of invariance: norm", 3.5),
        (conflict, training.FEATURE_COSINE, "Adversarial and natural features: cosine", 3.5),
        (conflict, training.DISTANCE, "Adversarial and natural features: distance", 3.5),
        (conflict, training.DRIFT, "Adversarial and natural features: drift per epoch", 3.5),
    ],
)
def test_a_table_of_statistics_has_means_of_seeds_over_late_steps(built, which, column, expected, tmp_path):
    first = observations(tmp_path, {(1, 1): 90.0, (2, 2): 90.0, (3, 3): 1.0, (4, 4): 2.0, (4, 5): 6.0}.items(), which)
    second = observations(tmp_path, {(1, 1): 90.0, (2, 2): 90.0, (4, 4): 4.0}.items(), which, seed=1)
    found = cells(built.build(context("t", ("sat", None)), statistics=[first, second]), "SAT")
    assert found[column].value == pytest.approx(expected)  # of (1 + 2 + 6) / 3 and 4
    assert found[column].n_seeds == 2


@pytest.mark.parametrize(
    ("panel", "which", "style"),
    [
        (0, training.MEANS, "-"),
        (1, training.VARIANCES, "-"),
        (2, training.MOVED_SHARED, "-"),
        (2, training.MOVED_ADVERSARIAL, "--"),
        (2, training.MOVED_NATURAL, ":"),
        (3, training.CHANGED_SHARED, "-"),
        (3, training.CHANGED_ADVERSARIAL, "--"),
        (3, training.CHANGED_NATURAL, ":"),
    ],
)
def test_a_panel_of_the_mixture_has_the_means_of_seeds_epoch_by_epoch(panel, which, style, tmp_path):
    first = observations(tmp_path, {(1, 1): 1.0, (1, 2): 3.0, (2, 3): 8.0}.items(), which)
    second = observations(tmp_path, {(1, 1): 4.0, (2, 3): 6.0}.items(), which, seed=1)
    drawing = mixture_figure.build(context("f", ("sat", None)), statistics=[first, second])
    drawn = {place: axes.lines for place, axes in enumerate(drawing.figure.axes) if axes.lines}
    assert drawn.keys() == {panel}
    (line,) = drawn[panel]
    assert line.get_xydata().tolist() == [[1.0, 3.0], [2.0, 7.0]] and line.get_linestyle() == style


def test_the_caption_of_the_mixture_has_what_split_batchnorm_would_be_judged_by_without_the_factor(tmp_path):
    """Of the second half of two epochs: 5 and 7 of the shared one, 4 and 8 of the adversarial one of two."""
    files = []
    for seed, (shared, split) in enumerate(((5.0, 4.0), (7.0, 8.0))):
        for recipe, which, value in (
            ("arat-shared-batchnorm", training.MOVED_SHARED, shared),
            ("arat", training.MOVED_ADVERSARIAL, split),
        ):
            files.append(observations(tmp_path, {(1, 1): 90.0, (2, 2): value}.items(), which, recipe, seed=seed))
    caption = mixture_figure.build(context("f"), statistics=files).caption
    # Differences 1 and -1: a mean of 0, and a t interval of 12.7 times sqrt(2) / sqrt(2).
    assert "minus that of one of two is 0 [\u221213, 13] for the adversarial one, and" in caption


def test_the_difference_of_two_batchnorms_is_natural_minus_adversarial(tmp_path):
    both = [answers({"clean": images("1110")}), answers({"clean": images("1000")}, "best-natural-batchnorm")]
    path = write_evaluations(tmp_path, pd.concat(both), "sat", 0)
    found = cells(batchnorms.build(context("t", ("sat", None)), evaluations=[path]), "SAT")
    assert [found[f"clean, accuracy in %: {name}"].value for name in ("adversarial", "natural", "difference")] == [
        75.0,
        25.0,
        -50.0,
    ]


def test_the_relative_distance_of_features_is_of_each_image(tmp_path):
    path = tmp_path / "features" / "digits" / "sat" / "seed0" / THREAT / "robustness.parquet"
    path.parent.mkdir(parents=True)
    numbers = {"index": [0, 1], "cosine": [0.5, 0.7], "distance": [1.0, 6.0], "norm": [4.0, 8.0]}
    pd.DataFrame(numbers).to_parquet(path, index=False)
    published = tmp_path / "published.yaml"
    published.write_text(PUBLISHED)
    found = cells(features.build(context("t", ("sat", None)), features=[path], published=published), "SAT")
    assert [cell.value for cell in found.values()] == pytest.approx([0.6, 3.5, 0.5])


# Claims -------------------------------------------------------------------------------------------------------------


def claim_of(name):
    (claim,) = [claim for claim in CLAIMS if claim.id == name]
    return claim


def test_an_interval_of_statistics_is_over_the_means_of_seeds_alone():
    """Steps of one training say nothing of another training, however many there are and however they differ."""

    def judged(*shifts):
        seen = pd.concat(
            rows({(3, step): value + shift for step, shift in enumerate(shifts)}, "naive-stop-gradient", seed)
            for seed, value in enumerate((1, 2, 4))
        ).assign(statistic=training.COSINE[1])
        return judge(claim_of("no-conflict-after-stop-gradient"), type(claims_data(True))(pd.DataFrame(), seen))

    half = 4.302653 * np.std([1, 2, 4], ddof=1) / np.sqrt(3)  # of t with two degrees of freedom
    for found in (judged(0.0), judged(*[0.0] * 50), judged(-3.0, 3.0, -1.0, 1.0)):
        assert [found.low, found.high] == pytest.approx([7 / 3 - half, 7 / 3 + half], rel=1e-5)
        assert found.verdict == OPEN


def moved_by(apart, shared=5.0, adversarial=2.0, natural=1.0, seeds=1):
    """Movements of running means, of one BatchNorm and of AR-AT's two, observed so many steps apart."""
    which = {
        ("arat-shared-batchnorm", training.MOVED_SHARED): shared,
        ("arat", training.MOVED_ADVERSARIAL): adversarial,
        ("arat", training.MOVED_NATURAL): natural,
    }
    return pd.concat(
        rows({(3, 1 + apart): value, (4, 1 + 2 * apart): value + 0.1 * seed}, recipe, seed).assign(
            observer=observer, statistic=statistic
        )
        for (recipe, (observer, statistic)), value in which.items()
        for seed in range(seeds)
    )


@pytest.mark.parametrize(("apart", "factor"), [(16, 1.54), (40, 1.42), (100, 1.41)])
def test_running_means_of_one_batchnorm_are_compared_with_those_of_either_one_of_two(apart, factor):
    found = judged_on("split-batchnorm-steadies-statistics", seen=moved_by(apart))
    assert found.estimate == pytest.approx(5 - factor * 2)
    assert found.detail.endswith(f"factor {factor} for {apart} steps; uncorrected (factor 1): 3")
    found = judged_on("natural-statistics-are-steadier", seen=moved_by(apart))
    assert found.estimate == pytest.approx(5 - factor * 1)
    assert found.detail.endswith("uncorrected (factor 1): 4")


def test_the_verdict_on_running_means_follows_the_steps_between_observations():
    """1.48 times as far: less than the second update does in 16 steps, and more than it does in 100."""
    verdicts = {
        apart: judged_on("split-batchnorm-steadies-statistics", seen=moved_by(apart, shared=2.96, seeds=3))
        for apart in (16, 100)
    }
    assert [found.verdict for found in verdicts.values()] == [CONTRADICTED, SUPPORTED]
    assert "uncorrected (factor 1): 0.96 (0.96 to 0.96)" in verdicts[16].detail


def test_running_means_that_are_observed_unlike_each_other_are_not_compared():
    mixed = pd.concat([moved_by(16).query("recipe == 'arat'"), moved_by(40).query("recipe != 'arat'")])
    for seen in (mixed, moved_by(16).query("epoch == 4")):
        found = judged_on("split-batchnorm-steadies-statistics", seen=seen)
        assert found.verdict == OPEN and found.detail.startswith("Not measured: running means of")
    gap = moved_by(16, seeds=3).query("not (seed == 0 and epoch == 3)")  # after a resume, say
    assert "for 16 steps" in judged_on("split-batchnorm-steadies-statistics", seen=gap).detail


@pytest.mark.parametrize("apart", [16, 40, 100])
def test_one_batchnorm_moves_farther_than_two_even_where_both_kinds_of_images_are_alike(apart):
    """The factor of the claims, by a simulation: batch means of white noise."""
    noise = np.random.default_rng(0).normal(size=400_000)

    def movement(updates):
        mean, means = 0.0, []
        for value in noise:
            for _ in range(updates):
                mean += 0.1 * (value - mean)
            means.append(mean)
        return np.std(np.diff(means[::apart]))

    assert movement(2) / movement(1) == pytest.approx(two_updates(apart), abs=0.03)


SEEN = {"naive-small-batches": (0.41, 0.43, 0.42), "naive": (0.45, 0.55, 0.5), "naive-large-batches": (0.5, 0.47, 0.47)}


def seen_of(shares):
    """Statistics in which each recipe has these shares of weights in conflict, by seed; first epochs count for nothing.
    Each is observed at steps of its own."""
    return pd.concat(
        rows({(1, 1): 9.0, (3, place): share - 0.1, (4, place): share + 0.1}, recipe, seed)
        for place, (recipe, values) in enumerate(shares.items())
        for seed, share in enumerate(values)
    )


def judged_on(name, points=None, seen=None):
    nothing = pd.DataFrame()
    return judge(claim_of(name), type(claims_data(True))(*(nothing if f is None else f for f in (points, seen))))


def test_half_of_the_weights_is_judged_by_the_distance_of_each_seed_for_each_size_of_batches():
    found = judged_on("half-of-the-weights-in-conflict", seen=seen_of(SEEN))
    # Rooms of 1, 3, 2, of 5, 5, 10 and of 10, 7, 7 points, by seed; of the second the interval goes down farthest
    assert "half 2.00, ordinary 6.67, double 8.00; ordinary decides" in found.detail
    assert found.estimate == pytest.approx(20 / 3) and found.verdict == OPEN
    steady = dict.fromkeys(SEEN, (0.55, 0.45, 0.55))
    assert judged_on("half-of-the-weights-in-conflict", seen=seen_of(steady)).verdict == SUPPORTED
    low = seen_of(steady | {"naive": (0.35, 0.35, 0.35)})
    assert judged_on("half-of-the-weights-in-conflict", seen=low).verdict == CONTRADICTED


def test_the_conflict_of_large_batches_is_compared_with_that_of_small_ones():
    found = judged_on("conflict-grows-with-batches", seen=seen_of(SEEN))
    assert found.estimate == pytest.approx((0.09 + 0.04 + 0.05) / 3)
    single = judged_on("conflict-grows-with-batches", seen=seen_of({name: seeds[:1] for name, seeds in SEEN.items()}))
    assert single.estimate == pytest.approx(0.09) and single.verdict == OPEN


def test_the_half_that_moves_natural_features_is_compared_with_the_other_half():
    shares = {"naive-to-natural": (0.6, 0.61, 0.59), "naive-stop-gradient": (0.3, 0.31, 0.29)}
    found = judged_on("naive-half-has-more-weights-in-conflict", seen=seen_of(shares))
    assert found.estimate == pytest.approx(0.3) and found.verdict == SUPPORTED


DISTILLED = ("lbgat", "lbgat-shared", "lbgat-split", "lbgat-split-stop-gradient")


def distilled(*robust, clean=(90, 90, 90, 90), seeds=(3, 3, 3, 3)):
    """Points of the four rows: so many of a hundred images are right, under PGD-20 and without an attack."""
    frames = []
    for recipe, *rights, count in zip(DISTILLED, robust, clean, seeds, strict=True):
        for seed in range(count):
            for attack, right in zip(("pgd20", "clean"), rights, strict=True):
                points = np.where((np.arange(100) * 7 + seed) % 100 < right, 100.0, 0.0)
                frame = pd.DataFrame({"index": np.arange(100), "points": points}).assign(attack=attack)
                frames.append(frame.assign(recipe=recipe, seed=seed, source=f"{recipe}/{seed}/{attack}"))
    return pd.concat(frames)


def test_the_view_of_distillation_is_judged_on_all_rows_that_have_learned():
    def judged(*robust, **more):
        return judged_on("distillation-avoids-both-problems", distilled(*robust, **more))

    found = judged(60, 20, 40, 70)
    assert found.verdict == SUPPORTED
    assert "gain by two networks 40.00, two BatchNorms 20.00, stop-gradient 30.00;" in found.detail
    assert len(found.sources) == 12
    assert judged(60, 40, 20, 70).verdict == CONTRADICTED  # two BatchNorms make it less robust
    assert judged(20, 40, 60, 70).verdict == CONTRADICTED  # two networks do
    assert judged(60, 20, 40, 10).verdict == CONTRADICTED  # the stop-gradient does
    assert judged(60, 20, 40, 70, seeds=(3, 3, 1, 3)).verdict == OPEN

    idle = judged(60, 20, 40, 10, clean=(90, 90, 90, 44))
    assert idle.verdict == OPEN  # although the rows that are left say so
    assert idle.detail.startswith(
        "lbgat-split-stop-gradient has not learned (clean 44.0 %) and is left out; gain by two "
    )
    assert "stop-gradient -" not in idle.detail and "networks 40.00, two BatchNorms 20.00" in idle.detail
    assert judged(60, 20, 40, 10, clean=(90, 90, 90, 45)).verdict == CONTRADICTED  # half of 90
    assert judged(60, 40, 20, 10, clean=(90, 90, 90, 44)).verdict == CONTRADICTED
    without = judged(60, 40, 20, 10, clean=(90, 10, 90, 10))
    assert without.verdict == OPEN and without.detail.startswith("Not measured")


def test_claims_find_the_recipes_of_the_paper_scale():
    """TRADES of three passes stands for TRADES, and AR-AT of eleven layers for AR-AT, where these are not there."""
    wide = pd.DataFrame({"recipe": ["sat", "trades-three-forwards", "arat-wide"]})
    assert as_claims_say(wide, STANDS_FOR)["recipe"].tolist() == ["sat", "trades", "arat"]
    both = pd.DataFrame({"recipe": ["trades", "trades-three-forwards"]})
    assert as_claims_say(both, STANDS_FOR)["recipe"].tolist() == both["recipe"].tolist()
    two = {"second": "arat", "first": "arat"}  # the order of the rows does not decide
    rows = pd.DataFrame({"recipe": ["first", "second", "sat"]})
    assert as_claims_say(rows, two)["recipe"].tolist() == ["first", "arat", "sat"]


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.id for claim in CLAIMS])
def test_a_claim_without_its_data_or_with_one_seed_is_open(claim):
    data = claims_data(support=True)
    empty = type(data)(pd.DataFrame(), pd.DataFrame())
    assert judge(claim, empty).verdict == OPEN and judge(claim, empty).detail.startswith("Not measured")
    one = type(data)(*(frame[frame["seed"] == 0] for frame in (data.points, data.statistics)))
    assert judge(claim, one).verdict == OPEN


def judged_with_gain(name, ours, theirs, attack, gain):
    """The claim on points in which one recipe has so many points more than another one, image by image."""
    base = claims_data(support=True)
    points = base.points.copy()
    under = points["attack"] == attack
    of_theirs = points[(points["recipe"] == theirs) & under]["points"].to_numpy()
    points.loc[(points["recipe"] == ours) & under, "points"] = of_theirs + gain
    return judge(claim_of(name), type(base)(points, base.statistics))


def test_about_as_robust_is_judged_by_both_ends_of_the_interval():
    def judged(gain):
        return judged_with_gain("as-robust-as-lbgat", "arat", "lbgat", "autoattack", gain)

    for gain, verdict in ((0.0, SUPPORTED), (1.0, SUPPORTED), (-1.0, SUPPORTED), (5.0, CONTRADICTED)):
        assert judged(gain).verdict == verdict, gain
    assert judged(-5.0).verdict == CONTRADICTED
    assert judged(1.0).estimate == pytest.approx(LITTLE - 1.0)


def test_what_makes_less_robust_hardly_helps():
    def judged(gain):
        return judged_with_gain("stop-gradient-alone-hardly-helps", "naive-stop-gradient", "naive", "pgd20", gain)

    for gain, verdict in ((0.0, SUPPORTED), (1.0, SUPPORTED), (-5.0, SUPPORTED), (5.0, CONTRADICTED)):
        assert judged(gain).verdict == verdict, gain
    assert judged(1.0).estimate == pytest.approx(-1.0)
