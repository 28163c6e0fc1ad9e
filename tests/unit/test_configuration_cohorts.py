"""Cohorts: what is filled in, and how they fit the declaration of their study."""

from types import SimpleNamespace

import pytest
from configured import cohorts, digits, loaded, mine, small

from robustlens.configuration import specs
from robustlens.errors import RobustlensError

MINE = "config.studies.mine"


def theirs(raw: dict, **weights: str) -> None:
    """A third-party model, whose weights have these facts."""
    small(raw)["models"] = {
        "theirs": {
            "dataset": "digits",
            "architecture": {"family": "resnet"},
            "weights": {"file": "theirs.pt", "by_hand": "ask them", **weights},
        }
    }


def another_dataset(raw: dict) -> None:
    small(raw)["datasets"]["others"] = {"like": "digits", "reader": {"family": "cifar10"}, "generation": None}


def runs(*recipes: str, **more) -> dict:
    return {"recipes": list(recipes), **more}


# What is filled in ----------------------------------------------------------------------------------------------------


def test_a_cohort_has_what_its_study_and_its_declaration_say_and_it_does_not_itself():
    def change(raw: dict) -> None:
        another_dataset(raw)
        cohorts(raw)["main"]["datasets"] = ["digits", "others"]
        cohorts(raw)["further"] = runs("weat-adv", datasets=["others"], seeds=[7], suite="brief", threat="far")

    found = loaded(change)["studies"]["mine"]["cohorts"]
    assert found["main"] == {
        "datasets": ["digits", "others"],
        "recipes": ["sat", "trades"],
        "seeds": [0, 1],
        "models": [],
        "suite": "robustness",
    }
    assert found["attacked"] == {
        **{"datasets": ["digits"], "recipes": ["sat"], "seeds": [0, 1], "models": [], "suite": "brief"}
    }
    assert found["generated"] == {"datasets": ["digits"], "recipes": ["sat"], "seeds": [0, 1], "models": []}
    assert found["further"] == {
        **{"datasets": ["others"], "recipes": ["weat-adv"], "seeds": [7], "models": []},
        **{"suite": "brief", "threat": "far"},
    }


def test_a_study_without_a_folder_has_free_cohorts_evaluated_by_the_suite_robustness_where_there_is_one():
    def change(raw: dict) -> None:
        small(raw)["studies"]["own"] = {"datasets": ["digits"], "seeds": [0], "cohorts": {"any": runs("sat", "trades")}}

    assert loaded(change)["studies"]["own"]["cohorts"]["any"]["suite"] == "robustness"
    config = loaded(lambda r: (change(r), small(r)["suites"].pop("robustness"), small(r)["studies"].pop("mine")))
    assert config["studies"]["own"]["cohorts"] == {
        "any": {"datasets": ["digits"], "recipes": ["sat", "trades"], "seeds": [0], "models": []}
    }


def test_the_models_of_a_study_are_in_every_cohort_that_has_their_dataset_but_in_none_beside_another():
    def change(raw: dict) -> None:
        theirs(raw, md5="0" * 32)
        another_dataset(raw)
        mine(raw)["models"] = ["theirs"]
        cohorts(raw)["main"]["datasets"] = ["digits", "others"]
        cohorts(raw)["attacked"]["datasets"] = ["others"]
        cohorts(raw)["further"] = runs("weat-adv")

    found = loaded(change)["studies"]["mine"]["cohorts"]
    models = {name: cohort["models"] for name, cohort in found.items()}
    assert models == {"main": ["theirs"], "attacked": [], "generated": ["theirs"], "further": []}


def test_a_cohort_may_have_models_alone_or_name_its_own():
    def change(raw: dict) -> None:
        theirs(raw, md5="0" * 32)
        cohorts(raw)["further"] = {"models": ["theirs"]}

    found = loaded(change)["studies"]["mine"]["cohorts"]
    assert found["further"]["models"] == ["theirs"] and found["further"]["recipes"] == []
    assert found["main"]["models"] == []


def test_a_cohort_without_runs_is_not_there():
    found = loaded(lambda r: cohorts(r).update(further=runs(), attacked=runs("sat", datasets=[])))["studies"]["mine"]
    assert list(found["cohorts"]) == ["main", "generated"]


# What is refused ------------------------------------------------------------------------------------------------------


def no_grid(raw: dict) -> None:
    cohorts(raw)["grid"] = runs("sat")


def fewer(*classes: int, **dataset):
    def change(raw: dict) -> None:
        digits(raw).update(dataset)
        raw["recipes"]["fewer"] = {"method": "sat", "leave_out": {"classes": list(classes)}}
        small(raw)["suites"]["robustness"] = {"attacks": ["pgd20"]}  # AutoAttack needs four classes
        cohorts(raw)["further"] = runs("fewer")

    return change


FEWER = "config.recipes.fewer.leave_out.classes"
REFUSED = [
    # names
    (lambda r: cohorts(r).update(mian=runs("sat")), f"{MINE}.cohorts: unknown cohort 'mian'; did you mean 'main'?"),
    (
        lambda r: cohorts(r)["main"]["recipes"].append("tradez"),
        f"{MINE}.cohorts.main.recipes: unknown recipe 'tradez'; did you mean 'trades'?",
    ),
    (
        lambda r: mine(r)["datasets"].append("cifar"),
        f"{MINE}.datasets: unknown dataset 'cifar'; valid are: digits",
    ),
    (
        lambda r: cohorts(r)["main"].update(datasets=["digitz"]),
        f"{MINE}.cohorts.main.datasets: unknown dataset 'digitz'; did you mean 'digits'?",
    ),
    (
        lambda r: cohorts(r)["main"].update(suite="robustnes"),
        f"{MINE}.cohorts.main.suite: unknown suite 'robustnes'; did you mean 'robustness'?",
    ),
    (
        lambda r: small(r)["suites"].pop("brief"),
        f"{MINE}.cohorts.attacked.suite: unknown suite 'brief'; valid are: robustness",
    ),
    (
        lambda r: cohorts(r)["main"].update(threat="fer"),
        f"{MINE}.cohorts.main.threat: unknown threat 'fer'; did you mean 'far'?",
    ),
    (lambda r: mine(r).update(models=["theirs"]), f"{MINE}.models: unknown model 'theirs'; valid are: none"),
    (
        lambda r: (theirs(r), cohorts(r)["main"].update(models=["thiers"])),
        f"{MINE}.cohorts.main.models: unknown model 'thiers'; did you mean 'theirs'?",
    ),
    # what is missing
    (lambda r: mine(r).pop("seeds"), f"{MINE}.cohorts.main: 'seeds' is missing; give it here, or to the whole study"),
    (lambda r: mine(r).pop("datasets"), f"{MINE}.cohorts.main: 'datasets' is missing"),
    (lambda r: mine(r).pop("cohorts"), f"{MINE}: it has no cohorts"),
    (lambda r: mine(r).update(cohorts={"main": runs()}), f"{MINE}: no cohort has runs; give one `recipes`"),
    (
        lambda r: small(r)["studies"].update(mien={"seeds": [3]}),
        "config.studies.mien: it has no cohorts, and no study with a folder has this name; did you mean 'mine'?",
    ),
    # what is not evaluated
    (
        lambda r: cohorts(r)["generated"].update(suite="brief"),
        f"{MINE}.cohorts.generated.suite: mine does not evaluate this cohort",
    ),
    (
        lambda r: cohorts(r)["generated"].update(threat="far"),
        f"{MINE}.cohorts.generated.threat: mine does not evaluate this cohort",
    ),
    # within and beside another cohort
    (
        lambda r: cohorts(r)["attacked"]["recipes"].append("weat-adv"),
        f"{MINE}.cohorts.attacked.recipes: the recipe weat-adv is not in main, which must contain these runs; add it",
    ),
    (
        lambda r: (another_dataset(r), cohorts(r)["attacked"].update(datasets=["others"])),
        f"{MINE}.cohorts.attacked.datasets: the dataset others is not in main",
    ),
    (
        lambda r: cohorts(r)["attacked"].update(seeds=[0, 2]),
        f"{MINE}.cohorts.attacked.seeds: the seed 2 is not in main",
    ),
    (
        lambda r: cohorts(r).pop("main"),
        f"{MINE}.cohorts.attacked: its runs are among those of main, which has none",
    ),
    (
        lambda r: cohorts(r).update(further=runs("weat-adv", "sat")),
        f"{MINE}.cohorts.further.recipes: sat is among the recipes of main already",
    ),
    # settings that a cohort needs
    (no_grid, f"{MINE}.cohorts.grid: config.datasets.digits.generation.grid is missing; add it"),
    (
        lambda r: (no_grid(r), digits(r).pop("generation"), cohorts(r).pop("generated")),
        f"{MINE}.cohorts.grid: config.datasets.digits.generation is missing; add it",
    ),
    (
        lambda r: digits(r)["generation"]["features"].update(seed=1),
        "config.datasets.digits.generation.features: seed 1 of sat is an evaluated run; the features must come from",
    ),
    (
        lambda r: (
            digits(r)["generation"]["features"].update(recipe="weat-adv", seed=5),
            cohorts(r).update(further=runs("weat-adv", seeds=[5])),
        ),
        "config.datasets.digits.generation.features: seed 5 of weat-adv is an evaluated run",
    ),
    # third-party models
    (
        lambda r: (theirs(r), mine(r).update(models=["theirs"])),
        "config.models.theirs.weights: no checksum is known for it; add its `sha256`",
    ),
    (
        lambda r: (theirs(r, md5="0" * 32), another_dataset(r), cohorts(r).update(
            further=runs("weat-adv", datasets=["others"], models=["theirs"]))),
        f"{MINE}.cohorts.further.models: theirs was trained on digits, which is not among the datasets",
    ),
    (
        lambda r: (theirs(r, md5="0" * 32), another_dataset(r), mine(r).update(
            datasets=["others"], models=["theirs"]), cohorts(r).pop("generated")),
        f"{MINE}.models: theirs was trained on digits, which none of the cohorts has",
    ),
    (
        lambda r: (theirs(r), small(r)["models"]["theirs"].update(dataset="digitz")),
        "config.models.theirs.dataset: unknown dataset 'digitz'; did you mean 'digits'?",
    ),
    # classes that are left out
    (fewer(3, 10), f"{FEWER}: digits has no class 10; its classes are 0 to 9"),
    (fewer(2, classes=[4, 7]), f"{FEWER}: digits has no class 2; its classes are 0 to 1"),
    (fewer(0, 1, classes=[4, 7]), f"{FEWER}: these are all classes of digits; leave at least two to tell apart"),
    (fewer(0, classes=[4, 7]), f"{FEWER}: class 1 alone would be left of digits; leave at least two to tell apart"),
    (fewer(0, 2, 3, 4, 5, 6, 7, 8, 9), f"{FEWER}: class 1 alone would be left of digits; leave at least two"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_cohort_that_does_not_fit_is_refused_with_its_place(change, message):
    with pytest.raises(RobustlensError) as raised:
        loaded(change)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


def test_what_looks_alike_and_fits_is_accepted():
    def change(raw: dict) -> None:
        theirs(raw)  # no study uses it, so it needs no checksum
        fewer(1, classes=[4, 7, 9])(raw)
        cohorts(raw)["attacked"] |= {"seeds": [1], "datasets": ["digits"]}
        cohorts(raw)["grid"] = runs("trades", seeds=[0])
        digits(raw)["generation"]["grid"] = {"per_class": 7, "values": {"steps": [1, 2]}}
        digits(raw)["generation"]["features"]["seed"] = 2

    config = loaded(change)
    assert "sha256" not in config["models"]["theirs"]["weights"]
    assert list(config["studies"]["mine"]["cohorts"]) == ["main", "attacked", "generated", "further", "grid"]


def test_the_part_of_a_file_of_weights_is_told_to_its_import():
    names = SimpleNamespace(model="theirs", dataset="digits")
    assert "part" not in specs.imported(loaded(theirs), names)
    for part in ("last", 5):
        config = loaded(lambda raw, part=part: (theirs(raw), small(raw)["models"]["theirs"].update(part=part)))
        assert specs.imported(config, names)["part"] == part


def test_a_study_that_asks_for_no_generation_says_nothing_about_features():
    def change(raw: dict) -> None:
        digits(raw)["generation"]["features"]["seed"] = 1
        del cohorts(raw)["generated"]

    assert "generated" not in loaded(change)["studies"]["mine"]["cohorts"]
