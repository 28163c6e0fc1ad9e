"""Lengths that can't be meant for images in [0, 1]."""

import pytest
from configured import cohorts, digits, loaded, small

from robustlens.errors import RobustlensError


def near(**entries):
    return lambda raw: raw["threats"]["near"].update(entries)


def far(**entries):
    """Of a ball in L2 that the digits are trained and evaluated in; a black and a white one are 8 apart."""
    return lambda raw: (raw["threats"]["far"].update(entries), digits(raw).update(threat="far"))


def normalised(**constants):
    normalisation = {"mean": [0.5], "std": [0.25]} | constants
    return lambda raw: digits(raw)["architecture"].update(normalisation=normalisation)


def selecting(**entries):
    selected = {"from": "blurred", "share": 0.5, "by": "realness", "norm": "linf", "epsilon": 0.1, "steps": 5}
    selected |= {"batch_size": 4, "architecture": {"family": "mlp", "inputs": 64}} | entries
    return lambda raw: (
        raw["generators"].update(real={"selected": selected}),
        raw["recipes"]["sat"].update(mix={"generator": "real", "gamma": 0.5, "ratio": 0.1}),
    )


def evaluated_in_l2(raw):
    raw["threats"]["far"].update(epsilon=9)
    cohorts(raw)["main"]["threat"] = "far"


def in_parts(raw):
    network = {"family": "resnet", "blocks": [1], "normalisation": {"mean": [33.3], "std": [0.3]}}
    raw["recipes"]["lbgat"] = {"method": "lbgat", "parts": {"teacher": network}}


NEAR, FAR, NETWORK = "config.threats.near", "config.threats.far", "config.datasets.digits.architecture.normalisation"
REFUSED = [
    (near(epsilon=8), f"{NEAR}.epsilon: 8 is more than 1, the whole range of a pixel; did you mean 8/255?"),
    (near(epsilon=8.0), f"{NEAR}.epsilon: 8.0 is more than 1, the whole range of a pixel; did you mean 8/255?"),
    (near(epsilon="255/8"), f"{NEAR}.epsilon: 255/8 is more than 1, the whole range of a pixel; did you mean 8/255?"),
    (near(epsilon="16/3"), f"{NEAR}.epsilon: 16/3 is more than 1, the whole range of a pixel; did you mean 0.02092?"),
    (near(epsilon=800), f"{NEAR}.epsilon: 800 is more than 1, the whole range of a pixel; correct it"),
    (near(step_size=2), f"{NEAR}.step_size: 2 is more than 1, the whole range of a pixel; did you mean 2/255?"),
    (
        far(epsilon=128),
        f"{FAR}.epsilon: 128 is more than 8, the distance of a black image of digits from a white one; "
        "did you mean 128/255?",
    ),
    (far(step_size=8.5), f"{FAR}.step_size: 8.5 is more than 8, "),
    (lambda raw: (far(epsilon=7)(raw), digits(raw).update(crop=6)), f"{FAR}.epsilon: 7 is more than 6, "),
    (evaluated_in_l2, f"{FAR}.epsilon: 9 is more than 8, "),
    (normalised(mean=[127.5]), f"{NETWORK}.mean[0]: 127.5 is not between 0 and 1, and images are in [0, 1]; did you"),
    (normalised(std=[63.75]), f"{NETWORK}.std[0]: 63.75 is not between 0 and 1, and images are in [0, 1]; did you mean "
     "0.25?"),
    (normalised(mean=[-0.5]), f"{NETWORK}.mean[0]: -0.5 is not between 0 and 1, and images are in [0, 1]; correct it"),
    (in_parts, "config.recipes.lbgat.parts.teacher.normalisation.mean[0]: 33.3 is not between 0 and 1"),
    (selecting(epsilon=8), "config.generators.real.selected.epsilon: 8 is more than 1, the whole range of a pixel"),
    (selecting(epsilon=9, norm="l2"), "config.generators.real.selected.epsilon: 9 is more than 8, the distance"),
    (
        lambda raw: raw.update(discrimination={"epsilons": [0, 2], "steps": [5], "batch_size": 5}),
        "config.discrimination.epsilons[1]: 2 is more than 1, which no two images are apart; did you mean 2/255?",
    ),
    (
        lambda raw: raw.update(certifications={"smoothing": {"family": "smoothing", "sigma": 64}}),
        "config.certifications.smoothing.sigma: 64 is more than 1, the whole range of a pixel; did you mean 64/255?",
    ),
    (
        lambda raw: raw["recipes"].update(noisy={"method": "smoothing", "sigma": 64}),
        "config.recipes.noisy.sigma: 64 is more than 1, ",
    ),
    (
        lambda raw: raw["generators"].update(kde={"family": "kde", "per_class": 5, "bandwidth": 13}),
        "config.generators.kde.bandwidth: 13 is more than 1, ",
    ),
    (
        lambda raw: digits(raw)["generation"]["sampler"].update(noise=3),
        "config.datasets.digits.generation.sampler.noise: 3 is more than 1, ",
    ),
    (
        lambda raw: raw["attacks"].update(friendly={"family": "friendly-pgd", "noise": 3}),
        "config.attacks.friendly.noise: 3 is more than 1, ",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_length_that_cant_be_meant_is_refused_at_its_place(change, message):
    with pytest.raises(RobustlensError) as error:
        loaded(change)
    assert str(error.value).startswith(message)


ACCEPTED = {
    "the whole range": near(epsilon=1, step_size="255/255"),
    "a step longer than the radius": near(epsilon="8/255", step_size="10/255"),
    "all of the images": far(epsilon=8, step_size=8),
    "a large ball in L2 that nothing is trained or evaluated in": lambda raw: raw["threats"]["far"].update(epsilon=99),
    "inputs from -1 to 1": normalised(mean=[0.5], std=[0.5]),
    "inputs from 0 to 255": normalised(mean=[0], std=[1 / 255]),
    "inputs as they are": normalised(mean=[0.0], std=[1.0]),
    "radii in L2": lambda raw: (
        digits(raw).update(threat="far"),
        raw.update(discrimination={"epsilons": [0, 2], "steps": [5], "batch_size": 5}),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_can_be_meant_is_accepted(name):
    assert loaded(ACCEPTED[name])["datasets"]["digits"]


def test_a_larger_dataset_allows_larger_balls_in_l2():
    def change(raw):
        far(epsilon=20)(raw)
        cifar = digits(raw) | {"reader": {"family": "cifar10"}, "splits": {"validation": 100}}
        small(raw)["datasets"]["cifar"] = cifar
        digits(raw)["threat"] = "near"
        small(raw)["studies"]["mine"]["datasets"] = ["cifar"]

    assert loaded(change)["threats"]["far"]["epsilon"] == 20
