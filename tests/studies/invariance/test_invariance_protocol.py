"""What the study trains: nothing that another one trains already, and AR-AT with layers that its networks have."""

from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
from configured import own

from robustlens.models.weights import build
from robustlens.parameters import create
from robustlens.report.published import PublishedNumbers
from robustlens.training.schedule import Schedule

SCALES = ("smoke", "embedded", "pilot", "paper")
PUBLISHED = Path(__file__).parents[3] / "studies" / "invariance" / "published.yaml"
EACH = {"smoke": 2.0, "embedded": 2.0, "pilot": 7.5, "paper": 7.5}  # gamma for each layer
TIMES = {"arat-gamma-ninth": 1 / 9, "arat-gamma-third": 1 / 3, "arat-gamma-triple": 3, "arat-gamma-ninefold": 9}


def runs(config, study):
    """Dataset, recipe and seed of every training of a study."""
    cohorts = config["studies"][study]["cohorts"].values()
    return {run for c in cohorts for run in product(*(c[key] for key in ("datasets", "recipes", "seeds")))}


@pytest.mark.parametrize("scale", ["smoke", "embedded", "pilot"])
def test_methods_of_the_energy_study_are_trained_once(scale):
    config = own(scale=scale)
    ours, theirs = runs(config, "invariance"), runs(config, "energy")
    shared = {recipe for _, recipe, _ in ours & theirs}
    assert {"sat", "trades"} <= shared
    assert not {recipe for _, recipe, _ in ours - theirs} & {recipe for _, recipe, _ in theirs}


def test_claims_compare_recipes_of_three_seeds():
    cohorts = own(scale="embedded")["studies"]["invariance"]["cohorts"]
    assert all(len(cohorts[name]["seeds"]) == 3 for name in ("main", "compared", "released", "evaluators"))
    assert "naive-to-natural" in cohorts["compared"]["recipes"] and "arat-as-released" in cohorts["released"]["recipes"]


@pytest.mark.parametrize("scale", SCALES)
def test_channels_are_compared_between_one_batchnorm_and_two_of_runs_that_are_trained_anyway(scale):
    config = own(scale=scale)
    cohorts = config["studies"]["invariance"]["cohorts"]
    shared, split = cohorts["channels"]["recipes"]
    given = [dict(config["recipes"][name]) for name in (shared, split)]
    assert [recipe["split_batchnorm"] for recipe in given] == [False, True]
    looks = ("split_batchnorm", "observers", "label", "colour", "marker", "changes")
    assert [{key: value for key, value in recipe.items() if key not in looks} for recipe in given[:1]] == [
        {key: value for key, value in given[1].items() if key not in looks}
    ]
    others = [cohort for name, cohort in cohorts.items() if name != "channels"]
    trained = {run for c in others for run in product(*(c[key] for key in ("datasets", "recipes", "seeds")))}
    wanted = set(product(*(cohorts["channels"][key] for key in ("datasets", "recipes", "seeds"))))
    assert wanted <= trained


@pytest.mark.parametrize("scale", ["embedded", "paper"])
def test_the_drift_of_features_is_observed_where_a_claim_compares_it(scale):
    config = own(scale=scale)
    for name in ("arat", "arat-no-predictor"):
        drift = config["recipes"][name]["observers"]["feature-drift"]
        assert drift["layers"] == config["recipes"][name]["layers"]


def test_both_autoattacks_are_tried_on_the_images_that_the_robustness_suite_has_attacked_already():
    suites = own(scale="embedded")["suites"]
    (standard,) = {suites[name]["samples"]["autoattack"] for name in ("evaluators", "robustness")}
    assert suites["evaluators"]["samples"]["autoattack-10"] == standard


@pytest.mark.parametrize("scale", SCALES)
def test_a_recipe_changes_one_that_is_trained_too_or_is_compared_with_sat(scale):
    config = own(scale=scale)
    cohorts = config["studies"]["invariance"]["cohorts"]
    evaluated = {recipe for cohort in cohorts.values() if "suite" in cohort for recipe in cohort["recipes"]}
    without = {name for name in evaluated if config["recipes"][name].get("changes", "sat") not in evaluated}
    assert without <= {"trades-three-forwards"}


def test_at_the_paper_scale_gamma_is_tried_at_five_values_in_equal_steps():
    config = own(scale="paper")
    names = ["arat", *config["studies"]["invariance"]["cohorts"]["strengths"]["recipes"]]
    gammas = sorted(config["recipes"][name]["gamma"] for name in names)
    assert len(gammas) == 5 and gammas[2] == 30
    assert [b / a for a, b in pairwise(gammas)] == pytest.approx([3] * 4, rel=0.02)


def test_what_is_averaged_differs_from_what_it_changes_in_the_average_alone():
    config = own(scale="paper")
    labels = ("label", "colour", "marker", "changes", "observers")
    cohorts = config["studies"]["invariance"]["cohorts"]
    for cohort in ("averaged", "wide-averaged"):
        (name,) = cohorts[cohort]["recipes"]
        recipe, other = (dict(config["recipes"][n]) for n in (name, config["recipes"][name]["changes"]))
        training = recipe.pop("training")
        assert training == {"averaging": {"name": "swa", "start_epoch": 76, "every_steps": 500}}
        assert {k: v for k, v in recipe.items() if k not in labels} == {
            k: v for k, v in other.items() if k not in labels
        }


@pytest.mark.parametrize("scale", SCALES)
def test_regularised_layers_are_those_of_the_last_stage_and_gamma_is_as_large_for_each(scale):
    config = own(scale=scale)
    cohorts = config["studies"]["invariance"]["cohorts"].values()
    asked = {(d, r) for cohort in cohorts for d in cohort["datasets"] for r in cohort["recipes"]}
    seen = 0
    for dataset, name in asked:
        recipe, architecture = config["recipes"][name], config["datasets"][dataset]["architecture"]
        if recipe["method"] != "arat":
            continue
        seen += 1
        parameters = {key: recipe[key] for key in ("layers", "gamma") if key in recipe}
        network = build(architecture, 3, 10)
        method = create("methods", "arat", parameters)
        layers, wide = list(method.layers), architecture["family"] == "wide-resnet"
        if wide:
            blocks = range((architecture["depth"] - 4) // 6)
            rule = [f"block3.layer.{b}.relu{n}" for b in blocks for n in (1, 2)] + ["penultimate"]
        else:
            last = len(architecture["blocks"])
            blocks = range(architecture["blocks"][-1])
            rule = [f"layer{last}.{b}.bn{n}" for b in blocks for n in (1, 2)]
        if name == "arat-one-layer":
            assert layers == rule[-1:] and method.gamma == EACH[scale]
            continue
        assert layers == rule, name
        each = method.gamma / len(layers)
        times = TIMES.get(name, 1)
        assert each == pytest.approx(times * (100 / 11 if wide else EACH[scale]), rel=0.03), name
        for layer in layers:
            assert layer == "penultimate" or isinstance(network.get_submodule(layer), torch.nn.Module)
        for watched in recipe.get("observers", {}).values():
            assert watched.get("layers", layers) == layers, name
    assert seen >= (2 if scale == "smoke" else 3)


def test_the_paper_scale_has_the_rates_that_the_released_code_executes():
    training = own(scale="paper")["datasets"]["cifar10-step"]["training"]
    steps = 383  # of 49,000 images in batches of 128
    schedule = Schedule(training, steps)
    of_epoch = {
        epoch: {schedule.rates((epoch - 1) * steps + step)[0] for step in (0, steps - 1)} for epoch in range(1, 101)
    }
    expected = {1: 0.02} | dict.fromkeys(range(2, 77), 0.1) | dict.fromkeys(range(77, 92), 0.01)
    expected |= dict.fromkeys(range(92, 101), 0.001)
    for epoch, rate in expected.items():
        assert [pytest.approx(rate, rel=1e-12)] * len(of_epoch[epoch]) == list(of_epoch[epoch]), epoch


def test_published_numbers_find_the_recipes_that_the_paper_scale_trains():
    config = own(scale="paper")
    numbers = PublishedNumbers(PUBLISHED)
    cohorts = config["studies"]["invariance"]["cohorts"]
    for name in ("main", "photographs", "wide", "averaged", "wide-averaged"):
        for dataset, recipe in product(cohorts[name]["datasets"], cohorts[name]["recipes"]):
            network = numbers.architecture(config["datasets"][dataset]["architecture"])
            for metric in ("clean", "autoattack", "sum"):
                assert numbers.find(dataset, network, recipe, metric), (dataset, recipe, metric)
    network = numbers.architecture(config["datasets"]["cifar10-step"]["architecture"])
    for recipe in cohorts["main"]["recipes"]:
        assert numbers.find("cifar10-step", network, recipe, "cosine"), recipe
    beside = cohorts["baselines"]["recipes"]
    assert {r for r in beside if numbers.find("cifar10-step", network, r, "sum")} == {"arrest"}


def test_the_last_checkpoint_of_what_the_paper_has_numbers_of_is_attacked():
    """The paper's numbers are of the last epoch, and of an average of weights only the last checkpoint is one."""
    config = own(scale="paper")
    cohorts = config["studies"]["invariance"]["cohorts"]
    for name in ("main", "photographs", "wide", "released", "baselines", "averaged", "wide-averaged"):
        suite = config["suites"][cohorts[name]["suite"]]
        assert "last" in suite["checkpoints"] and "autoattack" not in suite["best_only"], name


def test_published_deviations_are_those_of_lbgat_and_of_ar_at():
    numbers = PublishedNumbers(PUBLISHED)
    having = {key[2] for key, found in numbers.numbers.items() if found.std is not None}
    assert having == {"lbgat", "arat", "arat-as-released", "arat-swa", "arat-wide", "arat-wide-swa"}
    found = [numbers.find("cifar10-step", "resnet18", "arat", metric) for metric in ("clean", "autoattack", "sum")]
    assert [(number.value, number.std) for number in found] == [(87.82, 0.19), (49.02, 0.47), (136.84, 0.33)]
    wide = numbers.find("cifar100-step-wide", "wide-resnet-34-10", "lbgat", "sum")
    assert (wide.value, wide.std) == (95.09, 0.64)
    assert numbers.find("imagenette-step", "resnet18", "arat", "sum").std is None  # table 4 has none


def test_published_sums_are_sums():
    numbers = PublishedNumbers(PUBLISHED).numbers
    sums = {key: found.value for key, found in numbers.items() if key[3] == "sum"}
    assert len(sums) == 33
    for (dataset, network, recipe, _, ball), total in sums.items():
        parts = [numbers[dataset, network, recipe, metric, ball].value for metric in ("clean", "autoattack")]
        assert total == pytest.approx(sum(parts), abs=0.015), (dataset, recipe)
