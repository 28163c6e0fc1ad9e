"""Components that don't fit their dataset: refused when the configuration is read, where they refuse themselves."""

import inspect
import itertools

import numpy as np
import pytest
import torch
from configured import cohorts, digits, loaded, mine, own, small
from torch import nn

from robustlens.attacks.threat import Threat
from robustlens.configuration import fitting
from robustlens.configuration.fitting import Sides, smallest_normalised
from robustlens.errors import RobustlensError
from robustlens.generation.quality import score
from robustlens.generation.scores import inception_score
from robustlens.generators.denoisers import MLP, unet
from robustlens.models import bfloat16, imagenet_resnet
from robustlens.models.weights import build
from robustlens.parameters import create, names

NETWORKS = {
    "dm-wide-resnet": [{"depth": 10, "widen_factor": 1}],
    "imagenet-resnet": [{"depth": 18}],
    "mlp": [{"inputs": 64, "widths": [2]}],
    "preact-resnet": [{"blocks": [1] * stages, "width": 2} for stages in (1, 2, 4, 5)],
    "resnet": [{"blocks": [1] * stages, "width": 2} for stages in (1, 2, 4, 5)],
    "small-cnn": [{}],
    "wide-resnet": [{"depth": 10, "widen_factor": 1}],
}
SIDES = (1, 2, 3, 4, 5, 8, 9, 16, 27, 28, 31, 32, 33, 64)


# Networks -------------------------------------------------------------------------------------------------------------


def last_batchnorm(network: nn.Module, side: int) -> Sides | None:
    """The smallest map that a BatchNorm of the network gets, by looking."""
    seen = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(Sides(*inputs[0].shape[2:])))
    network.train()(torch.empty(2, 1, side, side, device="meta"))
    return min(seen, default=None)


@pytest.mark.parametrize("family", names("models"))
def test_a_network_is_refused_where_it_takes_no_such_images_and_its_last_map_is_known(family):
    for parameters, side in itertools.product(NETWORKS[family], SIDES):
        architecture = {"family": family, **parameters}
        with torch.device("meta"):
            network = build(architecture, 1, 3)
        takes = True
        try:
            smallest = last_batchnorm(network, side)
        except RuntimeError:
            takes = False
        # Of 3x3, its last block would add a map of one pixel to one of four.
        if not takes or (family, side) == ("dm-wide-resnet", 3):
            with pytest.raises(RobustlensError, match=r"config\.here"):
                fitting._check_network(architecture, (1, side, side), "config.here", "digits")
            continue
        fitting._check_network(architecture, (1, side, side), "config.here", "digits")
        assert smallest_normalised(architecture, Sides(side, side)) == smallest, (parameters, side)


@pytest.mark.parametrize("family", ["wide-resnet", "dm-wide-resnet", "imagenet-resnet"])
def test_a_depth_is_refused_where_the_network_refuses_it(family):
    smaller = {"widen_factor": 1} if "wide" in family else {}
    for depth in range(1, 41):
        architecture, refused = {"family": family, "depth": depth, **smaller}, []
        for attempt in (
            lambda a=architecture: build(a, 3, 2),
            lambda a=architecture: fitting._check_network(a, (3, 32, 32), "config.here", "cifar10"),
        ):
            try:
                with torch.device("meta"):
                    attempt()
            except RobustlensError as error:
                refused.append(str(error).split("must be")[1])
        assert len(refused) in (0, 2) and len(set(refused)) < 2
    assert tuple(imagenet_resnet.STAGES) == fitting.IMAGENET_DEPTHS


def test_one_image_of_one_pixel_is_what_batchnorm_cant_train_on():
    network = build({"family": "resnet", "blocks": [1] * 4, "width": 4}, 1, 10).train()
    network(torch.rand(2, 1, 8, 8))
    network(torch.rand(1, 1, 9, 9))  # of nine pixels, the last stage has two by two
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.rand(1, 1, 8, 8))


def deep(raw, train=101, batch_size=20, **parameters):
    digits(raw).update(architecture={"family": "resnet", "blocks": [1] * 4, "width": 4} | parameters)
    digits(raw)["splits"]["train"] = train
    digits(raw)["training"]["batch_size"] = batch_size


def in_a_recipe(raw):
    deep(raw, train=101, batch_size=25)
    raw["recipes"]["sat"]["training"] = {"batch_size": 50}
    cohorts(raw)["main"]["recipes"] = ["sat"]


def whole_cifar(raw, batch_size):
    deep(raw, train=None, batch_size=batch_size, blocks=[1] * 6)
    digits(raw)["reader"] = {"family": "cifar10"}
    digits(raw)["splits"]["validation"] = 4999  # 45,001 are left


def with_predictors(raw):
    deep(raw, train=101, blocks=[1])
    raw["recipes"]["sat"] = {"method": "arat", "layers": ["penultimate"]}


def cropped(raw):
    deep(raw, blocks=[1] * 3)
    digits(raw)["crop"] = 4


LAST = "leave one for the last batch, and BatchNorm of"
SINGLE = {
    "the report's": (deep, "config.datasets.digits.training.batch_size: 101 training images of digits in batches of "
                     f"20 {LAST} maps of one pixel (resnet on 8x8) can't train on a single image; change "
                     "`batch_size` or `splits.train`, or take a network of fewer stages"),
    "in a recipe": (in_a_recipe, "config.recipes.sat.training.batch_size: 101 training images of digits in batches of"),
    "batches of one": (lambda raw: deep(raw, batch_size=1), "config.datasets.digits.training.batch_size: 101 "),
    "all images": (lambda raw: whole_cifar(raw, 1000), "config.datasets.digits.training.batch_size: 45001 training"),
    "features": (with_predictors, "config.datasets.digits.training.batch_size: 101 training images of digits in "
                 f"batches of 20 {LAST} features (arat's predictor)"),
    "cropped": (cropped, "config.datasets.digits.training.batch_size: 101 "),
    "pre-activation": (lambda raw: deep(raw, family="preact-resnet"), "config.datasets.digits.training.batch_size: "),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_a_last_batch_of_one_image_is_refused_where_batchnorm_cant_train_on_it(name):
    change, message = SINGLE[name]
    with pytest.raises(RobustlensError) as error:
        loaded(change)
    assert str(error.value).startswith(message)


def mixed(raw):
    deep(raw)
    for recipe in raw["recipes"].values():
        recipe["mix"] = {"generator": "blurred", "gamma": 0.5}


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: deep(raw, train=100),
        lambda raw: deep(raw, train=102),
        lambda raw: deep(raw, blocks=[1] * 3),  # a last map of two by two
        lambda raw: whole_cifar(raw, 998),
        mixed,
    ],
)
def test_what_batchnorm_can_train_on_is_accepted(change):
    assert loaded(change)["recipes"]["sat"]


def test_the_shipped_catalogue_says_how_many_images_train():
    config = own(scale="paper")
    assert fitting.train_images(config, "cifar10") == 50_000 - config["datasets"]["cifar10"]["splits"]["validation"]


# Other components -----------------------------------------------------------------------------------------------------


def network(**architecture):
    return lambda raw: digits(raw).update(architecture=architecture)


def model(raw, **architecture):
    raw["models"] = {"theirs": {"dataset": "digits", "architecture": architecture, "weights": {"file": "theirs.pt"}}}


def generator(**entries):
    def change(raw):
        raw["generators"]["noise"] = {"family": "ddpm", "per_class": 20} | entries
        raw["recipes"]["sat"]["mix"] = {"generator": "noise", "gamma": 0.5}

    return change


def in_l2(raw, method=None, attack=None):
    digits(raw)["threat"] = "far"
    if method:
        raw["recipes"]["sat"] = method
    if attack:
        raw["attacks"]["pgd20"] = {"family": attack}


def few_generated(raw):
    digits(raw).update(classes=[0, 1, 2])
    digits(raw)["generation"]["per_class"] = 6
    raw["attacks"]["autoattack"] = {"family": "square"}


def few_in_the_grid(raw):
    digits(raw)["generation"]["grid"] = {"per_class": 1, "values": {"steps": [1]}}
    cohorts(raw)["grid"] = {"recipes": ["sat"]}


def few_to_compare_with(raw):
    digits(raw)["splits"]["test"] = 15
    digits(raw)["generation"]["features"]["reference"] = "test"


NETWORK = "config.datasets.digits.architecture"
REFUSED = [
    (network(family="mlp", inputs=784), f"{NETWORK}.inputs: 784, and the images of digits have 64 values; correct it"),
    (network(family="small-cnn"), f"{NETWORK}: small-cnn is for images of 28x28, and those of digits are 8x8; take"),
    (network(family="wide-resnet", depth=35), f"{NETWORK}.depth: must be 6 n + 4 (10, 16, 28, 34, 70, ...), got 35"),
    (network(family="imagenet-resnet", depth=20), f"{NETWORK}.depth: must be one of 18, 34, 50, 101, 152, got 20"),
    (
        network(family="resnet", normalisation={"mean": [0.5] * 3, "std": [0.2]}),
        f"{NETWORK}.normalisation.mean: has 3 numbers, and images of digits have 1 channel; give one per channel",
    ),
    (
        lambda raw: (network(family="dm-wide-resnet")(raw), digits(raw).update(crop=3)),
        f"{NETWORK}: dm-wide-resnet halves images twice, which those of digits (3x3) can't be; take another family",
    ),
    (
        lambda raw: raw["recipes"]["sat"].update(architecture={"family": "small-cnn"}),
        "config.recipes.sat.architecture: small-cnn is for images of 28x28",
    ),
    (
        lambda raw: raw["recipes"].update(
            sat={"method": "lbgat", "parts": {"teacher": {"family": "mlp", "inputs": 3}}},
        ),
        "config.recipes.sat.parts.teacher.inputs: 3, and the images of digits have 64 values",
    ),
    (lambda raw: model(raw, family="small-cnn"), "config.models.theirs.architecture: small-cnn is for images of 28x28"),
    (generator(depth=5), "config.generators.noise.depth: a unet of depth 5 halves images 4 times, which those of "
     "digits (8x8) can't be; lower it"),
    (generator(width=20), "config.generators.noise.width: must be a multiple of 8 for the denoiser unet, got 20"),
    (generator(denoiser="mlp", width=21), "config.generators.noise.width: must be a multiple of 2 for the denoiser"),
    (generator(sampling_steps=1001), "config.generators.noise.sampling_steps: 1001 are more than its 1000 `levels`"),
    (
        lambda raw: raw["attacks"].update(kl={"family": "pgd", "loss": "kl", "start": "image"}),
        "config.attacks.kl: pgd can't have `loss: kl` with `start: image`: there its gradient is zero; use `start: ga",
    ),
    (
        lambda raw: raw["attacks"].update(kl={"family": "pgd", "loss": "kl", "targeted": True}),
        "config.attacks.kl: pgd can't have `loss: kl` with `targeted: true`: it has no label",
    ),
    (
        lambda raw: in_l2(raw, method={"method": "off-centre-sat"}),
        "config.recipes.sat.method: off-centre-sat is only for L-inf, and the threat on digits, far, is not",
    ),
    (
        lambda raw: in_l2(raw, method={"method": "arat", "layers": ["penultimate"], "start": "as-released"}),
        "config.recipes.sat.method: arat is only for L-inf, and the threat on digits, far, is not",
    ),
    (
        lambda raw: in_l2(raw, attack="off-centre-pgd"),
        "config.studies.mine.cohorts.main.suite: robustness has the attack pgd20, which is only for L-inf, and",
    ),
    (
        few_generated,
        "config.datasets.digits.generation.per_class: 6 images of each of 3 classes are fewer than the 20 that a score",
    ),
    (
        few_in_the_grid,
        "config.datasets.digits.generation.grid.per_class: 1 images of each of 10 classes are fewer than the 20",
    ),
    (few_to_compare_with, "config.datasets.digits.splits.test: 15 images are fewer than the 20 that scores compare"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_does_not_fit_is_refused_at_its_place(change, message):
    with pytest.raises(RobustlensError) as error:
        loaded(change)
    assert str(error.value).startswith(message)


def test_what_is_never_trained_or_generated_need_not_fit():
    def change(raw):
        raw["recipes"]["other"] = {"method": "sat", "architecture": {"family": "small-cnn"}}
        raw["generators"]["noise"] = {"family": "ddpm", "per_class": 20, "depth": 5}
        digits(raw)["generation"]["per_class"] = 1
        del cohorts(raw)["generated"]
        small(raw)["suites"]["off"] = {"attacks": ["off"]}
        raw["attacks"]["off"] = {"family": "off-centre-pgd"}
        mine(raw)["seeds"] = [0]

    assert loaded(change)["recipes"]["other"]


@pytest.mark.parametrize(("images", "enough"), [(fitting.LEAST_SCORED, True), (fitting.LEAST_SCORED - 1, False)])
def test_a_score_needs_as_many_images_as_the_configuration_asks_for(images, enough):
    logits, splits = np.eye(10)[np.arange(images) % 10], inspect.signature(score).parameters["splits"].default
    if enough:
        assert inception_score(logits, splits, seed=0)[0] >= 1
        return
    with pytest.raises(RobustlensError, match="this score needs at least 20 images and got 19"):
        inception_score(logits, splits, seed=0)


PGD = [dict(zip(("loss", "start", "targeted"), v, strict=True)) for v in itertools.product(
    ("ce", "kl"), ("uniform", "gaussian", "image"), (False, True))]  # fmt: skip
ARAT = [{"layers": ["penultimate"], "predictor": p, "gradient": g} for p in (False, True) for g in (
    "to-natural", "to-adversarial", "both")]  # fmt: skip


@pytest.mark.parametrize(
    ("group", "name", "parameters"),
    [*(("attacks", "pgd", p) for p in PGD), *(("methods", "arat", p) for p in ARAT)],
    ids=str,
)
def test_values_exclude_one_another_where_the_component_says_so(group, name, parameters):
    listed = any(
        component == name and values.items() <= parameters.items() for _, component, values, _ in fitting.TOGETHER
    )
    try:
        create(group, name, parameters)
    except RobustlensError as error:
        assert listed == ("must be one of" not in str(error))
    else:
        assert not listed


def test_denoisers_take_the_widths_and_sides_that_are_accepted():
    for side, depth, width in itertools.product((8, 12), (1, 2, 3, 4), (8, 12)):
        refused = width % fitting.GROUPS or side % 2 ** (depth - 1)
        try:
            unet((1, side, side), width, depth, 0)
        except RobustlensError:
            assert refused
        else:
            assert not refused
    inputs = torch.zeros(2, 1, 8, 8), torch.zeros(2), torch.zeros(2, dtype=torch.long)
    assert MLP((1, 8, 8), 20, 1, 10)(*inputs).shape == (2, 1, 8, 8)
    with pytest.raises(RuntimeError):
        MLP((1, 8, 8), 21, 1, 10)(*inputs)


@pytest.mark.parametrize("family", names("attacks"))
def test_attacks_that_are_only_for_linf_are_known(family, monkeypatch):
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: True)
    attack = create("attacks", family, {"inverse_temperature": 1.0} if family == "temperature-pgd" else {})
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).requires_grad_(False), torch.rand(2, 1, 8, 8)
    try:
        attack(model, x, model(x).argmax(1), Threat("l2", 0.5, 0.1), torch.Generator().manual_seed(0))
    except RobustlensError as error:
        assert family in fitting.LINF_ATTACKS and "only for L-inf" in str(error)
    else:
        assert family not in fitting.LINF_ATTACKS
