"""Distances to training images and what is said of copies, against loops."""

import math
import tracemalloc

import numpy as np
import pytest
from sklearn.datasets import load_digits

from robustlens.closeness import copying as module
from robustlens.closeness.copying import copying, nearest_distances
from robustlens.errors import RobustlensError

NORMS = ("l2", "linf")


def some(seed: int, count: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """float32 images in [0, 1] and their labels."""
    random = np.random.default_rng(seed)
    return random.random((count, 1, 3, 4)).astype(np.float32), random.integers(0, classes, count)


def by_loops(images, labels, train, train_labels, norm):
    found = []
    for image, label in zip(images, labels, strict=True):
        distances = []
        for other, its in zip(train, train_labels, strict=True):
            if its == label:
                steps = [float(a) - float(b) for a, b in zip(image.ravel(), other.ravel(), strict=True)]
                distances.append(math.sqrt(math.fsum(s * s for s in steps)) if norm == "l2" else max(map(abs, steps)))
        found.append(min(distances))
    return found


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("rows", "values"), [(2048, 2**22), (7, 2**22), (2048, 30), (1, 1)])
def test_nearest_distances_are_those_of_loops_whatever_the_blocks(norm, rows, values, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "VALUES", values)
    (images, labels), (train, train_labels) = some(0, 40), some(1, 50)
    found = nearest_distances(images, labels, train, train_labels, norm)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, by_loops(images, labels, train, train_labels, norm), rtol=1e-14)
    anything = nearest_distances(images, labels * 0, train, train_labels * 0, norm)
    assert (anything <= found).all() and (anything < found).any()  # a nearer one of another class does not count


@pytest.mark.parametrize("norm", NORMS)
def test_copies_are_at_0_exactly_and_tiny_differences_are_not_lost(norm):
    train = np.random.default_rng(2).random((200, 3, 32, 32)).astype(np.float32)
    labels = np.arange(200) % 4
    assert nearest_distances(train[::3].copy(), labels[::3], train, labels, norm).tolist() == [0.0] * 67
    moved = train[:5].astype(np.float64)
    moved[:, 0, 0, 0] += 1e-9
    np.testing.assert_allclose(nearest_distances(moved, labels[:5], train, labels, norm), 1e-9, rtol=1e-6)


def test_memory_is_bounded_by_the_blocks(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 64)
    monkeypatch.setattr(module, "VALUES", 2**14)
    (images, labels), (train, train_labels) = some(3, 1500, 1), some(4, 1500, 1)
    tracemalloc.start()
    nearest_distances(images, labels, train, train_labels, "l2")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6 < 1500 * 1500 * 8 / 10  # all distances at once take 18 MB


def test_all_that_is_said_of_copies_by_hand():
    """Training images at 0 of both classes; held-out ones at distances 1, ..., 101, of which the first percentile is 2;
    generated ones at 0, 1.5, 2, 10 and 40."""
    train, train_labels = np.zeros((2, 1, 1, 1)), np.array([0, 1])
    held_out = np.arange(1.0, 102.0)[:, None, None, None]
    images = np.array([10.0, 0, 40, 1.5, 2])[:, None, None, None]
    found = copying(images, np.array([0, 1, 0, 1, 0]), held_out, np.arange(101) % 2, train, train_labels)
    assert found.near == pytest.approx(2, rel=1e-12)
    assert found._replace(near=2.0) == (2.0, 51.0, 2 / 51, 2.0, 0.4, 0.2, 0.0, 5, 101)
    again = copying(held_out[:50], np.arange(50) % 2, 0 * held_out, np.arange(101) % 2, train, train_labels)
    assert again.held_out_copies == 1 and again.copies == 0 and math.isnan(again.ratio)


def test_real_images_are_as_near_as_real_images():
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(5).permutation(len(pixels))
    train, one, other = order[:200], order[200:1000], order[1000:]
    found = copying(pixels[one], labels[one], pixels[other], labels[other], pixels[train], labels[train])
    assert found.ratio == pytest.approx(1, abs=0.05) and found.share_near == pytest.approx(0.01, abs=0.012)
    assert found.images == 800 and found.held_out_images == 797 and found.copies == found.held_out_copies == 0
    copies = copying(pixels[train], labels[train], pixels[other], labels[other], pixels[train], labels[train])
    assert copies.ratio == 0 and copies.share_near == copies.copies == 1


def test_real_digits_are_as_far_from_training_ones_as_measured_elsewhere():
    """20 training images of each class: median 1.321, first percentile 0.699, by another implementation."""
    pixels, labels = load_digits(return_X_y=True)
    pixels, random = pixels / 16, np.random.default_rng(1)
    train = np.concatenate([random.choice(np.flatnonzero(labels == k), 20, replace=False) for k in range(10)])
    rest = np.setdiff1d(np.arange(len(labels)), train)
    found = copying(pixels[rest], labels[rest], pixels[rest], labels[rest], pixels[train], labels[train])
    assert found.median == pytest.approx(1.321, rel=0.03) and found.near == pytest.approx(0.699, rel=0.06)
    assert found.ratio == 1 and found.share_near == pytest.approx(0.01, abs=1e-3)


def test_what_cannot_be_measured_is_refused():
    (images, labels), (train, train_labels) = some(0, 40), some(1, 50)
    with pytest.raises(RobustlensError, match=r"^class 2 has no training images that its images could be copies of"):
        nearest_distances(images, labels, train[train_labels < 2], train_labels[train_labels < 2], "l2")
    with pytest.raises(RobustlensError, match=r"^distances to training images that are not finite"):
        nearest_distances(np.full_like(images, np.nan), labels, train, train_labels, "l2")
    with pytest.raises(RobustlensError, match=r"^norm 'l1'"):
        nearest_distances(images, labels, train, train_labels, "l1")
    for own, others, whose in ((slice(0), slice(None), "generated"), (slice(None), slice(0), "held-out")):
        with pytest.raises(RobustlensError, match=rf"^no {whose} images to measure copying with"):
            copying(images[own], labels[own], images[others], labels[others], train, train_labels)
