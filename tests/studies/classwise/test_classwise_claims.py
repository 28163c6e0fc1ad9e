"""Claims on results that are missing, of one seed, or of one recipe."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from attacked import context, right, write
from contested import claims_data
from scipy import stats

from robustlens.analysis.claims import OPEN, judge
from studies.classwise.claims import CLAIMS, read
from studies.classwise.claims.classes import STRONGER
from studies.classwise.drops import drop_slope_interval

FRAMES = ("evaluations", "history", "norms", "gains", "defence")
ABOUT_RUNS = [claim for claim in CLAIMS if claim.id != "the-worst-class-swings"]


def outcome(name, data):
    return judge(next(claim for claim in CLAIMS if claim.id == name), data)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_without_results_is_open(claim):
    data = claims_data(True)
    found = judge(claim, replace(data, removal={}, **dict.fromkeys(FRAMES, pd.DataFrame())))
    assert found.verdict == OPEN and found.detail.startswith("Not measured")


@pytest.mark.parametrize("claim", [c for c in CLAIMS if "without-the-confuser" not in c.id], ids=lambda c: c.id)
def test_a_claim_on_one_seed_is_open(claim):
    data = claims_data(True)
    one = {name: getattr(data, name)[getattr(data, name)["seed"] == 0] for name in FRAMES}
    found = judge(claim, replace(data, **one))
    assert found.verdict == OPEN
    assert claim not in ABOUT_RUNS or "one seed, so open" in found.detail


def test_standard_training_is_no_defence():
    data = claims_data(True)
    standard = data.evaluations[data.evaluations["recipe"] == "sat"].assign(recipe="standard", prediction_adversarial=0)
    more = replace(data, evaluations=pd.concat([data.evaluations, standard]))
    for claim in CLAIMS:
        assert judge(claim, more).estimate == judge(claim, data).estimate, claim.id


def test_a_claim_about_defences_needs_two():
    data = claims_data(True)
    only = replace(data, evaluations=data.evaluations[data.evaluations["recipe"] == "sat"])
    assert "needs two" in outcome("consistent-across-defences", only).detail
    assert outcome("classes-differ", only).verdict == "supported"


@pytest.mark.parametrize("against", STRONGER)
def test_the_least_favourable_of_the_stronger_attacks_decides_at_98_percent(against):
    """It takes nothing from the five weak classes, and all from the five strong ones."""
    data = claims_data(True)
    pgd = data.evaluations[data.evaluations["attack"] == "pgd20"]
    others = data.evaluations[data.evaluations["attack"] != against]
    kept = pgd["prediction_adversarial"].where(pgd["label"] < 5, (pgd["label"] + 1) % 10)
    turned = pgd.assign(attack=against, prediction_adversarial=kept)
    more = replace(data, evaluations=pd.concat([others, turned]))
    found = outcome("stronger-attacks-take-from-weak-classes", more)
    assert found.verdict == "contradicted" and f"{against} decides" in found.detail
    of_both = [rows[rows["recipe"] == recipe] for recipe in ("sat", "trades") for rows in (pgd, turned)]
    interval = drop_slope_interval(of_both)
    wider = stats.norm.ppf(1 - 0.05 / 3 / 2) / stats.norm.ppf(0.975)
    assert found.high - found.low == pytest.approx(wider * (interval.high - interval.low), rel=1e-9)


def test_a_contradicting_attack_decides_though_another_one_reaches_further_down():
    """Temperature-PGD takes all of some images of every class, weak or strong: its slope may be anything. AutoAttack
    takes more from the strong classes."""
    data = claims_data(True)
    pgd = data.evaluations[data.evaluations["attack"] == "pgd20"]
    kept = data.evaluations[data.evaluations["attack"].isin(["pgd20", "margin-pgd20"])]
    random = np.random.default_rng(1)
    taken = random.random(len(pgd)) < random.uniform(0, 0.9, (2, 10))[pgd["index"] % 2, pgd["label"]]
    wild = pgd["prediction_adversarial"].mask(taken, (pgd["label"] + 1) % 10)
    strong = pgd["prediction_adversarial"].where(pgd["label"] < 5, (pgd["label"] + 1) % 10)
    frames = [kept]
    for attack, prediction in (("temperature-pgd-5", wild), ("autoattack", strong)):
        frames.append(pgd.assign(attack=attack, prediction_adversarial=prediction))
    found = outcome("stronger-attacks-take-from-weak-classes", replace(data, evaluations=pd.concat(frames)))
    assert found.verdict == "contradicted" and "autoattack decides" in found.detail


def test_half_of_the_errors_are_the_bound_of_few_classes():
    """Of ten errors of each half of a class four and three go to the next two classes, or three and three."""
    data = claims_data(True)
    label, place = np.repeat(np.arange(10), 200), np.tile(np.arange(200), 10)
    for to, estimate, verdict in (
        ([1, 1, 1, 1, 2, 2, 2, 3, 4, 5], 70, "supported"),
        ([1, 1, 1, 2, 2, 3, 4, 5, 6, 7], 50, "open"),
    ):
        wrong = (label + np.array(to)[place // 2 % 10]) % 10
        frames = [
            pd.DataFrame({"index": np.arange(2000), "label": label, "prediction_adversarial": wrong}).assign(
                attack="pgd20", recipe="sat", seed=seed, dataset="digits", source=f"sat/{seed}"
            )
            for seed in range(2)
        ]
        found = outcome("attacked-into-few-classes", replace(data, evaluations=pd.concat(frames)))
        assert (found.verdict, found.estimate) == (verdict, pytest.approx(estimate))
    few = data.evaluations[data.evaluations["index"] % 400 < 99]
    found = outcome("attacked-into-few-classes", replace(data, evaluations=few))
    assert found.detail == "Not measured: 100 test images of each class; of fewer, chance chooses the two"
    small = replace(data, names=replace(data.names, names=("a", "b", "c", "d", "e")))
    assert outcome("attacked-into-few-classes", small).detail == "Not measured: 5 classes are too few"


def test_the_correlation_with_weights_is_over_classes_too():
    """The accuracies of ten classes follow their norms half-way: with so few, chance does as much."""
    data = claims_data(True)
    norms = np.array([4.0, 1, 8, 3, 6, 2, 10, 5, 9, 7])
    found = outcome(
        "robust-classes-have-large-weights", replace(data, norms=data.norms.assign(norms=[norms] * len(data.norms)))
    )
    assert found.estimate == pytest.approx(np.corrcoef(norms, np.linspace(0.3, 0.8, 10))[0, 1], abs=0.01)
    assert 0.4 < found.estimate < 0.6 and found.low < 0 < found.high < 1
    assert found.verdict == OPEN and "seeds, images and classes" in found.detail


def test_errors_need_every_class_and_superclasses():
    data = claims_data(True)
    missing = replace(data, evaluations=data.evaluations[data.evaluations["label"] > 0])
    for name in ("attacked-into-few-classes", "attacked-into-similar-classes"):
        assert "every class" in outcome(name, missing).detail
    without = replace(data, names=replace(data.names, superclasses={}))
    assert "superclasses" in outcome("attacked-into-similar-classes", without).detail


def test_the_gap_of_the_claim_is_that_of_loops():
    data = claims_data(False)
    gaps = []
    for _, run in data.evaluations[data.evaluations["attack"] == "pgd20"].groupby(["recipe", "seed"]):
        of_class = [float((rows["prediction_adversarial"] == rows["label"]).mean()) for _, rows in run.groupby("label")]
        gaps.append(max(of_class) - min(of_class))
    assert outcome("classes-differ", data).estimate == pytest.approx(100 * sum(gaps) / len(gaps), rel=1e-12)


def test_results_are_read_by_dataset(tmp_path):
    files = write(tmp_path, [right("sat", 0, [0.5, 0.1]), right("sat", 0, [0.4, 0.1], attack="autoattack")])
    (data,) = read(context("claims"), evaluations=files).values()
    assert set(data.evaluations["attack"]) == {"pgd20", "autoattack"} and data.history.empty and data.norms.empty
    assert read(context("claims")) == {}
