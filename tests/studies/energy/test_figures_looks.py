"""Labels, colours and markers of the energy study's recipes, as they are configured."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def drawn():
    """{recipe: its settings} of those that figures draw in a look of their own."""
    recipes = {}
    for file in ("config.yaml", "studies/energy/config.yaml"):
        recipes |= yaml.safe_load((ROOT / file).read_text())["recipes"]
    return {name: recipe for name, recipe in recipes.items() if "colour" in recipe or "marker" in recipe}


def test_no_two_recipes_look_the_same(drawn):
    looks = {(recipe["colour"], recipe["marker"]) for recipe in drawn.values()}
    assert len(looks) == len(drawn) > 15


def test_recipes_that_are_no_ablations_are_told_apart_by_colour_alone(drawn):
    ablations = {name for name in drawn if name.startswith("weat-adv-") and name != "weat-adv-awp"}
    others = [recipe["colour"] for name, recipe in drawn.items() if name not in ablations]
    assert len(set(others)) == len(others) > 10


def test_every_recipe_that_is_drawn_has_a_label(drawn):
    labels = [recipe["label"] for recipe in drawn.values()]
    assert len(set(labels)) == len(drawn)
