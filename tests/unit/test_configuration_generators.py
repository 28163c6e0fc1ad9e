"""Generators whose images a classifier labels: what fits is accepted, what does not is refused."""

import pytest
from configured import loaded

from robustlens.configuration import fit_spec, fitted_as, pool_spec
from robustlens.configuration.cohorts import trained
from robustlens.errors import RobustlensError

BLIND = {"family": "ddpm", "conditional": False, "per_class": 5, "labelled_by": {"recipe": "trades", "seed": 4}}

COHORT = {"datasets": ["again"], "recipes": ["mixed"], "seeds": [0]}


def with_generator(settings: dict, **recipes: dict):
    """The configuration with a generator `blind`, and a recipe `mixed` that trains on its images."""
    mixed = {"method": "sat", "mix": {"generator": "blind", "gamma": 0.5}}

    def added(raw: dict) -> None:
        raw["generators"]["blind"] = settings
        raw["recipes"] |= recipes | {"mixed": mixed}
        raw["scales"]["small"]["datasets"]["again"] = {"like": "digits", "title": "Again"}
        raw["scales"]["small"]["studies"] = {"theirs": {"cohorts": {"main": COHORT}}}

    return loaded(added)


def test_a_pool_says_who_labels_it_and_its_generator_does_not():
    config = with_generator(BLIND)
    pool, fit = pool_spec(config, "digits", "blind"), fit_spec(config, "digits", "blind")
    assert pool["labelled_by"] == {
        "recipe": "trades", "seed": 4, "architecture": config["datasets"]["digits"]["architecture"], "batch_size": 500,
    }  # fmt: skip
    assert fit == {key: pool[key] for key in ("dataset", "generator", "seed")}
    assert (
        "labelled_by" not in fit["generator"]["parameters"] and fit["generator"]["parameters"]["conditional"] is False
    )


def test_the_run_that_labels_is_trained_too_on_the_dataset_that_prepares_the_images():
    assert {("again", "mixed"), ("digits", "trades")} <= set(trained(with_generator(BLIND)))


REFUSED = {
    "blind: its images have no labels; add `labelled_by": BLIND | {"labelled_by": None},
    "blind.labelled_by: its images have the classes": BLIND | {"conditional": True},
    "blind.labelled_by.recipe: unknown recipe 'tradez'; did you mean": BLIND | {"labelled_by": {"recipe": "tradez"}},
    "blind.labelled_by.recipe: mixed trains on generated images itself": BLIND | {"labelled_by": {"recipe": "mixed"}},
    "blind.labelled_by.recipe: later trains on generated": BLIND | {"labelled_by": {"recipe": "later"}},
    "blind.labelled_by: 'recipe' is a required property": BLIND | {"labelled_by": {"seed": 1}},
}


@pytest.mark.parametrize("words", REFUSED)
def test_images_have_one_label_each_of_a_classifier_that_has_seen_none_of_them(words):
    settings = {key: value for key, value in REFUSED[words].items() if value is not None}
    # Of `later` itself nothing is generated, but it starts from a run that trains on generated images.
    later = {"method": "sat", "start_from": {"recipe": "mixed"}, "mix": {"generator": "blurred", "gamma": 0.5}}
    with pytest.raises(RobustlensError) as refusal:
        with_generator(settings, later=later)
    assert str(refusal.value).startswith(f"config.generators.{words}")


def test_pools_of_several_sizes_share_the_fitted_generator():
    def more(raw: dict) -> None:
        raw["generators"] |= {
            "smaller": {"family": "gaussian", "per_class": 3, "label": "Smaller"},
            "seeded": {"family": "gaussian", "per_class": 3, "seed": 1},
            "full": {"family": "gaussian", "per_class": 3, "covariance": "full"},
        }

    config = loaded(more)
    assert [fitted_as(config, name) for name in ("blurred", "smaller", "seeded", "full", "unknown")] == [
        "blurred", "blurred", "seeded", "full", "unknown",
    ]  # fmt: skip
    fits = [fit_spec(config, "digits", name) for name in ("blurred", "smaller")]
    assert fits[0] == fits[1] | {"generator": fits[1]["generator"] | {"name": "blurred"}}


def test_a_pool_of_fewer_images_than_a_batch_takes_is_refused_before_it_is_fitted():
    batch = loaded(lambda raw: None)["datasets"]["digits"]["training"]["batch_size"]
    enough = -(-batch // 10)  # of each of ten classes
    with_generator(BLIND | {"per_class": enough})
    with pytest.raises(RobustlensError) as refusal:
        with_generator(BLIND | {"per_class": enough - 1})
    words = f"config.recipes.mixed.mix: a batch of {batch} real images on again needs {batch} generated ones, and blind"
    assert str(refusal.value).startswith(f"{words} gives {10 * (enough - 1)} in all")
    # Of a selection there is a share of each class.
    half = {"selected": {"from": "blind", "share": 0.5, "by": "chance"}, "label": "Half"}

    def halved(per_class: int) -> None:
        def added(raw: dict) -> None:
            raw["generators"] |= {"blind": BLIND | {"per_class": per_class}, "half": half}
            raw["recipes"]["mixed"] = {"method": "sat", "mix": {"generator": "half", "gamma": 0.5}}
            raw["scales"]["small"]["datasets"]["again"] = {"like": "digits", "title": "Again"}
            raw["scales"]["small"]["studies"] = {"theirs": {"cohorts": {"main": COHORT}}}

        loaded(added)

    halved(2 * enough)
    with pytest.raises(RobustlensError, match=r"mixed\.mix: .* half gives"):
        halved(2 * enough - 2)
