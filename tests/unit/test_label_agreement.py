"""Agreement of labels by hand, and the SVM on digits."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_digits

from robustlens.closeness.label_agreement import agreement, svm_agreement
from robustlens.errors import RobustlensError


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_shares_by_hand():
    found = agreement(
        np.array([0, 1, 1, 3]), np.array([0, 0, 1, 1]), np.array([2, 2, 1]), np.array([2, 2, 2]), classes=4
    )
    assert found.agreement == 0.5 and found.held_out == pytest.approx(2 / 3, rel=1e-15)
    assert found.by_class[:2].tolist() == [0.5, 0.5] and all(math.isnan(share) for share in found.by_class[2:])
    assert (found.images, found.held_out_images, found.trained_on) == (4, 3, None)
    none = np.array([], int)
    with pytest.raises(RobustlensError, match=r"^no generated images to compare labels of"):
        agreement(none, none, np.array([0]), np.array([0]), 2)
    with pytest.raises(RobustlensError, match=r"^no held-out images to compare labels of"):
        agreement(np.array([0]), np.array([0]), none, none, 2)


def digits():
    pixels, labels = load_digits(return_X_y=True)
    images, order = (pixels / 16).reshape(-1, 1, 8, 8).astype(np.float32), seeded(1).permutation(len(labels))
    return [(images[part], labels[part]) for part in (order[:900], order[900:1300], order[1300:])]


def test_the_svm_knows_digits_and_sees_labels_that_are_wrong():
    (train, train_labels), (images, labels), (held_out, held_out_labels) = digits()
    wrong = np.where(np.arange(len(labels)) % 4 == 0, (labels + 1) % 10, labels)
    found = svm_agreement(images, wrong, held_out, held_out_labels, train, train_labels, 10, seeded())
    assert found.held_out > 0.97 and found.agreement == pytest.approx(0.75, abs=0.02) and found.trained_on == 900
    right = svm_agreement(images, labels, held_out, held_out_labels, train, train_labels, 10, seeded())
    assert right.agreement > 0.97 and right.held_out == found.held_out
    assert right.by_class.shape == (10,) and right.by_class.min() > 0.85


def test_the_svm_is_the_one_that_it_says():
    """Its decisions are those of the kernel exp(-|x - x'|^2 / (d v)): the dual's conditions hold for C = 10."""
    from sklearn.svm import SVC

    (train, train_labels), (images, _), (held_out, held_out_labels) = digits()
    flat, other = train.reshape(900, -1).astype(float), images.reshape(len(images), -1).astype(float)
    width = flat.shape[1] * flat.var()

    def kernel(a, b):
        return np.exp(-((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=-1) / width)

    fitted = SVC(C=10, kernel="precomputed").fit(kernel(flat, flat), train_labels)
    predictions = fitted.predict(kernel(other, flat))
    found = svm_agreement(images, predictions, held_out, held_out_labels, train, train_labels, 10, seeded())
    assert found.agreement == 1
    weaker = SVC(C=0.01, kernel="precomputed").fit(kernel(flat, flat), train_labels).predict(kernel(other, flat))
    assert (weaker != predictions).any()


def test_the_svm_sees_at_most_so_many_images_drawn_by_seed():
    (train, train_labels), (images, labels), held_out = digits()
    found = [svm_agreement(images, labels, *held_out, train, train_labels, 10, seeded(s), most=60) for s in (0, 0, 1)]
    assert [one.trained_on for one in found] == [60] * 3
    assert found[0].agreement == found[1].agreement
    assert found[0].by_class.tolist() != found[2].by_class.tolist() and found[0].held_out < 0.97


def test_a_class_that_the_svm_does_not_see_is_named():
    (train, train_labels), (images, labels), held_out = digits()
    kept = train_labels != 4
    with pytest.raises(RobustlensError, match=r"^class 4 has no training images"):
        svm_agreement(images, labels, *held_out, train[kept], train_labels[kept], 10, seeded())
    with pytest.raises(RobustlensError, match=r"^no generated images"):
        svm_agreement(images[:0], labels[:0], *held_out, train, train_labels, 10, seeded())
