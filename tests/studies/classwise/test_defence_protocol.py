"""What the runs of the defences and of the class removal have in common with the runs that they are compared with."""

import pytest
from configured import REPOSITORY, own

from robustlens.configuration import read_yaml
from robustlens.configuration.facts import training


def cohorts(config):
    return config["studies"]["classwise"]["cohorts"]


def trained_alike(protocol, *but):
    """What decides how weights change, not which are kept."""
    return {key: value for key, value in protocol.items() if key not in ("checkpoints", "also_select", *but)}


@pytest.mark.parametrize("scale", ["embedded", "paper"])
def test_cfa_takes_the_steps_of_trades_while_all_classes_are_alike(scale):
    """Its loss is that of TRADES divided by 1 + beta: a step is rate (gradient / 7 + decay w)."""
    config = own(scale=scale)
    for dataset in cohorts(config)["defence"]["datasets"]:
        of_trades, of_cfa = (training(config, dataset, recipe) for recipe in ("trades", "cfa"))
        seven = 1 + config["recipes"]["trades"]["beta"]
        assert config["recipes"]["cfa"]["beta"] == config["recipes"]["trades"]["beta"]
        assert of_cfa["learning_rate"] / seven == pytest.approx(of_trades["learning_rate"], rel=1e-12)
        decays = [protocol["learning_rate"] * protocol["weight_decay"] for protocol in (of_cfa, of_trades)]
        assert decays[0] == pytest.approx(decays[1], rel=1e-3)  # written with three digits
        assert trained_alike(of_trades, "learning_rate", "weight_decay") == trained_alike(
            of_cfa, "learning_rate", "weight_decay"
        )


@pytest.mark.parametrize("scale", ["smoke", "embedded", "pilot", "paper"])
def test_what_a_defence_changes_has_the_same_seeds(scale):
    config = own(scale=scale)
    main, defence = cohorts(config)["main"], cohorts(config)["defence"]
    assert set(defence["seeds"]) <= set(main["seeds"]) and set(defence["datasets"]) <= set(main["datasets"])
    changed = {recipe: config["recipes"][recipe].get("changes") for recipe in defence["recipes"]}
    assert set(changed.values()) - {None} <= {*main["recipes"], *defence["recipes"]}
    assert {recipe for recipe, base in changed.items() if base is None} <= set(changed.values())  # FAT


def test_cfa_is_published_on_what_it_changes_at_the_paper_scale():
    """SAT, FAT and TRADES, each with CFA's base and, on FAT, the offset of its paper."""
    config = own(scale="paper")
    defence, recipes = cohorts(config)["defence"]["recipes"], config["recipes"]
    on = {name: recipes[name]["changes"] for name in defence if recipes[name]["method"] == "cfa" and name != "fawa"}
    assert on == {"cfa-sat": "sat", "cfa-fat": "fat", "cfa": "trades"}
    assert all(recipes[name]["base"] == base for name, base in on.items()) and {"fat"} <= set(defence)
    published = read_yaml(REPOSITORY / "studies/classwise/published.yaml")["blocks"][0]["values"]
    assert {*on.values(), *(f"{base}-cfa" for base in on.values())} <= set(published)
    assert recipes["cfa-fat"]["radius_offset"] == 0.7 and recipes["cfa-fat"]["tau"] == 3


def test_fat_takes_a_step_more_after_as_large_a_part_of_the_epochs_as_in_its_code():
    config = own(scale="paper")
    (dataset,), fat = cohorts(config)["defence"]["datasets"], config["recipes"]["fat"]
    parts = [epoch / training(config, dataset, "fat")["epochs"] for epoch in fat["rises_after"]]
    assert parts == pytest.approx([50 / 120, 90 / 120], abs=0.005) and (fat["base"], fat["tau"]) == ("sat", 0)


@pytest.mark.parametrize("scale", ["embedded", "paper"])
def test_each_class_is_left_out_once_and_nothing_else_changes(scale):
    config = own(scale=scale)
    removal = cohorts(config)["removal"]
    recipes = [config["recipes"][recipe] for recipe in removal["recipes"]]
    assert [recipe["leave_out"] for recipe in recipes] == [{"classes": [k]} for k in range(10)]
    for name in removal["recipes"]:
        for dataset in removal["datasets"]:
            assert trained_alike(training(config, dataset, name)) == trained_alike(training(config, dataset, "sat"))
    assert all(recipe["method"] == "sat" == recipe["changes"] for recipe in recipes)
