"""What becomes of images that were attacked into a class that is removed, against tables made by hand and loops."""

import numpy as np
import pytest

from robustlens.analysis.claims import CONTRADICTED, OPEN, SINGLE_SEED, SUPPORTED, decide
from robustlens.analysis.class_removal import (
    KINDS,
    Answers,
    Comparison,
    accuracy_changes,
    attacked_into,
    comparisons,
    difference_interval,
    fates,
    share_interval,
)

# Eight images of class 0, two of class 1 and of class 2; two seeds. In the first, images 0 to 3 are attacked into 1 and
# image 4 into 2; image 5 is wrong without an attack, 6 and 7 are robust.
LABELS = np.array([0] * 8 + [1] * 2 + [2] * 2)
NATURAL = np.array([[0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2]])
ADVERSARIAL = np.array([[1, 1, 1, 1, 2, 1, 0, 0, 0, 1, 2, 2], [1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2]])
WITHOUT_1 = np.array([[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 2], [0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2]])
WITHOUT_2 = np.array([[0, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1], [1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]])
ANSWERS = Answers(LABELS, NATURAL, ADVERSARIAL, {1: WITHOUT_1, 2: WITHOUT_2})
OF_ZERO = Comparison(attacked=0, confuser=1, control=2)


def test_images_that_are_wrong_without_an_attack_are_not_attacked_into_a_class():
    assert attacked_into(ANSWERS, 3).tolist() == [[8, 6, 1], [1, 2, 0], [0, 0, 4]]


def test_the_confuser_is_the_most_frequent_class_and_the_control_the_rarest_that_was_removed():
    counts = np.array([[9, 3, 1, 2], [0, 9, 4, 4], [7, 1, 9, 1], [0, 0, 0, 9]])
    found = comparisons(counts, [0, 1, 2, 3])
    # Of class 1, 2 and 3 are equal: the lower number. Of class 2, 1 and 3 are; nothing of class 3 is attacked.
    assert found == [Comparison(0, 1, 2), Comparison(1, 2, 0), Comparison(2, 0, 1)]


def test_a_class_whose_confuser_was_not_removed_or_that_has_no_control_is_not_compared():
    counts = np.array([[9, 3, 1, 2], [5, 9, 4, 4], [7, 1, 9, 2], [2, 3, 4, 9]])
    assert comparisons(counts, [0, 3]) == [Comparison(1, 0, 3), Comparison(2, 0, 3)]
    assert comparisons(counts, [1]) == comparisons(counts, []) == []


def test_the_diagonal_is_no_confuser():
    assert comparisons(np.array([[9, 0, 1], [0, 9, 0], [0, 0, 9]]), [0, 1, 2]) == [Comparison(0, 2, 1)]


@pytest.mark.parametrize(
    ("classes", "removed", "said"),
    [(1, [0], "1 classes"), (2, [0, 1], "2 classes"), (3, [0, 3], "removed class 3: the classes are 0 to 2")],
)
def test_too_few_classes_and_a_class_that_is_not_there_are_refused(classes, removed, said):
    with pytest.raises(ValueError, match=said):
        comparisons(np.ones((classes, classes), int), removed)


def test_fates_of_six_images_by_hand():
    """Attacked into 1: images 0 to 3 of the first seed, 0 and 1 of the second. Without 1: of the first, 0, 1 and 3 are
    robust and 2 is attacked into 2; of the second, 0 is robust and 1 is attacked into 2. Without 2: image 0 of the
    first is robust, and all others go to 1 again."""
    found = fates(ANSWERS, [OF_ZERO])
    first, second = np.zeros((5, 8)), np.zeros((5, 8))
    first[0, :4], first[1, [0, 1, 3]], first[2, 2], first[3, 0] = 1, 1, 1, 1
    second[0, :2], second[1, 0], second[2, 1] = 1, 1, 1
    assert found.values.tolist() == [first.tolist(), second.tolist()]
    assert found.count == 6 and found.labels.tolist() == [0] * 8
    expected = dict(zip(KINDS, [1, 4 / 6, 2 / 6, 1 / 6, 0], strict=True))
    for kind, name in enumerate(KINDS):
        assert share_interval(found, kind).estimate == pytest.approx(expected[name], rel=1e-12), name
        assert found.share(kind) == pytest.approx(expected[name], rel=1e-12), name
    interval = difference_interval(found)
    assert interval.estimate == pytest.approx(3 / 6, rel=1e-12) and interval.factors == "seeds and images"
    assert interval.low < 3 / 6 < interval.high


def test_shares_over_classes_count_every_image_once():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, 3], [40, 70, 30, 60])
    natural, adversarial, *again = random.integers(0, 4, (6, 3, 200))
    answers = Answers(labels, natural, adversarial, dict(enumerate(again)))
    compared = [Comparison(0, 3, 1), Comparison(1, 2, 0), Comparison(3, 1, 2)]
    chosen = better = 0
    for seed in range(3):
        for image in range(200):
            for c in compared:
                if labels[image] == natural[seed, image] == c.attacked and adversarial[seed, image] == c.confuser:
                    chosen += 1
                    better += int(again[c.confuser][seed, image] == c.attacked)
                    better -= int(again[c.control][seed, image] == c.attacked)
    found = fates(answers, compared)
    assert found.count == chosen > 10
    assert difference_interval(found).estimate == pytest.approx(better / chosen, rel=1e-12, abs=1e-12)
    assert np.bincount(found.labels).tolist() == [40, 70, 0, 60]


def test_the_interval_has_the_width_of_a_binomial_share():
    """One seed, 400 images of which 300 are attacked into B, 180 of them robust without it: the standard error of the
    share is sqrt(0.6 0.4 / 300). That of 1,000 draws is known to 2 %."""
    natural, adversarial = np.zeros((1, 400), int), np.where(np.arange(400) < 300, 1, 0)[None]
    without = {1: np.where(np.arange(400) < 120, 2, 0)[None], 2: adversarial}
    found = fates(Answers(np.zeros(400, int), natural, adversarial, without), [OF_ZERO])
    for interval in (share_interval(found, KINDS.index("robust without B")), difference_interval(found)):
        assert interval.estimate == pytest.approx(0.6, rel=1e-12)
        expected = 2 * 1.959964 * np.sqrt(0.6 * 0.4 / 300)
        assert interval.high - interval.low == pytest.approx(expected, rel=0.1)
        assert interval.factors == "images only (one seed)"


def test_where_all_images_fare_alike_the_interval_is_that_of_clopper_and_pearson():
    """Of n of n, its lower bound is the n-th root of 0.025; of none, the upper one is 1 minus that."""
    natural, adversarial = np.zeros((1, 30), int), np.where(np.arange(30) < 20, 1, 0)[None]
    found = fates(Answers(np.zeros(30, int), natural, adversarial, {1: natural, 2: adversarial}), [OF_ZERO])
    all_robust, none_robust = (share_interval(found, KINDS.index(f"robust without {k}")) for k in "BC")
    assert (all_robust.estimate, all_robust.high) == (1, 1)
    assert all_robust.low == pytest.approx(0.025 ** (1 / 20), rel=1e-6)
    assert (none_robust.estimate, none_robust.low) == (0, 0)
    assert none_robust.high == pytest.approx(1 - 0.025 ** (1 / 20), rel=1e-6)


def test_where_all_images_fare_alike_in_several_seeds_each_is_counted_once_and_the_claim_decided():
    natural, adversarial = np.zeros((3, 30), int), np.where(np.arange(30) < 20, 1, 0)[None].repeat(3, axis=0)
    adversarial[2, 20:25] = 1  # chosen in this seed alone
    found = fates(Answers(np.zeros(30, int), natural, adversarial, {1: natural, 2: adversarial}), [OF_ZERO])
    all_robust, none_robust = (share_interval(found, KINDS.index(f"robust without {k}")) for k in "BC")
    assert all_robust.low == pytest.approx(0.025 ** (1 / 25), rel=1e-6)
    assert none_robust.high == pytest.approx(1 - 0.025 ** (1 / 25), rel=1e-6)
    assert [decide(i, "", "", bound=0.5).verdict for i in (all_robust, none_robust)] == [SUPPORTED, CONTRADICTED]


@pytest.mark.parametrize("seeds", [1, 3])
def test_images_of_one_seed_alone_decide_nothing(seeds):
    """Of three seeds, two attack no image into B."""
    natural, adversarial = np.zeros((seeds, 30), int), np.zeros((seeds, 30), int)
    adversarial[0, :20] = 1
    found = fates(Answers(np.zeros(30, int), natural, adversarial, {1: natural, 2: adversarial}), [OF_ZERO])
    judged = decide(share_interval(found, KINDS.index("robust without B")), "", "", bound=0.5)
    assert (judged.verdict, judged.why_open) == (OPEN, SINGLE_SEED)


def test_accuracy_changes_by_hand():
    changes = accuracy_changes(ANSWERS, 3)
    # Class 0: 2 and 6 of 8 robust at first; without 1, 7 and 7; without 2, 4 and 6. Class 1 and 2 in the same way.
    assert changes[0, 1:] == pytest.approx([14 / 16 - 8 / 16, 10 / 16 - 8 / 16], rel=1e-12)
    assert changes[1, 2] == pytest.approx(3 / 4 - 2 / 4, rel=1e-12)
    assert changes[2, 1] == pytest.approx(3 / 4 - 1, rel=1e-12)
    assert np.isnan(changes.diagonal()).all() and np.isnan(changes[:, 0]).all()
