"""The choice of generated images by a discriminator, against loops."""

import math

import numpy as np
import pytest
import torch
from discriminating import images, noise, perceptron

from robustlens.discrimination import selection
from robustlens.discrimination.selection import any_share, most_real, realness
from robustlens.errors import RobustlensError

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.permutation(np.repeat([0, 1, 2, 7], [20, 10, 5, 3]))
SCORES = RANDOM.integers(0, 6, len(LABELS)) / 6  # with equal ones
COUNTS = {0.25: (5, 3, 1, 1), 0.5: (10, 5, 3, 2), 1: (20, 10, 5, 3)}  # 2.5, 1.25 and 0.75 images are 3, 1 and 1


@pytest.mark.parametrize("together", [3, 500])
def test_realness_is_the_probability_of_the_second_logit(together, monkeypatch):
    monkeypatch.setattr(selection, "TOGETHER", together)
    torch.manual_seed(0)
    network, values = perceptron().eval(), noise(10, 0)
    expected = []
    for value in values:
        generated, real = network(torch.from_numpy(value[None]).float())[0].tolist()
        expected.append(math.exp(real) / (math.exp(generated) + math.exp(real)))
    found = realness(network, images(values))
    assert found.dtype == np.float64 and found.tolist() == pytest.approx(expected, abs=1e-6)
    assert min(expected) < 0.5 < max(expected) or len({round(value, 4) for value in expected}) == 10


@pytest.mark.parametrize("share", COUNTS)
def test_the_most_real_of_each_class_come_class_after_class_and_best_first(share):
    expected = []
    for label, count in zip([0, 1, 2, 7], COUNTS[share], strict=True):
        own = [position for position in range(len(LABELS)) if LABELS[position] == label]
        expected += sorted(own, key=lambda position: (-SCORES[position], position))[:count]
    assert most_real(SCORES, LABELS, share).tolist() == expected


@pytest.mark.parametrize("share", COUNTS)
def test_a_random_share_has_as_many_of_each_class_without_repetition_and_follows_from_the_seed(share):
    found = any_share(LABELS, share, 3)
    assert LABELS[found].tolist() == LABELS[most_real(SCORES, LABELS, share)].tolist()
    assert len(set(found.tolist())) == len(found)
    assert found.tolist() == any_share(LABELS, share, 3).tolist() != any_share(LABELS, share, 4).tolist()


def test_a_random_share_prefers_no_image():
    labels = np.repeat([0, 1], 10)
    drawn = np.bincount(np.concatenate([any_share(labels, 0.3, seed) for seed in range(2000)]), minlength=20) / 2000
    assert drawn.tolist() == pytest.approx([0.3] * 20, abs=0.05)


@pytest.mark.parametrize("share", [0, -0.1, 1.01, math.nan])
def test_shares_that_are_none_are_refused(share):
    with pytest.raises(RobustlensError, match=r"^selection: the share must be above 0 and at most 1, got"):
        most_real(SCORES, LABELS, share)


def test_a_share_that_leaves_a_class_without_images_is_refused():
    with pytest.raises(
        RobustlensError,
        match=r"^selection: a share of 0.1 leaves none of the 3 images of class 7; raise it, or generate",
    ):
        any_share(LABELS, 0.1, 0)


def test_scores_that_are_none_are_refused():
    broken = SCORES.copy()
    broken[4] = math.nan
    with pytest.raises(
        RobustlensError, match=r"^selection: needs a finite score for each of 38 images, got 38, of which 37 are finite"
    ):
        most_real(broken, LABELS, 0.5)
    with pytest.raises(RobustlensError, match=r"for each of 38 images, got 37"):
        most_real(SCORES[1:], LABELS, 0.5)
