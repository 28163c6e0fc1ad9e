"""The configuration: what is filled in, and what a job gets of it."""

import copy
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import yaml
from configured import REPOSITORY, SCHEMA, digits, loaded, own, small

from robustlens import configuration
from robustlens.configuration import caveat, load, pool_spec, run_spec, specs, suite_attacks, trained_under
from robustlens.configuration.checking import check
from robustlens.configuration.reading import read_yaml
from robustlens.errors import RobustlensError

WEAT_DEFAULTS = {"energy": "natural", "weighted": "both", "normalised": False}


def test_what_jobs_make_that_share_an_attack_is_named_by_checkpoint_attack_images_and_job():
    def shared(raw: dict) -> None:
        raw["attacks"]["autoattack"]["shards"] = 2
        suite = {"attacks": ["pgd20", "autoattack"], "samples": {"autoattack": 30}, "best_only": ["autoattack"]}
        raw["scales"]["small"]["suites"]["shared"] = suite

    config = loaded(shared)
    found = configuration.shards(config, "digits", "sat", "shared")
    assert found == ["best/autoattack.30.1-of-2", "best/autoattack.30.2-of-2"]
    names = {"dataset": "digits", "recipe": "sat", "seed": 0, "threat": "near", "checkpoint": "best"}
    asked = names | {"attack": "autoattack", "images": "30"}
    spec = specs.shard(config, SimpleNamespace(**asked, shard="2-of-2"))
    assert (spec["shard"], spec["shards"], spec["checkpoints"]) == (2, 2, [["best", "best"]])
    suite = SimpleNamespace(**names, suite="shared")
    (attack,) = [one for one in specs.evaluated(config, suite)["attacks"] if one["name"] == "autoattack"]
    assert spec["attacks"] == [attack | {"best_only": False}] and "shards" not in attack["parameters"]
    for change, words in (
        ({"shard": "3-of-2"}, "3-of-2: the last of 2 jobs is 2-of-2"),
        ({"attack": "autoattak"}, "config.attacks has no 'autoattak'; did you mean 'autoattack'"),
        ({"checkpoint": "late"}, "sat on digits: no suite looks at a checkpoint 'late' of it"),
    ):
        with pytest.raises(RobustlensError, match=re.escape(words)):
            specs.shard(config, SimpleNamespace(**{**asked, "shard": "1-of-2", **change}))


def test_defaults_of_schema_and_components_are_filled_in():
    config = loaded()
    training, tracking = (config["datasets"]["digits"][part] for part in ("training", "tracking"))
    assert training["momentum"] == 0.9 and training["weight_decay"] == 0.0005
    assert training["attack_batchnorm"] == "eval"
    assert training["augmentation"] == {"crop_padding": 0, "flip": False}
    assert tracking["attack_steps"] == 10 and tracking["batch_size"] == 500
    assert config["datasets"]["digits"]["splits"]["seed"] == 0
    assert config["datasets"]["digits"]["evaluation"] == {"batch_size": 500}
    resnet = {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 16, "block": "basic"}
    assert config["datasets"]["digits"]["architecture"] == resnet
    assert config["recipes"]["weat-adv"] == {"method": "weat", "variant": "adv", "beta": 6.0} | WEAT_DEFAULTS
    own = {"steps": 20, "loss": "ce", "start": "uniform", "targeted": False}
    pgd20 = {"family": "pgd", **own, "shards": 1, "label": "PGD-20"}
    assert config["attacks"]["pgd20"] == pgd20
    suite, generation = config["suites"]["brief"], config["datasets"]["digits"]["generation"]
    assert suite == {"attacks": ["pgd20"], "samples": {}, "best_only": [], "checkpoints": ["best", "last"]}
    assert generation["batch_size"] == 500 and generation["features"]["reference"] == "train"
    assert generation["sampler"].keys() >= {"init", "steps", "step_size", "momentum", "noise"}


def test_a_complete_configuration_is_valid_and_has_nothing_to_be_filled_in():
    for config in (loaded(), own(scale="paper")):
        again = copy.deepcopy(config)
        check(again, read_yaml(SCHEMA))
        assert again == config


def test_defaults_of_one_entry_are_not_shared_with_another():
    def change(raw: dict) -> None:
        small(raw)["datasets"]["again"] = digits(raw)  # an anchor and its alias, in the file

    config = loaded(change)
    config["datasets"]["digits"]["training"]["augmentation"]["flip"] = True
    config["datasets"]["digits"]["architecture"]["blocks"].append(9)
    assert config["datasets"]["again"]["training"]["augmentation"]["flip"] is False
    assert config["datasets"]["again"]["architecture"]["blocks"] == [2, 2, 2, 2]


def test_a_given_value_is_not_overwritten_by_a_default():
    config = loaded(lambda r: digits(r)["training"].update(momentum=0.5, augmentation={"flip": True}))
    assert config["datasets"]["digits"]["training"]["momentum"] == 0.5
    assert config["datasets"]["digits"]["training"]["augmentation"] == {"crop_padding": 0, "flip": True}


def test_the_scale_is_merged_in_and_the_others_are_gone():
    config = loaded()
    assert "scales" not in config and config["scale"] == "small"
    assert config["recipes"]["trades"] == {"method": "trades", "beta": 4.0, "natural_again": False}


# What jobs get --------------------------------------------------------------------------------------------------------


def test_a_run_is_defined_by_its_dataset_s_protocol_and_its_recipe():
    spec = run_spec(loaded(), "digits", "weat-adv")
    assert spec["dataset"] == "digits" and spec["recipe"] == "weat-adv"
    assert spec["method"] == {"name": "weat", "parameters": {"variant": "adv", "beta": 6.0} | WEAT_DEFAULTS}
    assert spec["architecture"]["width"] == 16
    assert spec["training"]["epochs"] == 10
    assert spec["threat"] == {"norm": "linf", "epsilon": "4/16", "step_size": 0.0625}
    assert spec["tracking"]["energy_epochs"] == [1, 10]
    assert spec.keys() == {"dataset", "recipe", "architecture", "method", "training", "threat", "tracking"}


def test_a_recipe_s_own_entries_come_before_those_of_the_dataset():
    def change(raw: dict) -> None:
        raw["recipes"]["trades"] |= {
            "training": {"epochs": 20, "schedule": {"warmup_fraction": 0.5}, "augmentation": {"flip": True}},
            "architecture": {"family": "resnet", "width": 8},
            "threat": "far",
        }

    config = loaded(change)
    spec, others = run_spec(config, "digits", "trades"), run_spec(config, "digits", "sat")
    assert spec["training"]["epochs"] == 20 and spec["training"]["batch_size"] == 50
    assert spec["training"]["schedule"] == {"name": "one-cycle", "warmup_fraction": 0.5, "cycle_momentum": True}
    assert spec["training"]["augmentation"] == {"crop_padding": 0, "flip": True}
    assert spec["architecture"] == {"family": "resnet", "blocks": [2, 2, 2, 2], "width": 8, "block": "basic"}
    assert spec["method"] == {"name": "trades", "parameters": {"beta": 4.0, "natural_again": False}}
    assert spec["threat"] == {"norm": "l2", "epsilon": 1.0, "step_size": 0.2}
    assert others["training"]["epochs"] == 10 and others["architecture"]["width"] == 16
    assert others["threat"]["norm"] == "linf"


def test_the_threat_of_a_training_is_the_recipe_s_or_the_dataset_s_and_of_a_third_party_model_the_dataset_s():
    config = loaded(lambda r: r["recipes"]["trades"].update(threat="far"))
    assert trained_under(config, "digits", "trades") == "far"
    assert trained_under(config, "digits", "sat") == trained_under(config, "digits", "theirs") == "near"


TEXTS = {
    "title": lambda r: digits(r).update(title="Another title"),
    "label": lambda r: r["recipes"]["sat"].update(label="Another label"),
    "colour": lambda r: r["recipes"]["sat"].update(colour="#123456", marker="8"),
    "changes": lambda r: r["recipes"]["sat"].update(changes="trades"),
    "label of an attack": lambda r: r["attacks"]["pgd20"].update(label="P"),
    "label of a generator": lambda r: r["generators"]["blurred"].update(label="Grey"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_a_thing_is_called_or_drawn_like_is_told_to_no_job_that_computes(text):
    before, after = loaded(), loaded(TEXTS[text])
    assert before != after
    for recipe in before["recipes"]:
        assert run_spec(after, "digits", recipe) == run_spec(before, "digits", recipe)
    for suite in before["suites"]:
        assert suite_attacks(after, after["suites"][suite]) == suite_attacks(before, before["suites"][suite])
    assert pool_spec(after, "digits", "blurred") == pool_spec(before, "digits", "blurred")


def test_a_pool_is_defined_by_its_dataset_and_its_generator():
    config = loaded(lambda r: r["generators"]["blurred"].update(covariance="full", seed=3))
    parameters = {"covariance": "full", "shrinkage": 0.0}
    assert pool_spec(config, "digits", "blurred") == {
        "dataset": "digits",
        "generator": {"name": "blurred", "family": "gaussian", "parameters": parameters},
        "per_class": 20,
        "seed": 3,
    }
    assert pool_spec(loaded(), "digits", "blurred")["seed"] == 0
    with pytest.raises(RobustlensError, match="unknown generator 'blured'; did you mean 'blurred'"):
        pool_spec(config, "digits", "blured")


def test_a_configuration_needs_no_generators():
    assert loaded(lambda r: r.pop("generators"))["generators"] == {}


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


# The repository's own configuration -----------------------------------------------------------------------------------

OWN = yaml.safe_load((REPOSITORY / "config.yaml").read_text())


@pytest.mark.parametrize("scale", list(OWN["scales"]))
def test_every_scale_of_the_repository_loads(scale):
    config = own(scale=scale)
    assert config["scale"] == scale and config["studies"]
    for study in config["studies"].values():
        for cohort in study["cohorts"].values():
            for dataset in cohort["datasets"]:
                for recipe in cohort["recipes"]:
                    assert run_spec(config, dataset, recipe)["training"]["epochs"] > 0


def test_the_default_scale_is_one_of_them_and_chosen():
    assert OWN["scale"] in OWN["scales"] and own()["scale"] == OWN["scale"]


def test_every_recipe_of_a_figure_has_a_look_of_its_own():
    """Those whose images are left out are drawn by group, not by recipe."""
    for scale in OWN["scales"]:
        recipes = own(scale=scale)["recipes"]
        looks = [(r["colour"], r["marker"]) for r in recipes.values() if "colour" in r]
        assert len(set(looks)) == len(looks) > 10
        assert all("label" in recipe for recipe in recipes.values())


def test_texts_may_have_greek_letters_and_the_caveat_several_lines():
    def change(raw: dict) -> None:
        raw["caveat"] = "\nOn two cores:\n\n  ε = 3/16. "
        digits(raw)["title"] = "MNIST \u03c3"
        raw["recipes"]["sat"]["label"] = "SAT, \u03b1 → 0"

    config = loaded(change)
    assert config["datasets"]["digits"]["title"] == "MNIST \u03c3"
    assert caveat(config) == "On two cores: ε = 3/16."  # a caption of LaTeX has no paragraphs


def test_the_shared_configuration_loads_without_any_study():
    config = load([REPOSITORY / "config.yaml"], [], {}, SCHEMA, {})
    assert config["studies"] == {} and run_spec(config, "digits", "trades")["training"]["epochs"] == 40


def test_reading_the_configuration_imports_no_heavy_library():
    code = (
        "import sys; from pathlib import Path; from robustlens.configuration import load; "
        "root = Path(sys.argv[1]); "
        "load([root / 'config.yaml'], [], {}, root / 'schemas/config.schema.yaml', {}); "
        "print(sorted({'torch', 'pandas', 'numpy', 'sklearn', 'scipy', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(REPOSITORY)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_largest_scale_is_loaded_in_a_moment():
    """It is loaded again by every job on a cluster. 60 ms at the time of writing."""
    own(scale="paper")  # the syntax trees of the components are kept
    start = time.process_time()
    own(scale="paper")
    assert time.process_time() - start < 1
