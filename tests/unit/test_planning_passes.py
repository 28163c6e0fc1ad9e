"""Networks, datasets and passes, against counts by hand and the literature."""

import pytest
import torch
from planned_jobs import TINY, TINY_FLOPS, TINY_PARAMETERS

from robustlens.parameters import create
from robustlens.planning.datasets import Dataset, expected
from robustlens.planning.networks import INCEPTION, Network
from robustlens.planning.passes import NOWHERE, CountingNetwork, attack_passes, training_passes

# Networks and datasets


def test_a_small_network_s_operations_and_parameters_are_those_counted_by_hand():
    network = Network.of(TINY, (1, 4, 4), 3)
    assert (network.flops, network.parameters, network.features) == (TINY_FLOPS, TINY_PARAMETERS, 2)


def test_resnet18_has_the_1_11_gflop_and_11_17_million_parameters_of_the_literature():
    network = Network.of({"family": "resnet"}, (3, 32, 32), 10)
    assert network.flops / 1e9 == pytest.approx(1.111, abs=0.001)
    assert network.parameters / 1e6 == pytest.approx(11.17, abs=0.01)


def test_normalisation_inside_the_model_changes_nothing_but_its_description():
    plain = Network.of(TINY, (1, 4, 4), 3)
    assert Network.of(TINY | {"normalisation": {"mean": [0.5], "std": [0.2]}}, (1, 4, 4), 3).flops == plain.flops


def prepared(family: str, reader: dict | None = None, **splits) -> Dataset:
    complete = {"train": None, "validation": 1000, "test": None, "seed": 0} | splits
    return expected({"reader": {"family": family} | (reader or {}), "splits": complete})


def test_a_dataset_with_an_official_test_split_is_trained_on_all_but_the_validation_images():
    found = prepared("cifar10")
    assert (found.shape, found.classes) == ((3, 32, 32), 10)
    assert found.sizes == {"train": 49000, "validation": 1000, "test": 10000}
    assert found.bytes == 60000 * (3 * 32 * 32 + 16)


def test_a_dataset_without_one_is_tested_on_what_is_left():
    assert prepared("digits", train=200, validation=200).sizes == {"train": 200, "validation": 200, "test": 1397}


def test_a_reader_s_size_is_the_side_of_the_images_and_a_shorter_split_is_taken():
    assert prepared("afhq", {"size": 64}, train=500, test=300).shape == (3, 64, 64)
    assert prepared("afhq", {"size": 64}, train=500, test=300).sizes == {"train": 500, "validation": 1000, "test": 300}


# Passes


@pytest.mark.parametrize(
    ("family", "parameters", "forwards", "gradients"),
    [
        ("clean", {}, 0, 0),
        ("pgd", {"steps": 1, "start": "image"}, 1, 1),
        ("pgd", {"steps": 50}, 50, 50),
        ("pgd", {"steps": 50, "loss": "kl", "start": "gaussian"}, 51, 50),
        # Those of training-and-evaluation-peers.md, 3.1, for 10 classes, and the wrapper's look at the classes.
        ("apgd", {"loss": "ce", "steps": 100}, 102, 101),
        ("apgd-t", {"steps": 100}, 919 + 1, 909),
        ("square", {"queries": 5000}, 5003, 0),
    ],
)
def test_an_attack_makes_the_passes_of_the_literature(family, parameters, forwards, gradients):
    found = attack_passes(family, parameters, classes=10)
    assert (found.forwards, found.gradients) == (forwards, gradients)


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("apgd", {"steps": 33}),
        ("apgd-t", {"steps": 30}),
        ("fab", {"steps": 24}),
        ("square", {"queries": 70}),
        ("cw", {}),
    ],
)
def test_passes_that_were_extrapolated_are_those_that_the_attack_makes(family, parameters):
    network = CountingNetwork(4).eval().requires_grad_(False)
    x = torch.full((1, 1, 4, 4), 0.5)
    y = network(x).argmax(1)
    network.read()
    create("attacks", family, parameters)(network, x, y, NOWHERE, torch.Generator().manual_seed(0))
    complete = create("attacks", family, parameters).__dict__
    found = attack_passes(family, complete, classes=4)
    assert (found.forwards, found.gradients) == network.read()
    assert found.seconds > 0


def test_autoattack_s_standard_version_costs_9_762_passes_a_robust_image():
    """Ours 18 fewer: FAB-T asks for the image's own class once, and not twice for each target."""
    found = attack_passes("autoattack", {}, classes=10)
    assert found.gradients == 1910
    assert found.forwards == pytest.approx(7852 - 18, abs=5)


@pytest.mark.parametrize("family", ["apgd", "apgd-t", "fab", "square", "autoattack"])
def test_an_image_that_is_misclassified_costs_the_library_s_attacks_a_look(family):
    complete = create("attacks", family, {}).__dict__
    found = attack_passes(family, complete, classes=10, robust=False)
    assert found.gradients == 0 and found.forwards <= 2


@pytest.mark.parametrize(
    ("method", "parameters", "attack", "losses"),
    [
        ("standard", {}, (0, 0), 1),
        ("sat", {}, (7, 7), 1),
        ("trades", {}, (8, 7), 2),  # the natural softmax of the KL is one pass more
        ("mart", {}, (7, 7), 2),
        ("mail-trades", {}, (8, 7), 2),
        ("weat", {}, (8, 7), 2),
        ("lbgat", {"beta": 0.0}, (8, 7), 3),  # the classifier's natural pass among them
        ("lbgat", {"beta": 6.0}, (8, 7), 3),
        ("shared-lbgat", {}, (8, 7), 2),
        ("shared-lbgat", {"batchnorm": "split", "stop_gradient": True}, (8, 7), 2),
        ("hat", {}, (8, 7), 3 + 1 / 3),  # the helper is only looked at
        ("score", {}, (7, 7), 1),
        ("score", {"base": "trades"}, (8, 7), 2),
        ("fat", {}, (7, 7), 1),  # all steps, whichever images have stopped
        ("fat", {"base": "trades"}, (8, 7), 2),
        ("fat", {"base": "mart"}, (7, 7), 2),
        ("cfa", {"base": "fat"}, (7, 7), 1),
        ("arrest", {}, (9, 7), 1),  # two more looks decide which images are replaced
    ],
)
def test_a_training_step_makes_the_passes_of_its_method(method, parameters, attack, losses):
    found, counted = training_passes(method, parameters, attack_steps=7)
    assert (found.forwards, found.gradients) == attack and counted == pytest.approx(losses, rel=1e-12)


def test_the_feature_network_is_known_without_being_built():
    assert Network(INCEPTION, (3, 299, 299), 1008).features == 2048
