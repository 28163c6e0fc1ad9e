import json
from dataclasses import replace

import pytest

from robustlens.errors import RobustlensError
from robustlens.report.context import BLACK, Context, Recipe
from robustlens.study.declaration import USES

FULL = Context(
    "plane-digits-sat",
    "energy",
    "embedded",
    "the energy paper",
    {"svhn": "SVHN", "digits": "handwritten digits"},
    {
        "sat": Recipe("SAT", "#D55E00", "o", threats={"digits": "linf-3-16"}),
        "sat-no-high": Recipe("without high-energy images", changes="sat", leaves_out="high-energy"),
        "port": Recipe("PORT", mix={"generator": "ddpm", "label": "DDPM", "per_class": 9, "fit": "ddpm", "gamma": 0.4}),
        "sat-wide": Recipe("wide SAT", architectures={"digits": {"family": "wide-resnet", "depth": 28}}),
    },
    {"pgd20": "PGD-20"},
    {"linf-3-16": {"norm": "linf", "epsilon": "3/16", "step_size": "3/64"}},
    {"digits": {"family": "resnet", "blocks": [1, 1], "width": 8, "block": "basic"}},
    {"smoothing": "Smoothing"},
    {"digits": [1, 8, 8], "svhn": [3, 32, 32]},
    baseline="sat",
    uses=USES,
)


def test_a_context_comes_back_from_the_specification_of_a_job():
    facts = json.loads(json.dumps(FULL.to_json(), sort_keys=True))  # as a job's specification is written
    assert Context.from_json(facts) == FULL
    assert list(Context.from_json(facts).datasets) == ["svhn", "digits"]  # rows and columns keep their order
    bare = Context("t", "s", "paper")
    assert Context.from_json(json.loads(json.dumps(bare.to_json()))) == bare


def test_what_is_listed_has_its_label():
    assert (FULL.dataset_title("digits"), FULL.recipe_label("sat"), FULL.attack_label("pgd20")) == (
        *("handwritten digits", "SAT", "PGD-20"),
    )
    assert (FULL.colour("sat"), FULL.marker("sat")) == ("#D55E00", "o")
    assert FULL.datasets_titles(["svhn", "digits", "other"]) == "SVHN, handwritten digits and other"
    assert FULL.label == "energy-plane-digits-sat"


def test_what_is_not_listed_keeps_its_identifier_and_is_black():
    assert (FULL.dataset_title("stl10"), FULL.recipe_label("mart"), FULL.attack_label("cw")) == ("stl10", "mart", "cw")
    assert (FULL.colour("mart"), FULL.marker("mart")) == (BLACK, "*")
    assert (FULL.colour("sat-no-high"), FULL.marker("sat-no-high")) == (BLACK, "*")
    assert FULL.mix("mart") == FULL.mix("sat") == {}


def test_a_recipe_without_an_architecture_of_its_own_has_that_of_the_dataset():
    of_dataset = {"family": "resnet", "blocks": [1, 1], "width": 8, "block": "basic"}
    assert FULL.architecture("digits", "sat") == FULL.architecture("digits", "not-listed") == of_dataset
    assert FULL.architecture("digits", "sat-wide") == {"family": "wide-resnet", "depth": 28}
    assert FULL.architecture("svhn", "sat-wide") is None


ASKED = {
    "attacks": lambda context: context.attack_label("pgd20"),
    "certifications": lambda context: context.certification_label("smoothing"),
    "changes": lambda context: context.changes("sat-no-high"),
    "colours": lambda context: context.colour("sat"),
    "markers": lambda context: context.marker("sat"),
    "mix": lambda context: context.mix("port")["label"],
    "shapes": lambda context: context.values("svhn"),
}


@pytest.mark.parametrize("what", USES)
def test_a_builder_that_is_not_told_of_something_gets_no_default_in_its_place(what):
    assert ASKED[what](FULL) in ("PGD-20", "Smoothing", "sat", "#D55E00", "o", "DDPM", 3072)
    others = tuple(name for name in USES if name != what)
    with pytest.raises(RobustlensError, match=rf"studies/energy/study\.py: plane-digits-sat .* `uses=\('{what}',\)`"):
        ASKED[what](replace(FULL, uses=others))
