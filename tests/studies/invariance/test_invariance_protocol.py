"""What the study trains: nothing that another one trains already, and AR-AT with layers that its networks have."""

from itertools import product

import pytest
import torch
from configured import own

from robustlens.models.weights import build
from robustlens.parameters import create
from robustlens.training.schedule import Schedule

SCALES = ("embedded", "pilot", "paper")
EACH = {"embedded": 2.0, "pilot": 7.5, "paper": 7.5}  # gamma for each layer


def runs(config, study):
    """Dataset, recipe and seed of every training of a study."""
    cohorts = config["studies"][study]["cohorts"].values()
    return {run for c in cohorts for run in product(*(c[key] for key in ("datasets", "recipes", "seeds")))}


@pytest.mark.parametrize("scale", ["embedded", "pilot"])
def test_methods_of_the_energy_study_are_trained_once(scale):
    config = own(scale=scale)
    ours, theirs = runs(config, "invariance"), runs(config, "energy")
    shared = {recipe for _, recipe, _ in ours & theirs}
    assert {"sat", "trades"} <= shared
    assert not {recipe for _, recipe, _ in ours - theirs} & {recipe for _, recipe, _ in theirs}


def test_claims_compare_recipes_of_three_seeds():
    cohorts = own(scale="embedded")["studies"]["invariance"]["cohorts"]
    assert all(len(cohorts[name]["seeds"]) == 3 for name in ("main", "compared"))


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
        times = {"arat-gamma-third": 1 / 3, "arat-gamma-triple": 3}.get(name, 1)
        assert each == pytest.approx(times * (100 / 11 if wide else EACH[scale]), rel=0.03), name
        for layer in layers:
            assert layer == "penultimate" or isinstance(network.get_submodule(layer), torch.nn.Module)
        for watched in recipe.get("observers", {}).values():
            assert watched.get("layers", layers) == layers, name
    assert seen >= 3


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
