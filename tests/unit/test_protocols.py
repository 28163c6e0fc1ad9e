"""The protocols of the papers whose studies are still to come fit the configuration as it is.

Their values are those of the research sheets, or ours where a paper's own are not known.
"""

import copy

import pytest
import yaml
from configured import load_files

from robustlens.configuration import archives, run_spec, title
from robustlens.errors import RobustlensError
from robustlens.parameters import fraction

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


def test_averaging_of_another_name_does_not_keep_the_entries_of_the_first():
    changes = "training: {averaging: {name: swa, start_epoch: 76, every_steps: 500, decay: 0.995}}"
    with pytest.raises(RobustlensError, match="unknown key 'decay'"):
        configuration(changes)
