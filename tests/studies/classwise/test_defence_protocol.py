"""What the runs of the defences and of the class removal have in common with the runs that they are compared with."""

import pytest
from configured import own

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


@pytest.mark.parametrize("scale", ["embedded", "pilot", "paper"])
def test_what_a_defence_changes_has_the_same_seeds(scale):
    config = own(scale=scale)
    main, defence = cohorts(config)["main"], cohorts(config)["defence"]
    assert set(defence["seeds"]) <= set(main["seeds"]) and set(defence["datasets"]) <= set(main["datasets"])
    assert {config["recipes"][recipe]["changes"] for recipe in defence["recipes"]} <= set(main["recipes"])


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
