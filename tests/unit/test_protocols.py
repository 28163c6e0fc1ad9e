"""The protocols of the papers whose studies are still to come fit the configuration as it is.

Their values are those of the research sheets, or ours where a paper's own are not known.
"""

import copy
import math
from collections.abc import Iterator

import pytest
import yaml
from configured import load_files
from torch import nn

from robustlens.configuration import archives, run_spec, title
from robustlens.errors import RobustlensError
from robustlens.parameters import fraction
from robustlens.training.averaging import Averaging

THREATS = {
    "linf": {"norm": "linf", "epsilon": "8/255", "step_size": "2/255"},
    "linf-half": {"norm": "linf", "epsilon": "4/255", "step_size": "1/255"},
    "linf-mnist": {"norm": "linf", "epsilon": 0.3, "step_size": 0.01},
    "l2": {"norm": "l2", "epsilon": "128/255", "step_size": "32/255"},
}
# The invariance paper trains like this; a protocol below says what it does otherwise.
BASE = yaml.safe_load("""
reader: {family: cifar10}
splits: {validation: 1000}
architecture: {family: resnet}
threat: linf
training:
  epochs: 100
  batch_size: 128
  learning_rate: 0.1
  schedule: {name: step, milestones: [76, 91], factor: 0.1}
  attack_steps: 10
  attack_batchnorm: train
  augmentation: {crop_padding: 4, flip: true}
tracking: {train_samples: 1000, energy_epochs: [1, 50]}
""")

# What each protocol changes, and what the job of a run must be told: norm, epsilon, step, PGD steps, averaging.
PROTOCOLS = {
    # 76 as in the scripts of the released code, which counts its epochs from 1, as we do (the sheets' "epochs 76-99").
    "invariance, CIFAR-10, WRN-34-10, SWA": (
        """
        architecture: {family: wide-resnet, depth: 34, widen_factor: 10}
        training: {averaging: {name: swa, start_epoch: 76, every_steps: 500}}
        """,
        ("linf", 8 / 255, 2 / 255, 10, {"name": "swa", "start_epoch": 76, "every_steps": 500}),
    ),
    "invariance, CIFAR-10, l2": (
        "threat: l2",
        ("l2", 128 / 255, 32 / 255, 10, {"name": "none"}),
    ),
    "invariance, Imagenette": (
        "{reader: {family: imagenette-160, size: 128}, splits: {validation: 500}}",
        ("linf", 8 / 255, 2 / 255, 10, {"name": "none"}),
    ),
    "classwise, MNIST": (
        """
        reader: {family: mnist}
        architecture: {family: small-cnn}
        threat: linf-mnist
        training:
          learning_rate: 0.01
          weight_decay: 0
          schedule: {milestones: [55, 75, 90]}
          attack_steps: 40
          augmentation: {crop_padding: 0, flip: false}
        """,
        ("linf", 0.3, 0.01, 40, {"name": "none"}),
    ),
    "classwise, STL-10": (
        """
        reader: {family: stl10}
        splits: {validation: 500}
        architecture: {family: wide-resnet, depth: 40, widen_factor: 2}
        training: {augmentation: {crop_padding: 12}}
        """,
        ("linf", 8 / 255, 2 / 255, 10, {"name": "none"}),
    ),
    "classwise, ImageNet": (
        """
        reader: {family: imagenet}
        splits: {validation: 0}
        architecture: {family: imagenet-resnet, depth: 50}
        threat: linf-half
        """,
        ("linf", 4 / 255, 1 / 255, 10, {"name": "none"}),
    ),
    "proxy, CIFAR-10, l2, averaged weights": (
        """
        architecture: {family: wide-resnet, depth: 34, widen_factor: 10}
        threat: l2
        training: {averaging: {name: ema, decay: 0.995}}
        """,
        ("l2", 128 / 255, 32 / 255, 10, {"name": "ema", "decay": 0.995}),
    ),
    "proxy, CelebA": (
        "{reader: {family: celeba, size: 64}, training: {augmentation: {crop_padding: 8}}}",
        ("linf", 8 / 255, 2 / 255, 10, {"name": "none"}),
    ),
    "proxy, ImageNet-64": (
        "{reader: {family: imagenet-64}, splits: {validation: 10000}, training: {augmentation: {crop_padding: 8}}}",
        ("linf", 8 / 255, 2 / 255, 10, {"name": "none"}),
    ),
    "proxy, AFHQ": (
        """
        reader: {family: afhq, size: 224}
        architecture: {family: imagenet-resnet, depth: 18}
        training: {augmentation: {crop_padding: 28}}
        """,
        ("linf", 8 / 255, 2 / 255, 10, {"name": "none"}),
    ),
}
TITLES = {
    "MNIST": "MNIST",
    "STL-10": "STL-10",
    "ImageNet": "ImageNet",
    "ImageNet-64": "ImageNet-64",
    "Imagenette": "Imagenette (160 px)",
    "CelebA": "CelebA (4 classes, 64 px)",
    "AFHQ": "AFHQ",
    "CIFAR-10": "CIFAR-10",
}


def configuration(changes: str) -> dict:
    """A configuration whose dataset `base` is BASE and whose dataset `own` is like it, but for the changes."""
    datasets = {"base": copy.deepcopy(BASE), "own": {"like": "base", **yaml.safe_load(changes)}}
    raw = {
        "scale": "papers",
        "threats": THREATS,
        "recipes": {"sat": {"method": "sat"}, "trades": {"method": "trades"}},
        "attacks": {"pgd20": {"family": "pgd", "steps": 20}, "autoattack": {"family": "autoattack"}},
        "scales": {"papers": {"datasets": datasets, "suites": {"robustness": {"attacks": ["pgd20", "autoattack"]}}}},
    }
    return load_files({"config.yaml": raw}, studies={})


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_reaches_its_runs_as_the_paper_has_it(name):
    changes, (norm, epsilon, step_size, attack_steps, averaging) = PROTOCOLS[name]
    config = configuration(changes)
    spec = run_spec(config, "own", "trades")
    assert spec["threat"]["norm"] == norm
    assert fraction(spec["threat"]["epsilon"]) == epsilon and fraction(spec["threat"]["step_size"]) == step_size
    assert spec["training"]["attack_steps"] == attack_steps
    assert spec["training"]["averaging"] == averaging
    assert spec["training"]["epochs"] == 100 and spec["training"]["attack_batchnorm"] == "train"
    assert title(config, "own") == TITLES[name.split(", ")[1]]


def test_what_a_protocol_does_not_change_stays_the_other_s():
    config = configuration(PROTOCOLS["classwise, MNIST"][0])
    own, base = (config["datasets"][name]["training"] for name in ("own", "base"))
    assert own["schedule"] == {"name": "step", "milestones": [55, 75, 90], "factor": 0.1}
    assert base["schedule"]["milestones"] == [76, 91] and base["learning_rate"] == 0.1
    assert own["weight_decay"] == 0 and base["weight_decay"] == 0.0005
    assert [archive["file"] for archive in archives(config, "base")] == ["cifar-10-python.tar.gz"]
    assert len(archives(config, "own")) == 4


def steps_of(epochs: int, steps_per_epoch: int) -> Iterator[tuple[int, int]]:
    """Epoch and number of every step of a run, both counted from 1."""
    for step in range(1, epochs * steps_per_epoch + 1):
        yield math.ceil(step / steps_per_epoch), step


def averaged(settings: dict, steps_per_epoch: int) -> dict[int, int]:
    """The steps after which our average takes a snapshot in 100 epochs: step -> epoch."""
    network, found = nn.Linear(1, 1), {}
    averaging = Averaging(settings, network)
    for epoch, step in steps_of(100, steps_per_epoch):
        before = int(averaging.model.n_averaged)
        averaging.after_step(network, epoch, step)
        if int(averaging.model.n_averaged) > before:
            found[step] = epoch
    return found


def test_swa_averages_as_many_snapshots_as_the_released_code_of_the_invariance_paper():
    """The code (train_ARAT.py of futakw/AR-AT at 2a1c5a3, `range(1, epochs + 1)`) takes one after each step with
    (epoch * 391 + batch) % 500 == 0 from epoch 76 on, where the epoch counts from 1 and the batch from 0. That number
    is 390 more than our step, which counts from 1: its multiples 30,000 to 39,000 are our steps 29,610 to 38,610."""
    theirs = {
        step: epoch for epoch, step in steps_of(100, 391) if epoch >= 76 and (epoch * 391 + (step - 1) % 391) % 500 == 0
    }
    assert list(theirs) == list(range(29_610, 38_611, 500)) and len(theirs) == 19
    assert (min(theirs.values()), max(theirs.values())) == (76, 99)

    config = configuration(PROTOCOLS["invariance, CIFAR-10, WRN-34-10, SWA"][0])
    settings = run_spec(config, "own", "trades")["training"]
    # Ours holds 1,000 images out, so that an epoch has 383 steps and not 391: steps 29,000 to 38,000 are averaged.
    images = 50_000 - config["datasets"]["own"]["splits"]["validation"]
    ours = averaged(settings["averaging"], math.ceil(images / settings["batch_size"]))
    assert list(ours) == list(range(29_000, 38_001, 500)) and len(ours) == 19
    assert (min(ours.values()), max(ours.values())) == (76, 100)
    # From epoch 77 on there would be 18; on all images, with 391 steps in an epoch, 20: 29,500 to 39,000.
    assert len(averaged(settings["averaging"] | {"start_epoch": 77}, 383)) == 18
    assert list(averaged(settings["averaging"], 391)) == list(range(29_500, 39_001, 500))


def test_averaging_of_another_name_does_not_keep_the_entries_of_the_first():
    changes = "training: {averaging: {name: swa, start_epoch: 76, every_steps: 500, decay: 0.995}}"
    with pytest.raises(RobustlensError, match="unknown key 'decay'"):
        configuration(changes)
