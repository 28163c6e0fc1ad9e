"""Confusion matrices, against tables made by hand and plain loops."""

import numpy as np
import pytest

from robustlens.analysis import confusion

COUNTS = np.array([[6, 3, 1, 0], [2, 7, 1, 0], [0, 2, 4, 4], [1, 0, 5, 4]])
RATES = COUNTS / 10
PAIRS = [[0, 1], [2, 3]]


def test_counts_and_rates_of_five_images():
    labels, predictions = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 0, 0])
    counts = confusion.confusion_counts(labels, predictions, 3)
    assert counts.tolist() == [[1, 0, 1], [2, 1, 0], [0, 0, 0]]
    rates = confusion.confusion_rates(counts)
    assert rates[0].tolist() == [0.5, 0.0, 0.5] and rates[1] == pytest.approx([2 / 3, 1 / 3, 0], rel=1e-12)
    assert np.isnan(rates[2]).all()


def test_predictions_as_ones_average_to_the_matrix():
    labels, predictions = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 0, 0])
    columns = confusion.columns_of(labels, predictions, 3)
    assert columns.tolist() == [[0, 1, 2]] * 3
    ones = confusion.predicted(labels, predictions, columns)
    assert ones.shape == (3, 5) and (ones.sum(axis=0) == 1).all()
    means = np.stack([ones[:, labels == c].mean(axis=1) for c in (0, 1)])
    assert means == pytest.approx(confusion.confusion_rates(confusion.confusion_counts(labels, predictions, 3))[:2])


def test_groups_add_up_what_is_between_their_classes():
    assert confusion.aggregated(COUNTS, PAIRS).tolist() == [[18, 2], [3, 17]]
    assert confusion.aggregated(COUNTS, [[3, 0], [1], [2]])[0].tolist() == [6 + 0 + 1 + 4, 3 + 0, 1 + 5]
    with pytest.raises(ValueError, match="each of the classes 0 to 3 once"):
        confusion.aggregated(COUNTS, [[0, 1], [1, 2, 3]])


def test_symmetry_is_that_of_loops_and_0_and_1_at_its_ends():
    difference = total = 0.0
    for i in range(4):
        for j in range(i + 1, 4):
            difference += abs(RATES[i, j] - RATES[j, i])
            total += RATES[i, j] + RATES[j, i]
    assert confusion.symmetry(RATES) == pytest.approx(1 - difference / total, rel=1e-12)
    both = np.stack([RATES + RATES.T, np.triu(RATES)])
    assert confusion.symmetry(both) == pytest.approx([1.0, 0.0], abs=1e-12)
    assert np.isnan(confusion.symmetry(np.eye(3)))


def test_shares_within_groups_are_those_of_loops():
    inside = total = even = 0.0
    group = [0, 0, 1, 1]
    for i in range(4):
        for j in range(4):
            if i != j:
                total += RATES[i, j]
                inside += RATES[i, j] * (group[i] == group[j])
        even += (1 - RATES[i, i]) * 1 / 3  # one of three other classes is in the same group
    assert confusion.share_within(RATES, PAIRS) == pytest.approx(inside / total, rel=1e-12)
    assert confusion.even_share_within(RATES, PAIRS) == pytest.approx(even / total, rel=1e-12)


def test_the_largest_classes_are_chosen_by_other_images():
    other = np.array([[0.9, 0.0, 0.1, 0.0], [0.0, 0.9, 0.0, 0.1], [0.6, 0.4, 0.0, 0.0], [0.0, 0.0, 0.2, 0.8]])
    chosen = RATES[0, 2] + RATES[1, 3] + RATES[2, 0] + RATES[3, 2]
    errors = 4 - np.trace(RATES)
    assert confusion.share_of_largest(RATES, other, 1) == pytest.approx(chosen / errors, rel=1e-12)
    assert confusion.share_of_largest(RATES, other, 3) == pytest.approx(1.0, rel=1e-12)
    batch = confusion.share_of_largest(np.stack([RATES, other]), np.stack([other, RATES]), 1)
    by_own = other[0, 1] + other[1, 0] + other[2, 3] + other[3, 2]
    assert batch == pytest.approx([chosen / errors, by_own / (4 - np.trace(other))], rel=1e-12)


# Packed ---------------------------------------------------------------------------------------------------------------

MANY, EACH = 60, 8


def sparse(seed=0):
    """Labels (N,), predictions (2, N) on other images of the same classes, few of them wrong in the same way, and both
    matrices of rates."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(MANY), EACH)
    wrong = (labels + random.integers(-2, 3, (2, len(labels)))) % MANY
    anywhere = random.integers(MANY, size=wrong.shape)
    predictions = np.where(
        random.random(wrong.shape) < 0.4, labels, np.where(random.random(wrong.shape) < 0.8, wrong, anywhere)
    )
    predictions[:, labels == 5] = 5  # no errors at all
    whole = [confusion.confusion_rates(confusion.confusion_counts(labels, run, MANY)) for run in predictions]
    return labels, predictions, np.array(whole)


def packed(labels, predictions):
    columns = confusion.columns_of(labels, predictions, MANY)
    ones = confusion.predicted(labels, predictions, columns)
    return columns, np.stack([ones[..., labels == c].mean(axis=-1) for c in range(MANY)], axis=-2)


def test_columns_are_what_occurs_and_the_lowest_others():
    labels, predictions = np.array([0, 0, 9, 9, 9]), np.array([[0, 7, 9, 9, 8], [7, 7, 2, 9, 9]])
    columns = confusion.columns_of(labels, predictions, 10)
    assert columns[0].tolist() == [0, 1, 2, 3, 4, 7] and columns[9].tolist() == [0, 1, 2, 3, 8, 9]
    assert columns[4].tolist() == [0, 1, 2, 3, 4, 5]  # has no images
    assert columns.shape == (10, 3 + confusion.SPARE)


def test_a_packed_matrix_is_the_whole_one_without_empty_columns():
    labels, predictions, whole = sparse()
    columns, rates = packed(labels, predictions)
    assert columns.shape[1] < MANY / 3 and (np.diff(columns) > 0).all()
    unpacked = np.zeros_like(whole)
    for run in range(2):
        unpacked[run][np.arange(MANY)[:, None], columns] = rates[run]
    assert np.array_equal(unpacked, whole)


@pytest.mark.parametrize("seed", range(5))
def test_measures_of_a_packed_matrix_are_those_of_the_whole_one(seed):
    labels, predictions, whole = sparse(seed)
    columns, rates = packed(labels, predictions)
    groups = [list(range(n, n + 10)) for n in range(0, MANY, 10)]
    for measure in (
        confusion.symmetry,
        lambda m, columns=None: confusion.share_within(m, groups, columns),
        lambda m, columns=None: confusion.even_share_within(m, groups, columns),
        lambda m, columns=None: confusion.share_of_largest(m, m[::-1], 1, columns),
        lambda m, columns=None: confusion.share_of_largest(m, m[::-1], 2, columns),
    ):
        expected = measure(whole)
        assert expected.shape == (2,) and (expected > 0).all()
        assert measure(rates, columns=columns) == pytest.approx(expected, rel=1e-12)


def test_the_largest_of_a_packed_matrix_are_those_of_the_whole_one_where_few_are_wrong():
    """All images of one half are right: the lowest other classes are chosen, which need not occur in the other half."""
    labels = np.repeat(np.arange(MANY), EACH)
    one, other = labels.copy(), labels.copy()
    other[labels == 0], other[labels == 1], other[labels == 50] = 2, 3, 0
    columns, (right, wrong) = packed(labels, np.stack([one, other]))
    assert confusion.share_of_largest(wrong, right, 2, columns) == pytest.approx(
        2 / 3
    )  # 0 to 1, 2; 1 to 0, 2; 50 to 0, 1


def test_clusters_are_classes_that_are_taken_for_each_other():
    assert confusion.clusters(RATES, 2) == PAIRS
    order = [2, 0, 3, 1]
    assert confusion.clusters(RATES[np.ix_(order, order)], 2) == [[0, 2], [1, 3]]
    assert confusion.clusters(RATES, 4) == [[0], [1], [2], [3]]


def test_the_two_parts_that_a_group_was_joined_from_count_equally():
    """0 and 1 are nearest, 10 %, then 2 to them, 9 %. 3 is as near to these as the mean of 0 % (0 and 1) and 8 % (2),
    4 %: nearer than to 4, 3 %. By the mean of the three, 2.7 %, or the least, 0 %, it would join 4."""
    rates = np.zeros((5, 5))
    for (i, j), nearness in {(0, 1): 0.1, (0, 2): 0.09, (1, 2): 0.09, (2, 3): 0.08, (3, 4): 0.03}.items():
        rates[i, j] = rates[j, i] = nearness
    assert confusion.clusters(rates + np.diag(1 - rates.sum(axis=1)), 2) == [[0, 1, 2, 3], [4]]
