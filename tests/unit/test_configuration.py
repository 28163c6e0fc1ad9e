"""The configuration: what is refused, with which words; what is filled in; what a job gets of it."""

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from robustlens.configuration import archives, download_name, load, merge, run_spec, suite_attacks, title
from robustlens.errors import RobustlensError

REPOSITORY = Path(__file__).parent.parent.parent
SCHEMA = REPOSITORY / "schemas" / "config.schema.yaml"

CONFIG = yaml.safe_load("""
scale: small
recipes:
  sat: {method: sat}
  trades: {method: trades, beta: 3.0}
  weat-adv: {method: weat, variant: adv}
attacks:
  pgd20: {family: pgd, steps: 20}
  autoattack: {family: autoattack}
scales:
  other: {}
  small:
    recipes:
      trades: {beta: 4.0}
    datasets:
      digits:
        reader: {family: digits}
        splits: {train: 200, validation: 100}
        architecture: {family: resnet, width: 16}
        threat: {norm: linf, epsilon: 4/16, step_size: 0.0625}
        training:
          epochs: 10
          batch_size: 50
          learning_rate: 0.1
          schedule: {name: one-cycle, warmup_fraction: 0.25, cycle_momentum: true}
          attack_steps: 7
        tracking: {train_samples: 100, energy_epochs: [1, 10]}
        generation:
          per_class: 10
          sampler: {}
          features: {kind: classifier, recipe: sat, seed: 1000}
    suites:
      robustness: {attacks: [pgd20, autoattack], samples: {autoattack: 100}}
      attack-energies: {attacks: [pgd20]}
    studies:
      energy:
        datasets: [digits]
        recipes: [sat, trades]
        seeds: [0, 1]
        attack_energies: {datasets: [digits], recipes: [sat]}
        generation: {datasets: [digits], recipes: [sat]}
""")


def loaded(change: Callable[[dict], object] = lambda raw: None) -> dict:
    raw = copy.deepcopy(CONFIG)
    change(raw)
    return load(raw, SCHEMA)


def small(raw: dict) -> dict:
    return raw["scales"]["small"]


def digits(raw: dict) -> dict:
    return small(raw)["datasets"]["digits"]


def energy(raw: dict) -> dict:
    return small(raw)["studies"]["energy"]


DIGITS, ENERGY = "config.datasets.digits", "config.studies.energy"
REFUSED = [
    # scales and unknown keys, with the nearest valid name
    (lambda r: r.update(scale="smal"), "config: unknown scale 'smal'; did you mean 'small'?"),
    (lambda r: r.update(scale="paper"), "config: unknown scale 'paper'; valid are: other, small"),
    (lambda r: (r["scales"].update({7: {}}), r.update(scale="smal")), "config: unknown scale 'smal'; did you mean"),
    (lambda r: r.pop("scale"), "config: unknown scale None; valid are: other, small"),
    (lambda r: r.pop("scales"), "config: unknown scale 'small'; valid are: none"),
    (lambda r: r.update(recipees={}), "config: unknown key 'recipees'; did you mean 'recipes'?"),
    (lambda r: digits(r).update(redaer="x"), f"{DIGITS}: unknown key 'redaer'; did you mean 'reader'?"),
    (
        lambda r: digits(r)["training"].update(epochss=3),
        f"{DIGITS}.training: unknown key 'epochss'; did you mean 'epochs'?",
    ),
    (
        lambda r: digits(r)["training"]["schedule"].update(warmupfraction=0.3),
        f"{DIGITS}.training.schedule: unknown key 'warmupfraction'; did you mean 'warmup_fraction'?",
    ),
    (lambda r: small(r)["studies"].update(enrgy={}), "config.studies: unknown key 'enrgy'; did you mean 'energy'?"),
    (
        lambda r: digits(r)["generation"]["features"].update(sed=1),
        f"{DIGITS}.generation.features: unknown key 'sed'; did you mean 'seed'?",
    ),
    # values
    (lambda r: digits(r)["training"].update(epochs=0), f"{DIGITS}.training.epochs: 0 is less than the minimum of 1"),
    (lambda r: digits(r)["training"].update(epochs=True), f"{DIGITS}.training.epochs: True is not of type 'integer'"),
    (lambda r: digits(r)["training"].update(epochs=10.0), f"{DIGITS}.training.epochs: 10.0 is not of type 'integer'"),
    (
        lambda r: digits(r)["training"].update(learning_rate="1e-1"),
        f"{DIGITS}.training.learning_rate: '1e-1' is not of type 'number'",
    ),
    (
        lambda r: digits(r)["training"].update(weight_decay=float("inf")),
        f"{DIGITS}.training.weight_decay: inf is not of type 'number' (On all parameters)",
    ),
    (
        lambda r: digits(r)["training"].update(momentum=1),
        f"{DIGITS}.training.momentum: 1 is greater than or equal to the maximum of 1",
    ),
    (
        lambda r: digits(r)["training"].update(attack_batchnorm="both"),
        f"{DIGITS}.training.attack_batchnorm: 'both' is not one of ['eval', 'train'] (BatchNorm in the training",
    ),
    (
        lambda r: digits(r)["training"]["schedule"].update(name="cosine"),
        f"{DIGITS}.training.schedule.name: 'cosine' is not one of ['one-cycle', 'step']",
    ),
    (
        lambda r: digits(r)["training"]["schedule"].update(warmup_fraction=3),
        f"{DIGITS}.training.schedule.warmup_fraction: 3 is greater than or equal to the maximum of 1",
    ),
    (
        lambda r: digits(r)["training"].update(schedule={"name": "step", "milestones": [5]}),
        f"{DIGITS}.training.schedule: 'factor' is a required property",
    ),
    (
        lambda r: digits(r)["threat"].update(epsilon="8/0"),
        f"{DIGITS}.threat.epsilon: '8/0' does not match '^[1-9][0-9]*/[1-9][0-9]*$' (A length in pixel units, as a "
        "number or an exact fraction such as 8/255)",
    ),
    (
        lambda r: digits(r)["threat"].update(epsilon=float("nan")),
        f"{DIGITS}.threat.epsilon: nan is not of type 'number', 'string'",
    ),
    (lambda r: digits(r)["threat"].update(step_size=-1), f"{DIGITS}.threat.step_size: -1 is less than or equal to"),
    (lambda r: digits(r)["threat"].update(norm="l1"), f"{DIGITS}.threat.norm: 'l1' is not one of ['linf', 'l2']"),
    (lambda r: digits(r).pop("threat"), f"{DIGITS}: 'threat' is a required property"),
    (lambda r: small(r).pop("datasets"), "config: 'datasets' is a required property"),
    (lambda r: r["recipes"].update(sat=None), "config.recipes.sat: None is not of type 'object'"),
    (lambda r: r["recipes"].update(SAT={"method": "sat"}), "config.recipes: 'SAT' does not match"),
    (lambda r: energy(r).update(seeds=[0, 0]), f"{ENERGY}.seeds: [0, 0] has non-unique elements"),
    (lambda r: energy(r).update(seeds=[0, -1]), f"{ENERGY}.seeds[1]: -1 is less than the minimum of 0"),
    (
        lambda r: digits(r)["generation"]["features"].update(kind="inceptio"),
        f"{DIGITS}.generation.features.kind: 'inceptio' is not one of ['classifier', 'inception']",
    ),
    # components and their parameters
    (
        lambda r: r["recipes"]["trades"].update(betta=3),
        "config.recipes.trades: trades has no parameter 'betta'; did you mean 'beta'?",
    ),
    (
        lambda r: small(r)["recipes"]["trades"].update(beta=-3),
        "config.recipes.trades.beta: must be a number of at least 0, got -3",
    ),
    (
        lambda r: r["recipes"]["trades"].update(method="tradez"),
        "config.recipes.trades: unknown method 'tradez'; did you mean 'trades'?",
    ),
    (lambda r: r["recipes"]["sat"].pop("method"), "config.recipes.sat: 'method' is a required property"),
    (
        lambda r: r["attacks"]["pgd20"].update(family="pdg"),
        "config.attacks.pgd20: unknown attack 'pdg'; did you mean 'pgd'?",
    ),
    (
        lambda r: r["attacks"]["pgd20"].update(loss="cee"),
        "config.attacks.pgd20.loss: must be one of ce, kl, got 'cee'",
    ),
    (
        lambda r: digits(r)["reader"].update(family="digit"),
        f"{DIGITS}.reader: unknown dataset reader 'digit'; did you mean 'digits'?",
    ),
    (
        lambda r: digits(r)["architecture"].update(family="resnett"),
        f"{DIGITS}.architecture: unknown architecture 'resnett'; did you mean 'resnet'?",
    ),
    (
        lambda r: digits(r)["architecture"].update(widht=3),
        f"{DIGITS}.architecture: resnet has no parameter 'widht'; did you mean 'width'?",
    ),
    (
        lambda r: r["recipes"]["sat"].update(architecture={"family": "resnet", "width": 0}),
        "config.recipes.sat.architecture.width: must be a whole number above 0, got 0",
    ),
    (
        lambda r: digits(r)["generation"]["sampler"].update(stepss=9),
        f"{DIGITS}.generation.sampler: sampler has no parameter 'stepss'; did you mean 'steps'?",
    ),
    # names that must be defined
    (lambda r: energy(r)["recipes"].append("tradez"), f"{ENERGY}.recipes: unknown recipe 'tradez'; did you mean"),
    (lambda r: energy(r)["datasets"].append("cifar"), f"{ENERGY}.datasets: unknown dataset 'cifar'; valid are: digits"),
    (
        lambda r: small(r)["suites"]["robustness"]["attacks"].append("pgd2"),
        "config.suites.robustness.attacks: unknown attack 'pgd2'; did you mean 'pgd20'?",
    ),
    (
        lambda r: small(r)["suites"]["attack-energies"].update(samples={"autoattack": 10}),
        "config.suites.attack-energies.samples: unknown attack 'autoattack'; valid are: pgd20",
    ),
    (
        lambda r: energy(r)["attack_energies"]["recipes"].append("weat-adv"),
        f"{ENERGY}.attack_energies.recipes: unknown recipe 'weat-adv'; valid are: sat, trades",
    ),
    (
        lambda r: energy(r)["generation"]["recipes"].append("sa"),
        f"{ENERGY}.generation.recipes: unknown recipe 'sa'; did you mean 'sat'?",
    ),
    (
        lambda r: digits(r)["generation"]["features"].update(recipe="standard"),
        f"{DIGITS}.generation.features.recipe: unknown recipe 'standard'",
    ),
    # entries that do not fit each other
    (
        lambda r: digits(r)["generation"]["features"].update(seed=1),
        f"{DIGITS}.generation.features: seed 1 of sat is an evaluated run",
    ),
    (
        lambda r: digits(r)["tracking"].update(energy_epochs=[1, 11]),
        f"{DIGITS}.tracking.energy_epochs: 11 is after the last epoch, 10",
    ),
    # images left out, further runs
    (
        lambda r: r["recipes"].update(small={"method": "sat", "leave_out": {"measured_by": "satt", "above": -3.0}}),
        "config.recipes.small.leave_out.measured_by: unknown recipe 'satt'; did you mean 'sat'?",
    ),
    (
        lambda r: r["recipes"].update(small={"method": "sat", "leave_out": {"measured_by": "small", "above": -3.0}}),
        "config.recipes.small.leave_out.measured_by: small leaves images out itself",
    ),
    (
        lambda r: r["recipes"].update(
            small={"method": "sat", "leave_out": {"measured_by": "sat", "above": -3.0, "fraction": 0.1}}
        ),
        "config.recipes.small.leave_out:",
    ),
    (
        lambda r: energy(r).update(further={"datasets": ["digits"], "recipes": ["sat"], "seeds": [0]}),
        f"{ENERGY}.further.recipes: sat is among the study's recipes already",
    ),
    (
        lambda r: energy(r).update(subsets={"datasets": [], "recipes": [], "seeds": [0], "suite": "robustnes"}),
        f"{ENERGY}.subsets.suite: unknown suite 'robustnes'; did you mean 'robustness'?",
    ),
    (
        lambda r: energy(r).update(generation_grid={"datasets": ["digits"], "recipes": ["sat"], "seeds": [0]}),
        f"{ENERGY}.generation_grid: config.datasets.digits.generation.grid is missing",
    ),
    (
        lambda r: digits(r)["generation"].update(grid={"per_class": 5, "values": {"momentun": [0.0]}}),
        f"{DIGITS}.generation.grid.values: sampler has no parameter 'momentun'; did you mean 'momentum'?",
    ),
    (
        lambda r: r["recipes"]["sat"].update(training={"epochss": 9}),
        "config.recipes.sat.training: unknown key 'epochss'; did you mean 'epochs'?",
    ),
    (
        lambda r: r["recipes"]["sat"].update(training={"batch_size": 0}),
        "config.recipes.sat.training.batch_size: 0 is less than the minimum of 1",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_mistake_is_refused_with_its_place_and_the_nearest_valid_name(change, message):
    with pytest.raises(RobustlensError) as raised:
        loaded(change)
    assert str(raised.value).startswith(message)


def test_the_unchanged_configuration_is_accepted_and_left_alone():
    raw = copy.deepcopy(CONFIG)
    load(raw, SCHEMA)
    assert raw == CONFIG


# What is filled in ------------------------------------------------------------------------------------------------


WEAT_DEFAULTS = {"energy": "natural", "weighted": "both", "normalised": False}


def test_defaults_of_schema_and_components_are_filled_in():
    config = loaded()
    training, tracking = (config["datasets"]["digits"][part] for part in ("training", "tracking"))
    assert training["momentum"] == 0.9 and training["weight_decay"] == 0.0005
    assert training["attack_batchnorm"] == "eval"
    assert training["augmentation"] == {"crop_padding": 0, "flip": False}
    assert tracking["attack_steps"] == 10 and tracking["batch_size"] == 500
    assert config["datasets"]["digits"]["splits"]["seed"] == 0
    resnet = {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 16, "block": "basic"}
    assert config["datasets"]["digits"]["architecture"] == resnet
    assert config["recipes"]["weat-adv"] == {"method": "weat", "variant": "adv", "beta": 6.0} | WEAT_DEFAULTS
    pgd20 = {"family": "pgd", "steps": 20, "loss": "ce", "start": "uniform", "targeted": False}
    assert config["attacks"]["pgd20"] == pgd20
    suite, generation = config["suites"]["attack-energies"], config["datasets"]["digits"]["generation"]
    assert suite["samples"] == {} and suite["batch_size"] == 500 and suite["checkpoints"] == ["best", "last"]
    assert generation["batch_size"] == 500 and generation["features"]["reference"] == "train"
    assert generation["sampler"].keys() >= {"init", "steps", "step_size", "momentum", "noise"}


def test_defaults_of_one_entry_are_not_shared_with_another():
    def change(raw: dict) -> None:
        small(raw)["datasets"]["again"] = copy.deepcopy(digits(raw))

    config = loaded(change)
    config["datasets"]["digits"]["training"]["augmentation"]["flip"] = True
    config["datasets"]["digits"]["architecture"]["blocks"].append(9)
    assert config["datasets"]["again"]["training"]["augmentation"]["flip"] is False
    assert config["datasets"]["again"]["architecture"]["blocks"] == [2, 2, 2, 2]


def test_a_given_value_is_not_overwritten_by_a_default():
    config = loaded(lambda r: digits(r)["training"].update(momentum=0.5, augmentation={"flip": True}))
    assert config["datasets"]["digits"]["training"]["momentum"] == 0.5
    assert config["datasets"]["digits"]["training"]["augmentation"] == {"crop_padding": 0, "flip": True}


# Scales -----------------------------------------------------------------------------------------------------------


def test_the_scale_is_merged_in_and_the_others_are_gone():
    config = loaded()
    assert "scales" not in config and config["scale"] == "small"
    assert config["recipes"]["trades"] == {"method": "trades", "beta": 4.0}
    assert config["recipes"]["sat"] == {"method": "sat"}


@pytest.mark.parametrize(("base", "overlay", "merged"), [
    ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
    ({"s": {"name": "step", "factor": 1}}, {"s": {"name": "one-cycle", "x": 2}}, {"s": {"name": "one-cycle", "x": 2}}),
    ({"s": {"name": "step", "f": 1}}, {"s": {"name": "step", "x": 2}}, {"s": {"name": "step", "f": 1, "x": 2}}),
    ({"a": {"x": 1, "y": {"z": 2}}}, {"a": {"y": {"w": 3}}}, {"a": {"x": 1, "y": {"z": 2, "w": 3}}}),
    ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
    ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
    ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ({"a": {"x": 1}}, {"a": None}, {"a": None}),
    ({"a": {"x": 1}}, {}, {"a": {"x": 1}}),
])  # fmt: skip
def test_mappings_are_merged_and_everything_else_replaced(base, overlay, merged):
    before = copy.deepcopy((base, overlay))
    assert merge(base, overlay) == merged
    assert (base, overlay) == before


# What jobs get ----------------------------------------------------------------------------------------------------


def test_a_run_is_defined_by_its_dataset_s_protocol_and_its_recipe():
    spec = run_spec(loaded(), "digits", "weat-adv")
    assert spec["dataset"] == "digits" and spec["recipe"] == "weat-adv"
    assert spec["method"] == {"name": "weat", "parameters": {"variant": "adv", "beta": 6.0} | WEAT_DEFAULTS}
    assert spec["architecture"]["width"] == 16
    assert spec["training"]["epochs"] == 10 and spec["threat"]["epsilon"] == "4/16"
    assert spec["tracking"]["energy_epochs"] == [1, 10]
    assert spec.keys() == {"dataset", "recipe", "architecture", "method", "training", "threat", "tracking"}


def test_a_recipe_s_own_entries_come_before_those_of_the_dataset():
    def change(raw: dict) -> None:
        raw["recipes"]["trades"] |= {
            "training": {"epochs": 20, "schedule": {"warmup_fraction": 0.5}, "augmentation": {"flip": True}},
            "architecture": {"family": "resnet", "width": 8},
        }

    config = loaded(change)
    spec, others = run_spec(config, "digits", "trades"), run_spec(config, "digits", "sat")
    assert spec["training"]["epochs"] == 20 and spec["training"]["batch_size"] == 50
    assert spec["training"]["schedule"] == {"name": "one-cycle", "warmup_fraction": 0.5, "cycle_momentum": True}
    assert spec["training"]["augmentation"] == {"crop_padding": 0, "flip": True}
    assert spec["architecture"] == {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 8, "block": "basic"}
    assert spec["method"] == {"name": "trades", "parameters": {"beta": 4.0}}
    assert others["training"]["epochs"] == 10 and others["architecture"]["width"] == 16


def test_a_suite_s_attacks_have_family_parameters_and_number_of_images():
    config = loaded()
    before = copy.deepcopy(config)
    assert suite_attacks(config, config["suites"]["robustness"]) == [
        {
            "name": "pgd20",
            "family": "pgd",
            "parameters": {"steps": 20, "loss": "ce", "start": "uniform", "targeted": False},
            "samples": None,
            "best_only": False,
        },
        {"name": "autoattack", "family": "autoattack", "parameters": {}, "samples": 100, "best_only": False},
    ]
    assert config == before


# The repository's own configuration -------------------------------------------------------------------------------

OWN = yaml.safe_load((REPOSITORY / "config.yaml").read_text())


@pytest.mark.parametrize("scale", list(OWN["scales"]))
def test_every_scale_of_the_repository_loads(scale):
    config = load(OWN | {"scale": scale}, SCHEMA)
    for study in config["studies"].values():
        for dataset in study["datasets"]:
            for recipe in study["recipes"]:
                assert run_spec(config, dataset, recipe)["training"]["epochs"] > 0


def test_the_default_scale_is_one_of_them():
    assert OWN["scale"] in OWN["scales"]


def test_reading_the_configuration_imports_no_heavy_library():
    code = (
        "import sys, yaml; from robustlens.configuration import load; "
        f"load(yaml.safe_load(open({str(REPOSITORY / 'config.yaml')!r})), {str(SCHEMA)!r}); "
        "print(sorted({'torch', 'pandas', 'numpy', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# Models of others -------------------------------------------------------------------------------------------------


def other_model(raw: dict, **weights: str) -> None:
    """A model of others, whose weights have these facts."""
    small(raw)["models"] = {
        "theirs": {
            "dataset": "digits",
            "architecture": {"family": "resnet"},
            "weights": {"file": "theirs.pt", "by_hand": "ask them", **weights},
        }
    }


def test_a_model_that_no_study_uses_needs_no_checksum():
    assert "sha256" not in loaded(other_model)["models"]["theirs"]["weights"]


def test_a_model_that_a_study_uses_needs_a_checksum():
    def used(raw: dict, **weights: str) -> None:
        other_model(raw, **weights)
        energy(raw)["models"] = ["theirs"]

    message = "config.models.theirs.weights: no checksum is known for it; add its `sha256`"
    with pytest.raises(RobustlensError, match=re.escape(message)):
        loaded(used)
    assert loaded(lambda raw: used(raw, md5="0" * 32))["studies"]["energy"]["models"] == ["theirs"]


# A mirror of one's own --------------------------------------------------------------------------------------------


def test_the_example_of_a_mirror_is_another_dataset_under_the_protocol_it_is_like():
    mirror = yaml.safe_load((REPOSITORY / "tests" / "cifar10-jpeg.yaml").read_text())
    config = load(merge(OWN | {"scale": "pilot"}, mirror), SCHEMA)
    (archive,) = archives(config, "cifar10-jpeg")
    own = mirror["scales"]["pilot"]["datasets"]["cifar10-jpeg"]["archives"]["cifar-10-python.tar.gz"]
    assert archive["sha256"] == own["sha256"] and archive["bytes"] == own["bytes"]
    assert "md5" not in archive and archive["urls"] == ["http://127.0.0.1:8765/cifar-10-python.tar.gz"]
    assert title(config, "cifar10-jpeg") == "CIFAR-10-JPEG" and download_name(config, "cifar10-jpeg") == "cifar10-jpeg"
    assert run_spec(config, "cifar10-jpeg", "sat") == run_spec(config, "cifar10", "sat") | {"dataset": "cifar10-jpeg"}
    energy = config["studies"]["energy"]
    for part in (energy, energy["attack_energies"], energy["generation"]):
        assert part["datasets"] == ["cifar10-jpeg"]


def test_a_dataset_of_another_reader_takes_over_neither_title_nor_archives():
    mirror = {"title": "A mirror", "archives": {"cifar-10-python.tar.gz": {"urls": ["https://mirror.example.org/x"]}}}

    def change(raw: dict) -> None:
        small(raw)["datasets"] |= {
            "one": {"like": "digits", "reader": {"family": "cifar10"}, **mirror},
            "two": {"like": "one", "splits": {"train": 300}},
            "three": {"like": "one", "reader": {"family": "cifar100"}},
        }

    config = loaded(change)
    assert archives(config, "two") == archives(config, "one") and title(config, "two") == "A mirror"
    assert archives(config, "one")[0]["urls"] == ["https://mirror.example.org/x"]
    assert archives(config, "three")[0]["file"] == "cifar-100-python.tar.gz" and title(config, "three") == "CIFAR-100"
    assert config["datasets"]["three"]["threat"] == config["datasets"]["digits"]["threat"]
