"""Recipes that build on others, mix images, name observers: what fits is accepted, what does not is refused."""

import dataclasses
from collections.abc import Callable

import pytest
from configured import loaded

from robustlens import parameters
from robustlens.configuration import (
    components,
    evaluated_checkpoints,
    facts,
    references,
    run_spec,
    trained_architectures,
    weights_of_others,
)
from robustlens.configuration.cohorts import trained
from robustlens.errors import RobustlensError
from robustlens.parameters import Component, component, names

GENERATORS = {"gaussian": {"family": "gaussian", "per_class": 5}}
SCHEDULE = {"warmup_fraction": None, "cycle_momentum": None}
COSINE = SCHEDULE | {"name": "cosine", "final_rate": 0}


def with_recipes(**recipes: dict) -> dict:
    """The configuration with further recipes, in its cohort `main`."""

    def added(raw: dict) -> None:
        raw["generators"] = GENERATORS
        raw["recipes"] |= recipes
        raw["scales"]["small"]["studies"]["mine"]["cohorts"]["main"]["recipes"] += recipes

    return loaded(added)


def test_a_run_says_what_it_starts_from_mixes_and_observes():
    started = {"method": "sat", "start_from": {"recipe": "trades"}, "mix": {"generator": "gaussian", "gamma": 0.5}}
    config = with_recipes(new=started | {"observers": {"loss-terms": {}}})
    spec = run_spec(config, "digits", "new")
    assert spec["start_from"] == {"recipe": "trades", "checkpoint": "best"}
    assert spec["mix"] == {"generator": "gaussian", "gamma": 0.5, "ratio": 1.0, "augmented": True}
    assert spec["observers"] == {"loss-terms": {"every": 100}}
    plain = run_spec(config, "digits", "sat")
    assert not {"start_from", "mix", "observers", "given"} & plain.keys()


def asking(monkeypatch: pytest.MonkeyPatch, **needs: tuple[str, ...]) -> None:
    """As if MART needed further networks."""

    def component(group: str, name: str, where: str) -> Component:
        found = parameters.component(group, name, where)
        return dataclasses.replace(found, **needs) if name == "mart" else found

    monkeypatch.setattr(references, "component", component)


def test_the_runs_behind_a_run_are_trained_too(monkeypatch):
    asking(monkeypatch, given=("helper", "anchor"))
    given = {"helper": {"recipe": "second"}, "anchor": {"recipe": "weat-adv", "checkpoint": "last"}}

    def added(raw: dict) -> None:
        raw["recipes"] |= {
            "first": {"method": "sat"},
            "second": {"method": "sat", "start_from": {"recipe": "first", "checkpoint": "last"}},
            "third": {"method": "mart", "given": given},
        }
        raw["scales"]["small"]["studies"]["mine"]["cohorts"]["main"]["recipes"] += ["third"]

    config = loaded(added)
    assert {recipe for _, recipe in trained(config)} == {"sat", "trades", "first", "second", "third", "weat-adv"}
    assert list(weights_of_others(config, "third").items()) == [
        ("anchor", {"recipe": "weat-adv", "checkpoint": "last"}),
        ("helper", {"recipe": "second", "checkpoint": "best"}),
    ]
    spec = run_spec(config, "digits", "third")
    assert spec["given"]["helper"]["architecture"] == config["datasets"]["digits"]["architecture"]


BAD = {
    "start_from.recipe: unknown recipe 'trade'; did you mean 'trades'?": {"start_from": {"recipe": "trade"}},
    "start_from.checkpoint: 'first' is not one of": {"start_from": {"recipe": "trades", "checkpoint": "first"}},
    "start_from.recipe: a run of new needs one of new itself: a circle": {"start_from": {"recipe": "new"}},
    "start_from: trades has another architecture on digits": {
        "start_from": {"recipe": "trades"}, "architecture": {"family": "resnet", "width": 4},
    },
    "given: unknown network of sat 'helper'": {"given": {"helper": {"recipe": "trades"}}},
    "mix.generator: unknown generator 'gausian'; did you mean 'gaussian'?": {
        "mix": {"generator": "gausian", "gamma": 0.5}
    },
    "mix.gamma: 1.5 is greater than the maximum of 1": {"mix": {"generator": "gaussian", "gamma": 1.5}},
    "mix.gamma: -0.1 is less than the minimum of 0": {"mix": {"generator": "gaussian", "gamma": -0.1}},
    "mix: a generator is fitted to all training images": {
        "mix": {"generator": "gaussian", "gamma": 0.5}, "leave_out": {"classes": [3]},
    },
    "training.nesterov: there is no momentum to apply; raise `momentum`": {
        "training": {"schedule": COSINE, "momentum": 0, "nesterov": True}
    },
    "mix: 'gamma' is a required property": {"mix": {"generator": "gaussian"}},
    "mix.ratio: 0 is less than or equal to the minimum": {
        "mix": {"generator": "gaussian", "gamma": 0.5, "ratio": 0}
    },
    "observers.loss-term: unknown observer 'loss-term'; did you mean 'loss-terms'?": {"observers": {"loss-term": {}}},
    "observers.loss-terms: loss-terms has no parameter 'evry'; did you mean 'every'?": {
        "observers": {"loss-terms": {"evry": 3}}
    },
    "observers.loss-terms.every: must be a whole number above 0, got 0": {"observers": {"loss-terms": {"every": 0}}},
    "training.checkpoints: 11 is after the last epoch, 10": {"training": {"checkpoints": [3, 11]}},
    "training.weight_perturbation.start_epoch: weights would be perturbed after epoch 10, but the training ends": {
        "training": {"weight_perturbation": {"name": "awp", "gamma": 0.01, "start_epoch": 10}}
    },
    "training.averaging.start_epoch: 11 is after the last epoch, 10": {
        "training": {"averaging": {"name": "swa", "start_epoch": 11, "every_steps": 1}}
    },
    "training.selection: 'worst' is not one of": {"training": {"selection": "worst"}},
    "training.schedule.warmup.epochs: 10 of 10 epochs leave none after it; lower it": {
        "training": {"schedule": COSINE | {"warmup": {"epochs": 10, "first_share": 0}}}
    },
    "training.schedule: 'final_rate' is a required property, on digits": {
        "training": {"schedule": SCHEDULE | {"name": "cosine"}}
    },
    "training.schedule: unknown key 'warmup'": {
        "training": {"schedule": {"warmup": {"epochs": 1, "first_share": 0.1}}}
    },
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_refused_with_its_place(message):
    with pytest.raises(RobustlensError) as error:
        with_recipes(new={"method": "sat", **BAD[message]})
    assert str(error.value).startswith(f"config.recipes.new.{message}"), error.value


STARTING = [name for name in names("methods") if "start_epoch" in component("methods", name, "here").kinds]


@pytest.mark.parametrize("method", STARTING)
def test_a_method_that_would_start_after_the_last_epoch_is_refused(method):
    """Up to and including `start_epoch` it is what it changes, such as TRADES."""
    needs = {"base": "trades"} if method == "cfa" else {}
    for start in (10, 11):
        with pytest.raises(RobustlensError) as error:
            with_recipes(new={"method": method, "start_epoch": start, **needs})
        assert str(error.value) == (
            f"config.recipes.new.start_epoch: {method} would start after epoch {start}, but the training on digits "
            "ends with epoch 10; lower it"
        )
    with_recipes(new={"method": method, "start_epoch": 9, **needs})
    longer = {"method": method, "start_epoch": 10, "training": {"epochs": 11}, **needs}
    assert run_spec(with_recipes(new=longer), "digits", "new")["method"]["parameters"]["start_epoch"] == 10


def test_the_default_of_a_start_epoch_is_held_against_the_epochs_too():
    with pytest.raises(RobustlensError, match=r"config.recipes.new.start_epoch: dafa would start after epoch 70, but"):
        with_recipes(new={"method": "dafa"})


def test_methods_that_start_late_are_found():
    assert {"cfa", "dafa", "gairat", "mail-at", "mail-trades"} <= set(STARTING)


def test_a_recipe_takes_something_of_the_training_away_by_null():
    warm = {"name": "cosine", "final_rate": 0.01, "warmup": {"epochs": 2, "first_share": 0.1}}

    def change(raw: dict) -> None:
        raw["scales"]["small"]["datasets"]["digits"]["training"]["schedule"] = warm
        raw["recipes"]["trades"]["training"] = {"schedule": {"warmup": None}}

    config = loaded(change)
    schedules = [run_spec(config, "digits", recipe)["training"]["schedule"] for recipe in ("sat", "trades")]
    assert schedules == [warm, {"name": "cosine", "final_rate": 0.01}]


def test_what_a_method_asks_for_must_be_given(monkeypatch):
    asking(monkeypatch, given=("helper",))
    message = r"config.recipes.new: mart needs a network 'helper' of another run; add `given: {helper: {recipe: NAME}}`"
    with pytest.raises(RobustlensError, match=message):
        with_recipes(new={"method": "mart"})
    with_recipes(new={"method": "mart", "given": {"helper": {"recipe": "sat"}}})


def test_the_architectures_of_a_method_s_parts_must_be_given(monkeypatch):
    asking(monkeypatch, parts=("teacher",))
    for parts, message in {
        (): r"config.recipes.new: mart needs the architecture of its 'teacher'; add `parts: {teacher: {family: NAME}}`",
        ("techer",): r"recipes.new.parts: unknown network of mart 'techer'; did you mean 'teacher'\?",
    }.items():
        with pytest.raises(RobustlensError, match=message):
            with_recipes(new={"method": "mart", "parts": {name: {"family": "resnet"} for name in parts}})
    with pytest.raises(RobustlensError, match=r"recipes.new.parts.teacher: resnet has no parameter 'witdh'; did you"):
        with_recipes(new={"method": "mart", "parts": {"teacher": {"family": "resnet", "witdh": 4}}})
    teacher = {"family": "preact-resnet", "width": 4, "head": "cosine"}
    config = with_recipes(new={"method": "mart", "parts": {"teacher": teacher}})
    spec = run_spec(config, "digits", "new")
    assert spec["parts"]["teacher"]["blocks"] == [2, 2, 2, 2]  # the family's default
    built = [part for architecture in trained_architectures(spec) for part in components(architecture)]
    assert built == [("models", "resnet"), ("models", "preact-resnet"), ("heads", "cosine")]


def suite_of(*checkpoints: str) -> Callable[[dict], None]:
    def changed(raw: dict) -> None:
        raw["recipes"]["sat"]["training"] = {"checkpoints": [7, 3]}
        raw["corrections"] = {"moved": {"family": "logit-adjusted"}}
        raw["scales"]["small"]["suites"]["brief"]["checkpoints"] = list(checkpoints)
        raw["scales"]["small"]["studies"]["mine"]["cohorts"]["main"]["suite"] = "brief"

    return changed


def test_a_suite_looks_at_the_checkpoints_that_a_run_has(monkeypatch):
    monkeypatch.setattr(facts, "also_deployed", lambda method: ("clean",) if method == "trades" else ())
    config = loaded(suite_of("best", "last-clean", "best-moved", "epochs"))
    moved = ["best-moved", "corrected"]
    of_epochs = [[epoch, "checkpoints"] for epoch in ("3", "7")]
    assert evaluated_checkpoints(config, "digits", "sat", "brief") == [["best", "best"], moved, *of_epochs]
    clean = ["last-clean", "checkpoints"]
    assert evaluated_checkpoints(config, "digits", "trades", "brief") == [["best", "best"], clean, moved]


def test_corrections_are_of_linear_layers_and_further_criteria_of_runs_that_have_them():
    def changed(raw: dict) -> None:
        suite_of("best", "best-moved", "best-worst-class")(raw)
        raw["recipes"]["sat"] |= {"head": "cosine", "training": {"also_select": ["worst-class"]}}

    config = loaded(changed)
    worst = ["best-worst-class", "checkpoints"]
    assert evaluated_checkpoints(config, "digits", "sat", "brief") == [["best", "best"], worst]
    moved = ["best-moved", "corrected"]
    assert evaluated_checkpoints(config, "digits", "trades", "brief") == [["best", "best"], moved]


@pytest.mark.parametrize("name", ["worst-class", "clean"])
def test_a_correction_has_no_name_of_another_checkpoint(name, monkeypatch):
    monkeypatch.setattr(facts, "also_deployed", lambda method: ("clean",))

    def changed(raw: dict) -> None:
        suite_of("best", f"best-{name}")(raw)
        raw["corrections"] = {name: {"family": "logit-adjusted"}}

    with pytest.raises(RobustlensError, match=rf"config.corrections.{name}: other checkpoints have this name; choose"):
        loaded(changed)


def test_a_list_of_factors_has_one_for_each_milestone():
    schedule = SCHEDULE | {"name": "step", "milestones": [2, 4], "factor": [0.5]}
    with pytest.raises(
        RobustlensError, match=r"new.training.schedule.factor: has 1 numbers for 2 milestones; give one"
    ):
        with_recipes(new={"method": "sat", "training": {"schedule": schedule}})


def test_a_suite_that_looks_at_no_checkpoint_of_a_run_is_refused():
    with pytest.raises(RobustlensError, match=r"main.suite: brief looks at no checkpoint that trades has on digits"):
        loaded(suite_of("epochs"))
    for name, message in {
        "best-tau": "unknown checkpoint 'best-tau'; did you mean",
        "last-worst-class": "unknown checkpoint 'last-worst-class'; did you mean 'best-worst-class'",
    }.items():
        with pytest.raises(RobustlensError, match=rf"config.suites.brief.checkpoints: {message}"):
            loaded(suite_of("best", name))
    for name in ("first", "best-", "epochs-clean", "7"):
        with pytest.raises(RobustlensError, match=rf"suites.brief.checkpoints\[1\]: '{name}' does not match"):
            loaded(suite_of("best", name))


def test_an_unknown_head_is_refused():
    with pytest.raises(RobustlensError, match=r"architecture.head: unknown head 'cosin'; did you mean 'cosine'\?"):
        with_recipes(new={"method": "sat", "architecture": {"family": "resnet", "head": "cosin"}})
    with pytest.raises(RobustlensError, match=r"recipes.new.head: unknown head 'cosin'; did you mean 'cosine'\?"):
        with_recipes(new={"method": "sat", "head": "cosin"})


def test_a_recipe_may_change_the_last_layer_of_each_dataset_s_architecture():
    config = with_recipes(new={"method": "sat", "head": "cosine"})
    assert run_spec(config, "digits", "new")["architecture"] == config["datasets"]["digits"]["architecture"] | {
        "head": "cosine"
    }
    assert "head" not in run_spec(config, "digits", "sat")["architecture"]


def test_padding_of_nothing_is_refused():
    training = {"augmentation": {"crop_padding": 0, "padding": "reflect"}}
    with pytest.raises(RobustlensError, match=r"new.training.augmentation.padding: nothing is padded; raise `crop_pad"):
        with_recipes(new={"method": "sat", "training": training})
    training = {"augmentation": {"crop_padding": 8, "padding": "reflect"}}
    with pytest.raises(RobustlensError, match=r"new.training.augmentation: 8 pixels can't be mirrored in images of 8;"):
        with_recipes(new={"method": "sat", "training": training})


def test_a_long_circle_is_refused():
    recipes = {name: {"method": "sat", "start_from": {"recipe": other}} for name, other in ("ab", "bc", "ca")}
    with pytest.raises(RobustlensError, match=r"config.recipes.a.start_from.recipe: a run of b needs one of a itself"):
        with_recipes(**recipes)
