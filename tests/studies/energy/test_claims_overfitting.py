import math

import numpy as np
import pandas as pd
import pytest
from claim_data import BEST, LAST, evaluate, evaluated, holding, overfitted, swapped, trained
from scipy import stats


def test_marginal_part_is_that_of_both_terms_at_the_last_epoch():
    early = trained("sat", 0, marginal_term=-9.0, conditional_term=1.0).assign(epoch=1)
    rows = [early]
    for seed, (a, b) in enumerate([(1.0, 0.2), (2.0, 0.1), (1.5, 0.3)]):
        rows += [trained("sat", seed, marginal_term=-a, conditional_term=a + 0.5)]
        rows += [trained("trades", seed, marginal_term=-b, conditional_term=b + 0.5)]
    outcome = evaluate("trades-shrinks-marginal-term", holding(history=pd.concat(rows)))
    parts = [100 * (a / (2 * a + 0.5) - b / (2 * b + 0.5)) for a, b in [(1.0, 0.2), (2.0, 0.1), (1.5, 0.3)]]
    assert outcome.estimate == pytest.approx(sum(parts) / 3)
    assert (outcome.low, outcome.high) == pytest.approx(stats.t.interval(0.95, 2, np.mean(parts), stats.sem(parts)))
    assert outcome.verdict == "supported" and "seeds only" in outcome.detail
    alone = evaluate("trades-shrinks-marginal-term", holding(history=early))
    assert (alone.verdict, alone.detail) == ("open", "Not measured: recipe trades, split train")


def test_first_phase_of_sat_is_judged_by_its_slope_and_the_bend_after_it():
    epochs = np.arange(1, 31)
    rows = []
    for seed in range(3):
        delta = -0.05 * np.minimum(epochs, 8) - 0.2 * np.maximum(epochs - 22, 0) - 1e-3 * seed * epochs
        frame = pd.DataFrame({"epoch": epochs, "split": "train", "delta_marginal": delta})
        rows.append(frame.assign(dataset="digits", recipe="sat", seed=seed, source="s"))
    early, late = (evaluate(f"sat-drops-{when}", holding(history=pd.concat(rows))) for when in ("early", "late"))
    assert early.verdict == late.verdict == "supported"
    assert early.estimate == pytest.approx(0.05, abs=0.002)  # second minus first slope, in every seed
    assert late.estimate == pytest.approx(0.2, abs=0.002)


def test_overfitting_of_sat_is_the_fall_from_the_best_to_the_last_checkpoint():
    clean = evaluated("sat", 0, "clean", "best", [0] * 8)
    outcome = evaluate("sat-overfits", holding(robustness=pd.concat([clean, *overfitted("sat", 0)])))
    falls = [0, 100, 0, 100, 0, 0, 100, -100]
    assert outcome.estimate == 25.0
    assert (outcome.low, outcome.high) == pytest.approx(stats.t.interval(0.95, 7, 25.0, stats.sem(falls)))
    assert outcome.verdict == "open" and "images only" in outcome.detail
    assert outcome.sources == ("sat/seed0/best", "sat/seed0/last")


@pytest.mark.parametrize(("seeds", "verdict"), [((0,), "open"), ((0, 1), "supported")])
def test_a_clear_effect_is_decided_by_two_seeds_and_not_by_one(seeds, verdict):
    rows = [r for s in seeds for r in overfitted("sat", s, np.arange(400) < 300, np.arange(400) < 200 + s)]
    outcome = evaluate("sat-overfits", holding(robustness=pd.concat(rows)))
    assert outcome.verdict == verdict and outcome.low > 0
    assert outcome.estimate == pytest.approx(25 - 0.125 * (len(seeds) - 1))


def test_overfitting_of_trades_is_compared_at_each_runs_last_epoch():
    def run(recipe, seed, train, validation):
        ends = [(10, "train", 0.9), (10, "validation", 0.1), (40, "train", train), (40, "validation", validation)]
        return [trained(recipe, seed, robust_accuracy=a).assign(epoch=e, split=split) for e, split, a in ends]

    sat, trades = [(0.80, 0.55), (0.82, 0.54), (0.78, 0.55)], [(0.60, 0.56), (0.62, 0.55)]
    rows = [
        r for name, ends in (("sat", sat), ("trades", trades)) for s, e in enumerate(ends) for r in run(name, s, *e)
    ]
    outcome = evaluate("trades-overfits-less", holding(history=pd.concat(rows)))
    differences = [25 - 4, 28 - 7]
    assert outcome.estimate == pytest.approx(np.mean(differences)) and outcome.verdict == "supported"
    assert "SAT 26.5 points, TRADES 5.5" in outcome.detail and "seeds only" in outcome.detail
    swap = evaluate("trades-overfits-less", holding(history=swapped(pd.concat(rows), "sat", "trades")))
    assert swap.verdict == "contradicted"
    alone = evaluate("trades-overfits-less", holding(history=pd.concat(rows[: 4 * len(sat)])))
    assert "Not measured: recipe trades" in alone.detail


def test_low_energy_claim_compares_the_seeds_that_both_recipes_have():
    name, random, low = "low-energy-images-drive-overfitting", "sat-no-random", "sat-no-low"
    rows = [*overfitted(random, 0, BEST, BEST), *overfitted(random, 1), *overfitted(low, 1, LAST, LAST)]

    def judged(images):
        """images: of SAT, without random ones, without those of low energy."""
        runs = zip(("sat", random, low), images, strict=True)
        history = [trained(recipe, 1, train_images=number) for recipe, number in runs] if images else []
        return evaluate(
            name, holding(robustness=pd.concat(rows), **({"history": pd.concat(history)} if images else {}))
        )

    outcome = judged((200, 160, 160))
    assert outcome.estimate == 25.0  # of seed 1; without low-energy images nothing falls
    assert "overfitting of 25.0 points without any images, 0.0 without these" in outcome.detail
    empty = judged((200, 160, 200))
    assert empty.verdict == "open" and "sat-no-low left no training image out in seed 1" in empty.detail
    unequal = judged((200, 160, 190))
    assert "in seed 1, sat-no-low trained on 190 images and sat-no-random on 160, more than 5 %" in unequal.detail
    assert judged(()).estimate == 25.0  # histories of old do not say how many images there were


def test_high_energy_claim_needs_a_loss_and_allows_a_point_beside_the_misclassified():
    def judged(correct, wrong, n=400):
        right = {"sat-no-random": 300, "sat-no-high-correct": correct, "sat-no-misclassified": wrong}
        rows = [evaluated(r, s, "pgd20", "best", np.arange(n) < k) for r, k in right.items() for s in (0, 1)]
        return evaluate("high-energy-images-matter", holding(robustness=pd.concat(rows)))

    supported = judged(correct=260, wrong=270)
    assert supported.verdict == "supported"
    assert "loss 10.00, lead of misclassified 2.50" in supported.detail
    equal = judged(correct=260, wrong=260)  # an equal loss is as much: no interval, above -1
    assert (equal.verdict, equal.estimate) == ("supported", 0.0)
    assert judged(correct=300, wrong=300).verdict == "open"  # nothing hurts
    assert judged(correct=290, wrong=200).verdict == "contradicted"


def test_groups_of_different_sizes_are_not_compared():
    def judged(wrong, random=160):
        sizes = {"sat": (200, 200), "sat-no-random": (160, random), "sat-no-high-correct": (160, 160)}
        sizes["sat-no-misclassified"] = (160, wrong)
        history = [trained(r, seed, train_images=n) for r, of_seeds in sizes.items() for seed, n in enumerate(of_seeds)]
        rows = [evaluated(r, s, "pgd20", "best", np.arange(400) < 300) for r in sizes for s in (0, 1)]
        return evaluate("high-energy-images-matter", holding(robustness=pd.concat(rows), history=pd.concat(history)))

    assert judged(168).estimate == 0.0  # 160 is 4.8 % fewer than 168
    unequal = judged(169, random=168)
    assert unequal.verdict == "open" and math.isnan(unequal.estimate)
    assert "in seed 1, sat-no-high-correct trained on 160 images and sat-no-misclassified on 169" in unequal.detail
    assert "in seed 1, sat-no-random trained on 170 images" in judged(160, random=170).detail
    assert "seed 1: its group is empty" in judged(200).detail
