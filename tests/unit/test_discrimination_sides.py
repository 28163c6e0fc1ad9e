"""How real and generated images are split, and how accuracies on them are counted."""

from collections import Counter

import numpy as np
import pytest
import torch
from discriminating import images, noise, split
from torch import nn

from robustlens.discrimination import accuracy
from robustlens.discrimination.accuracy import attacked, balanced_accuracy
from robustlens.discrimination.sides import REAL, Sides, parts, positions
from robustlens.errors import RobustlensError
from robustlens.seeds import generator

CPU = torch.device("cpu")
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 5], [100, 50, 30, 7]))
# Of 7 images: 2.8, 3.5 and 7, rounded up at the half, are 3, 4 and 7.
PARTS_OF_CLASS = {0: (40, 10, 50), 1: (20, 5, 25), 2: (12, 3, 15), 5: (3, 1, 3)}


# Splits -----------------------------------------------------------------------------------------------------------


def test_each_class_is_split_40_to_10_to_50_and_every_image_is_in_one_part():
    found = positions(LABELS, 0, "real")
    assert list(found) == ["train", "validation", "test"]
    for number, where in enumerate(found.values()):
        assert Counter(LABELS[where].tolist()) == {label: sizes[number] for label, sizes in PARTS_OF_CLASS.items()}
        assert where.tolist() == sorted(where.tolist())
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(len(LABELS)))


def test_the_split_follows_from_the_seed_and_is_another_one_for_the_other_side():
    def of(seed: int, side: str) -> list[list[int]]:
        return [where.tolist() for where in positions(LABELS, seed, side).values()]

    assert of(0, "real") == of(0, "real")
    assert of(0, "real") != of(1, "real") and of(0, "real") != of(0, "generated")


def test_images_of_both_sides_come_into_the_part_of_their_position():
    real, generated = (split(noise(len(LABELS), seed), LABELS) for seed in (1, 2))
    found = parts(real, generated, 4, CPU)
    assert list(found) == ["train", "validation", "test"] and Sides._fields[REAL] == "real"
    for part, sides in found.items():
        for name, side in (("real", real), ("generated", generated)):
            where, kept = positions(LABELS, 4, name)[part], getattr(sides, name)
            assert kept.index.tolist() == where.tolist() and kept.y.tolist() == LABELS[where].tolist()
            assert torch.equal(kept.batch(torch.arange(len(kept))), torch.from_numpy(side.images[where]))


def test_images_of_other_shapes_are_refused():
    other = split(np.zeros((40, 1, 3, 2)))
    with pytest.raises(RobustlensError, match=r"^real images of shape \(1, 3, 2\) and generated ones of shape \(1, 2,"):
        parts(other, split(noise(40, 0)), 0, CPU)


def test_a_part_without_images_is_refused():
    with pytest.raises(RobustlensError, match=r"^4 real images leave none for validation \(10 % of each class\); take"):
        positions(np.array([0, 0, 1, 1]), 0, "real")


# Accuracies -------------------------------------------------------------------------------------------------------


class Plane(nn.Module):
    """Real are images x with w.x > b: the distance of an image to the other region is |w.x - b| / |w|."""

    w, b = (2.0, -1.0, 0.5, 1.0), 1.2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = x.flatten(1) @ torch.tensor(self.w) - self.b
        return torch.stack([-value, value], 1)


def right_by_hand(values: np.ndarray, sign: int, norm: str, epsilon: float) -> list[bool]:
    """Image by image, in float64; pixels between 0.3 and 0.7 can move by 0.3 without leaving [0, 1]."""
    length = float(np.sqrt(sum(w * w for w in Plane.w)) if norm == "l2" else sum(map(abs, Plane.w)))
    margins = [sign * (sum(w * v for w, v in zip(Plane.w, x.ravel(), strict=True)) - Plane.b) for x in values]
    assert min(abs(margin / length - epsilon) for margin in margins) > 0.05 * epsilon  # as near as PGD comes in L2
    return [margin / length > epsilon for margin in margins]


@pytest.mark.parametrize("together", [4, 500])
@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 0), ("l2", 0.02), ("l2", 0.05), ("linf", 0.025), ("linf", 0.05)])
def test_the_balanced_accuracy_of_a_plane_is_that_by_hand(norm, epsilon, together, monkeypatch):
    monkeypatch.setattr(accuracy, "TOGETHER", together)
    real, generated = noise(7, 3, 0.3, 0.7), noise(23, 4, 0.3, 0.7)
    rights = right_by_hand(real, 1, norm, epsilon), right_by_hand(generated, -1, norm, epsilon)
    expected = sum(rights[0]) / 7 / 2 + sum(rights[1]) / 23 / 2
    assert 0 < sum(rights[0]) < 7 and 0 < sum(rights[1]) < 23
    sides = Sides(generated=images(generated), real=images(real))
    assert balanced_accuracy(Plane().eval(), sides, norm, epsilon, 10, 0) == pytest.approx(expected, abs=1e-12)


class Dark(nn.Module):
    """Real are images whose first pixel is above 0, but by a step without a gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = (x[:, 0, 0, 0] > 0).float() + 0 * x.flatten(1).sum(1)
        return torch.stack([0.5 - value, value - 0.5], 1)


def test_an_image_that_is_only_wrong_where_it_is_counts_as_wrong():
    black, grey = np.zeros((5, 1, 2, 2)), np.full((3, 1, 2, 2), 0.5)
    noisy = attacked(Dark(), torch.zeros(5, 1, 2, 2), torch.ones(5).long(), "linf", 0.1, 1, generator(0))
    assert (Dark()(noisy).argmax(1) == REAL).any()  # from a random start
    # All 5 real images are black: wrong. The 3 generated ones are grey: wrong. And the other way round.
    assert balanced_accuracy(Dark(), Sides(images(grey), images(black)), "linf", 0.1, 1, 0) == 0.0
    assert balanced_accuracy(Dark(), Sides(images(grey), images(grey)), "linf", 0.1, 1, 0) == 0.5


def test_radius_0_leaves_images_as_they_are_and_others_move_by_as_much_as_they_may():
    x = torch.full((6, 1, 2, 2), 0.5)
    y = torch.tensor([REAL] * 6)
    assert attacked(Plane(), x, y, "l2", 0, 5, generator(0)) is x
    for norm, order in (("l2", 2), ("linf", float("inf"))):
        moved = attacked(Plane(), x, y, norm, 0.2, 5, generator(0))
        distance = torch.linalg.vector_norm((moved - x).flatten(1), order, dim=1)
        torch.testing.assert_close(distance, torch.full((6,), 0.2))
