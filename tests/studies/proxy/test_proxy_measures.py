"""What is measured of generated images, and how a measure's ranking is compared with gains."""

import itertools

import numpy as np
import pandas as pd
import pytest

from robustlens.closeness.drawing import drawn
from robustlens.closeness.linear_robustness import distances_to_wrong, fit_linear
from robustlens.data.prepared import PreparedDataset, Split
from robustlens.errors import RobustlensError
from studies.proxy.closeness import measured
from studies.proxy.ranking import agreement

CLASSES, SHAPE = 2, (1, 2, 2)
SCORES = {"frechet": 1.5, "score_mean": 3.5, "kid_mean": 0.25}


def split(count: int, levels: int, seed: int, grey: float = 0.0) -> Split:
    """Images of class 0 are dark at first, and those of class 1 are bright."""
    random, labels = np.random.default_rng(seed), np.arange(count) % CLASSES
    values = np.clip(0.3 + 0.4 * labels[:, None] + grey + 0.1 * random.standard_normal((count, 4)), 0, 1)
    return Split(np.rint(levels * values).astype(np.uint8).reshape(-1, *SHAPE), labels, np.arange(count), levels)


def rows(pool: Split, train: Split | None = None, **settings) -> pd.DataFrame:
    data = PreparedDataset(
        {"shape": list(SHAPE), "classes": ["a", "b"]}, {"train": train or split(30, 16, 0), "test": split(40, 16, 1)}
    )
    return measured(data, pool, SCORES, **{"most": 50, "per_class": 6, "draws": 3, "seed": 4} | settings)


def value(table: pd.DataFrame, measure: str, norm: str = "") -> float:
    return table[(table["measure"] == measure) & (table["norm"] == norm)]["value"].mean()


def test_every_measure_has_a_row_for_each_norm_and_draw():
    table = rows(split(60, 255, 2))
    counted = table.groupby(["measure", "norm"]).size().to_dict()
    each = {name: 3 for norm in ("l2", "linf") for name in itertools.product(
        (
            *("wasserstein", "robustness-real", "robustness-generated", "gap", "floor"),
            *("empirical", "generalisation-penalty", "shift-penalty", "robustness"),
        ),
        (norm,),
    )}  # fmt: skip
    once = {("per-class", ""), ("frechet", ""), ("score", ""), ("kid", ""), ("agreement", ""), ("agreement-real", "")}
    once |= {(name, "l2") for name in ("copy-ratio", "share-near", "median-distance", "median-distance-real")}
    assert counted == each | dict.fromkeys(once, 1)
    assert [value(table, name) for name in ("frechet", "score", "kid")] == [1.5, 3.5, 0.25]


def test_copies_are_seen_and_close_and_others_are_neither():
    copied = split(30, 16, 0)
    copies = rows(Split(copied.images, copied.labels, copied.index, 16))
    others = rows(split(60, 255, 2))
    assert value(copies, "copy-ratio", "l2") == 0 and value(copies, "share-near", "l2") == 1
    assert value(others, "copy-ratio", "l2") > 0.5 and value(others, "share-near", "l2") < 0.3
    far = rows(split(60, 255, 2, grey=0.2))
    assert value(far, "wasserstein", "l2") > 1.5 * value(others, "wasserstein", "l2") > value(others, "floor", "l2") / 2


def test_swapped_labels_are_seen():
    pool = split(60, 255, 2)
    swapped = rows(Split(pool.images, 1 - pool.labels, pool.index, 255))
    right = rows(pool)
    assert value(right, "agreement") > 0.9 > 0.1 > value(swapped, "agreement")
    assert value(swapped, "wasserstein", "l2") > 3 * value(right, "wasserstein", "l2")


def test_labels_are_judged_by_real_images_that_the_generator_has_not_seen():
    """It repeats training images that all have the wrong label."""
    seen = split(30, 16, 0)
    wrong = Split(seen.images, 1 - seen.labels, seen.index, 16)
    found = rows(wrong, train=wrong)
    assert value(found, "agreement") < 0.1 < 0.9 < value(found, "agreement-real")


def test_the_bound_holds_on_every_draw_and_its_gap_is_that_of_the_linear_classifier():
    table = rows(split(60, 255, 2, grey=0.2), per_class=10, draws=1)
    train, test = split(30, 16, 0), split(40, 16, 1)
    classifier = fit_linear(train.pixels(), train.labels, 2)
    drawn_real = drawn(test.labels, 2, 10, np.random.default_rng([4, 2, 0]), "real").ravel()
    for norm in ("l2", "linf"):
        assert value(table, "gap", norm) <= value(table, "wasserstein", norm) + 1e-12
        both = value(table, "robustness-real", norm), value(table, "robustness-generated", norm)
        assert value(table, "gap", norm) == pytest.approx(abs(both[0] - both[1]), abs=1e-12)
        distances = distances_to_wrong(classifier, test.pixels(drawn_real), test.labels[drawn_real], norm)
        assert both[0] == pytest.approx(distances.mean(), rel=1e-12)


def test_the_terms_of_robustness_by_hand():
    """Of the images that are compared, half are learnt from, in the order that the draw gives."""
    pool, test = split(60, 255, 2, grey=0.2), split(40, 16, 1)
    table = rows(pool, draws=1, per_class=6)
    where = np.concatenate([np.flatnonzero(pool.labels == label) for label in range(2)])
    kept = np.random.default_rng([4, 4])
    where = np.concatenate([part[np.sort(kept.choice(30, 6, replace=False))] for part in (where[:30], where[30:])])
    for norm in ("l2", "linf"):
        random = np.random.default_rng([4, 2, 0])
        for labels, count in ((test.labels, 6), (pool.labels[where], 6), (test.labels, 12)):  # the transfer, the floor
            drawn(labels, 2, count, random, "some")
        order = random.permutation(12)
        learnt, others = where[order[:6]], where[order[6:]]
        classifier = fit_linear(pool.pixels(learnt), pool.labels[learnt], 2)
        found = [
            distances_to_wrong(classifier, part.pixels(some), part.labels[some], norm).mean()
            for part, some in ((pool, learnt), (pool, others), (test, slice(None)))
        ]
        expected = (found[0], abs(found[1] - found[0]), abs(found[2] - found[1]), found[2])
        names = ("empirical", "generalisation-penalty", "shift-penalty", "robustness")
        assert [value(table, name, norm) for name in names] == pytest.approx(expected, rel=1e-12)


def test_as_many_images_of_each_class_are_compared_as_there_are():
    pool = split(60, 255, 2)
    kept = np.flatnonzero((pool.labels == 0) | (pool.index < 16))
    few = Split(pool.images[kept], pool.labels[kept], np.arange(len(kept)), 255)  # 8 of class 1
    assert [value(rows(few, per_class=asked), "per-class") for asked in (6, 8, 9)] == [6, 8, 8]
    assert value(rows(pool, per_class=30), "per-class") == 10  # half of the real images, which the floor needs twice
    none = Split(pool.images[::2], pool.labels[::2], np.arange(30), 255)
    with pytest.raises(RobustlensError, match=r"^class 1 has 0 generated images|class 1 has no"):
        rows(none)


# Rankings -------------------------------------------------------------------------------------------------------------


def gains(means: list[float], seeds: int = 3, images: int = 400, spread: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.array(means)[:, None, None] + spread * random.standard_normal((len(means), seeds, images))


def test_a_measure_that_orders_generators_as_their_gains_do_has_a_correlation_of_1():
    found = agreement(gains([5, 3, 1, -2]), np.array([[0.1, 0.2, 0.3, 0.4]]))
    assert (found.estimate, found.low, found.high) == (1, 1, 1)
    assert found.factors == "seeds and images; the generators are these"
    assert agreement(gains([5, 3, 1, -2]), np.array([[4, 3, 2, 1]])).estimate == -1


def test_a_rank_correlation_by_hand_and_the_difference_of_two():
    """Gains 4 3 2 1, and measures (the lower the better) that rank them 1 2 4 3: 1 - 6 (0 + 0 + 1 + 1) / (4 x 15)."""
    good, other = [1, 2, 3, 4], [1, 2, 4, 3]
    assert agreement(gains([4, 3, 2, 1]), np.array([other])).estimate == pytest.approx(0.8)
    assert agreement(gains([4, 3, 2, 1]), np.array([good, other])).estimate == pytest.approx(0.2)


def test_gains_that_cannot_be_told_apart_leave_the_order_open():
    found = agreement(gains([0.02, 0.01, 0, -0.01], images=50, spread=3), np.array([[1, 2, 3, 4]]))
    assert found.low < 0 < found.high
    certain = agreement(gains([2, 1, 0, -1], images=50, spread=3), np.array([[1, 2, 3, 4]]))
    assert certain.high - certain.low < found.high - found.low


def test_with_one_seed_the_interval_says_so():
    assert agreement(gains([2, 1, 0, -1], seeds=1), np.array([[1, 2, 3, 4]])).factors.startswith(
        "images only (one seed)"
    )


def test_seeds_are_drawn_and_weighed():
    """Of two seeds that contradict each other each is drawn alone in a quarter of the draws."""
    values = np.stack([np.array([[2.0] * 10, [-3.8] * 10]), np.array([[0.0] * 10] * 2), np.array([[1.0] * 10] * 2),
                       np.array([[-1.0] * 10] * 2)])  # fmt: skip
    found = agreement(values, np.array([[1, 3, 2, 4]]))
    assert found.estimate == pytest.approx(0.4) and found.high == 1 and found.low < 0.4
