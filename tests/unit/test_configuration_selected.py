"""Generators whose images are selected from another one's: what is accepted, and what is refused before any job."""

import pytest
from configured import loaded

from robustlens.configuration import fitted_as, pool_spec, published_sets, selected_pools, selection_spec
from robustlens.configuration.cohorts import trained
from robustlens.errors import RobustlensError

MLP = {"family": "mlp", "inputs": 64}
CHANCE = {"from": "blurred", "share": 0.5, "by": "chance"}
REALNESS = {
    **{"from": "blurred", "share": 0.5, "by": "realness"},
    **{"norm": "l2", "epsilon": "8/64", "steps": 40, "batch_size": 6, "architecture": MLP},
}
BLIND = {"family": "ddpm", "conditional": False, "per_class": 10, "labelled_by": {"recipe": "trades", "seed": 4}}
SET = {"sample_set": {"layout": "npz", "file": "1m.npz"}}
COHORT = {"datasets": ["again"], "recipes": ["mixed"], "seeds": [0]}


def configured(selected: dict, *, mixed: bool = True, generators: dict | None = None, **generator: object) -> dict:
    """With a generator `some`, whose images a recipe `mixed` trains on, on a dataset that shares its images."""

    def change(raw: dict) -> None:
        raw["generators"] |= (generators or {}) | {"some": {"selected": selected, **generator}}
        raw["recipes"]["mixed"] = {"method": "sat", "mix": {"generator": "some", "gamma": 0.5}}
        raw["scales"]["small"]["datasets"]["again"] = {"like": "digits", "title": "Again"}
        if mixed:
            raw["scales"]["small"]["studies"] = {"theirs": {"cohorts": {"main": COHORT}}}

    return loaded(change)


def test_a_selection_by_realness_is_defined_by_its_discriminator_and_one_by_chance_by_its_seed():
    spec = selection_spec(configured(REALNESS, seed=3, label="Some"), "digits", "some")
    assert spec == {
        **{"dataset": "digits", "generator": "some", "from": "blurred", "share": 0.5, "by": "realness", "seed": 3},
        "architecture": {"family": "mlp", "inputs": 64, "widths": [128, 128]},
        "discriminator": {
            **{"norm": "l2", "epsilons": [0, 0.125], "steps": [40], "batch_size": 6},
            **{"learning_rate": 0.002, "attack_steps": 7, "validation_steps": 10},
        },
    }
    chance = selection_spec(configured(CHANCE, seed=3), "digits", "some")
    assert chance == {key: spec[key] for key in ("dataset", "generator", "from", "share", "seed")} | {"by": "chance"}
    assert selection_spec(configured(REALNESS), "digits", "some")["seed"] == 0


def test_the_discriminator_s_other_parameters_may_be_chosen():
    more = {"learning_rate": 0.01, "attack_steps": 3, "validation_steps": 4, "norm": "linf"}
    found = selection_spec(configured(REALNESS | more | {"epsilon": 0.3}), "digits", "some")["discriminator"]
    assert found == {"epsilons": [0, 0.3], "steps": [40], "batch_size": 6} | more


def test_a_selected_pool_is_neither_fitted_nor_published():
    config = configured(CHANCE, generators={"theirs": SET, "more": {"selected": CHANCE | {"from": "theirs"}}})
    assert selected_pools(config) == ["more", "some"] and published_sets(config) == ["theirs"]
    assert fitted_as(config, "blurred") == "blurred"
    assert pool_spec(config, "digits", "blurred")["per_class"] == 20


def test_the_run_that_labels_the_images_that_are_selected_from_is_trained_too():
    config = configured(CHANCE | {"from": "blind"}, generators={"blind": BLIND})
    assert {("again", "mixed"), ("digits", "trades")} <= set(trained(config))
    assert ("digits", "trades") not in trained(configured(CHANCE))


WHERE = "config.generators.some"
SELECTED = f"{WHERE}.selected"


def without(key: str) -> dict:
    return {name: value for name, value in REALNESS.items() if name != key}


REFUSED = [
    (CHANCE | {"from": "blured"}, {}, f"{SELECTED}.from: unknown generator 'blured'; did you mean 'blurred'?"),
    (CHANCE | {"from": "some"}, {}, f"{SELECTED}.from: some is selected itself; name a generator that is fitted or"),
    (CHANCE | {"share": 0}, {}, f"{SELECTED}.share: 0 is less than or equal to the minimum of 0"),
    (CHANCE | {"share": 1}, {}, f"{SELECTED}.share: 1 is greater than or equal to the maximum of 1"),
    (CHANCE | {"by": "luck"}, {}, f"{SELECTED}.by: 'luck' is not one of ['realness', 'chance']"),
    ({"from": "blurred", "share": 0.5}, {}, f"{SELECTED}: 'by' is a required property"),
    (CHANCE | {"epsilon": 0.1}, {}, f"{SELECTED}.epsilon: only `by: realness` trains anything; take it out"),
    (CHANCE | {"architecture": MLP}, {}, f"{SELECTED}.architecture: only `by: realness` trains anything"),
    (CHANCE | {"attack_steps": 3}, {}, f"{SELECTED}.attack_steps: only `by: realness` trains anything"),
    *[
        (without(key), {}, f"{SELECTED}: by realness needs `{key}`")
        for key in ("norm", "epsilon", "steps", "batch_size", "architecture")
    ],
    (REALNESS | {"epsilons": [0.1]}, {}, f"{SELECTED}: unknown key 'epsilons'; did you mean 'epsilon'?"),
    (REALNESS | {"epsilon": 0}, {}, f"{SELECTED}.epsilon: 0 is less than or equal to the minimum of 0"),
    (REALNESS | {"norm": "l1"}, {}, f"{SELECTED}.norm: 'l1' is not one of ['linf', 'l2']"),
    (REALNESS | {"steps": 1.5}, {}, f"{SELECTED}.steps: 1.5 is not of type 'integer'"),
    (
        REALNESS | {"architecture": {"family": "mpl"}},
        {},
        f"{SELECTED}.architecture: unknown architecture 'mpl'; did you mean 'mlp'?",
    ),
    (
        REALNESS | {"architecture": {"family": "mlp"}},
        {},
        f"{SELECTED}.architecture: mlp needs the parameter 'inputs'",
    ),
    (
        REALNESS | {"architecture": MLP | {"inputs": 784}},
        {},
        f"{SELECTED}.architecture.inputs: 784, and the images of again have 64 values; correct it",
    ),
    (CHANCE, {"family": "gaussian"}, f"{WHERE}: has a `family`, which is fitted, and is `selected` from others; take"),
    (CHANCE, SET, f"{WHERE}: has a `sample_set`, which is published, and is `selected` from others; take"),
    (CHANCE, {"per_class": 5}, f"{WHERE}.per_class: how many images are kept follows from `share`; take it out"),
    (CHANCE, {"sead": 5}, f"{WHERE}: unknown key 'sead'; did you mean 'seed'?"),
    (CHANCE, {"labelled_by": {"recipe": "sat"}}, f"{WHERE}: unknown key 'labelled_by'"),
]


@pytest.mark.parametrize(("selected", "generator", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_what_can_not_be_selected_is_refused(selected, generator, message):
    with pytest.raises(RobustlensError) as error:
        configured(selected, **generator)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_what_is_selected_is_not_selected_from():
    with pytest.raises(RobustlensError, match=rf"^{SELECTED}.from: more is selected itself; name a generator that is"):
        configured(CHANCE | {"from": "more"}, generators={"more": {"selected": CHANCE}})


def test_a_published_set_that_is_selected_from_needs_a_checksum():
    with pytest.raises(RobustlensError, match=r"^config.generators.theirs.sample_set: no checksum is known for it"):
        configured(CHANCE | {"from": "theirs"}, generators={"theirs": SET})


def test_a_discriminator_for_other_images_may_wait_for_runs_that_use_it():
    assert configured(REALNESS | {"architecture": MLP | {"inputs": 784}}, mixed=False)
