"""Temperature-PGD in this study: what its attacks are, and its statistics against loops."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from configured import own

from robustlens.energy.energies import joint_energy, marginal_energy
from robustlens.errors import RobustlensError
from studies.classwise.temperature import (
    FIXED,
    broken_by_any,
    compared,
    confidence,
    gain,
    inverse_temperature,
    mean_of,
    shared,
    swept,
)

SCALES = ("smoke", "embedded", "pilot", "paper")
IN_LOGITS = torch.tensor([[2.0, 1.5, 0.0], [-30.0, 40.0, 0.5], [700.0, 1.0, 699.0]])


def suite(config: dict) -> dict[str, dict]:
    """The attacks of the suite, by name."""
    return {name: config["attacks"][name] for name in config["suites"]["temperature"]["attacks"]}


@pytest.mark.parametrize("scale", SCALES)
def test_an_attack_s_name_says_its_temperature_and_all_have_as_many_steps(scale):
    found = suite(own(scale=scale))
    assert {"clean", "pgd20", FIXED} <= found.keys()
    for name, attack in found.items():
        assert attack.get("inverse_temperature") == inverse_temperature(name), name
        assert (attack["family"] == "temperature-pgd") == (inverse_temperature(name) is not None), name
        assert attack.get("steps", 20) == 20, name


def test_the_sweep_has_nine_temperatures():
    assert list(swept(suite(own(scale="embedded"))).values()) == [0.5, 1, 2, 5, 10, 15, 20, 50, 100]


@pytest.mark.parametrize("value", ["0", "-1.0", ".inf", ".nan"])
def test_a_temperature_that_is_no_positive_number_is_refused_with_its_place(value, tmp_path):
    changed = tmp_path / "changed.yaml"
    changed.write_text(f"attacks: {{temperature-pgd-5: {{inverse_temperature: {value}}}}}")
    place = r"config\.attacks\.temperature-pgd-5\.inverse_temperature: must be a number above 0, got"
    with pytest.raises(RobustlensError, match=place):
        own(changed, scale="embedded")


def test_runs_of_other_studies_are_trained_once():
    """Their recipes are those of the energy study, entry by entry; only HE is new."""
    config = own(scale="embedded")
    energy, ours = (config["studies"][name]["cohorts"] for name in ("energy", "classwise"))
    trained = set(product(energy["main"]["datasets"], energy["main"]["recipes"], energy["main"]["seeds"]))
    swept_runs = {
        run
        for name in ("temperature-gain", "temperature", "temperature-l2")
        for run in product(*(ours[name][key] for key in ("datasets", "recipes", "seeds")))
    }
    assert swept_runs - trained == {("digits", "he", seed) for seed in (0, 1, 2)}


@pytest.mark.parametrize(
    ("attack", "value"),
    [("temperature-pgd-0-5", 0.5), ("temperature-pgd-100", 100), ("pgd20", None), ("temperature-pgd-", None)],
)
def test_the_inverse_temperature_of_a_name(attack, value):
    assert inverse_temperature(attack) == value


def test_attacks_are_told_apart_and_ordered_by_temperature():
    attacks = ["clean", "temperature-pgd-10", "pgd20", "temperature-pgd-0-5", "margin-pgd20", "temperature-pgd-2"]
    assert swept(attacks) == {"temperature-pgd-0-5": 0.5, "temperature-pgd-2": 2, "temperature-pgd-10": 10}
    assert list(swept(attacks)) == ["temperature-pgd-0-5", "temperature-pgd-2", "temperature-pgd-10"]
    assert compared(attacks) == ["pgd20", "margin-pgd20"]


def evaluated(attack: str, right: dict[tuple[int, int], bool]) -> pd.DataFrame:
    """right: (seed, index) -> whether the attacked image is classified as 1, its label."""
    rows = [(seed, index, 1, 1 if ok else 0) for (seed, index), ok in right.items()]
    frame = pd.DataFrame(rows, columns=["seed", "index", "label", "prediction_adversarial"])
    return frame.assign(attack=attack, source=attack)


def random_answers(attack: str, seeds: int, images: int, random: np.random.Generator) -> pd.DataFrame:
    places = list(product(range(seeds), range(images)))
    return evaluated(attack, dict(zip(places, random.random(len(places)) < 0.6, strict=True)))


def right_of(frame: pd.DataFrame) -> dict[tuple[int, int], bool]:
    return {(row.seed, row.index): row.prediction_adversarial == row.label for row in frame.itertuples(index=False)}


def test_an_image_is_broken_by_any_if_one_attack_breaks_it():
    random = np.random.default_rng(1)
    parts = [random_answers(f"temperature-pgd-{n}", 2, 30, random) for n in (1, 2, 5)]
    found = right_of(broken_by_any(parts))
    answers = [right_of(part) for part in parts]
    assert found == {place: all(of_one[place] for of_one in answers) for place in answers[0]}
    assert {sum(of_one[place] for of_one in answers) for place in found} == {0, 1, 2, 3}


def test_images_that_not_all_attacks_were_tried_on_are_left_out():
    parts = [
        evaluated("temperature-pgd-1", {(0, 1): True, (0, 2): True, (1, 1): False}),
        evaluated("temperature-pgd-2", {(0, 1): False, (1, 1): True, (1, 2): False}),
    ]
    assert right_of(broken_by_any(parts)) == {(0, 1): False, (1, 1): False}


def test_the_confidence_is_the_softmax_of_the_true_class():
    y = torch.tensor([1, 0, 2])
    clean = pd.DataFrame({"marginal_natural": marginal_energy(IN_LOGITS), "joint_natural": joint_energy(IN_LOGITS, y)})
    expected = []
    for z, label in zip(IN_LOGITS.tolist(), y.tolist(), strict=True):
        exponentials = [math.exp(v - max(z)) for v in z]
        expected.append(exponentials[label] / sum(exponentials))
    # A difference of float32 energies of at most 700 has an error of at most two roundings: 2 * 700 * 2^-24.
    np.testing.assert_allclose(confidence(clean), expected, rtol=1400 * 2**-24 * 1.01, atol=0)


def test_a_gain_is_what_a_second_attack_breaks_beyond_a_first_one():
    weaker = evaluated("pgd20", {(0, 1): True, (0, 2): True, (0, 3): False, (1, 1): True, (1, 2): False, (1, 3): True})
    stronger = evaluated(FIXED, {(0, 1): False, (0, 2): True, (1, 1): False, (1, 2): True, (2, 1): True, (2, 2): True})
    found = gain(weaker, stronger)
    assert found.index.tolist() == [0, 1] and found.columns.tolist() == [1, 2]
    assert found.to_numpy().tolist() == [[100, 0], [100, -100]]


def test_what_gains_have_in_common_are_seeds_and_images_that_all_have():
    first = pd.DataFrame([[100.0, 0.0, 0.0], [0.0, 100.0, 0.0]], index=[0, 1], columns=[1, 2, 3])
    second = pd.DataFrame([[0.0, -100.0], [100.0, 100.0]], index=[1, 2], columns=[1, 2])
    third = pd.DataFrame([[100.0, 0.0]], index=[1], columns=[2, 3])
    assert mean_of([first, second]).to_dict() == {1: {1: 0}, 2: {1: 0}}
    assert mean_of([first, second, third]).to_dict() == {2: {1: (100 - 100 + 100) / 3}}
    assert shared([first, second]).tolist() == [[[0.0, 100.0], [0.0, -100.0]]]
    assert shared([first.loc[[0]], third]).size == 0
