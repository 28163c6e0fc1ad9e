"""Signs of gradients in single precision: shares by hand, points where they are compared, and what a plan counts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from planned_jobs import SHEET, SMALL, STAGES, TINY, TINY_FLOPS, job, known, training, weights
from torch import Tensor, nn

from robustlens.attacks.temperature_pgd import TemperaturePGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.evaluation.run import attack_split
from studies.classwise.signs import other_signs

THREAT = Threat("linf", 0.1, 0.05)
ATTACKS = {"temperature-pgd-0-5": 0.5, "temperature-pgd-1": 1.0, "temperature-pgd-100": 100.0}
# Three images of two pixels, the first two of class 0, which they are sure of, the last one of class 1, misclassified.
SPLIT = Split(np.full((3, 1, 1, 2), 100, np.uint8), np.array([0, 0, 1]), np.array([7, 9, 4]), 255)


class Sure(nn.Module):
    """z = (20 + a, b + a/2, -50) of pixels a and b, and a record of the images that gradients were asked for."""

    def __init__(self):
        super().__init__()
        self.seen: list[Tensor] = []
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            self.seen.append(x.detach().clone())
        a, b = x.flatten(1).T
        return torch.stack([20 + a, b + a / 2, -50 + 0 * a], dim=1)


def test_the_shares_of_pixels_whose_sign_is_another_one_are_those_by_hand():
    """Class 0: the gradient is along (-1/2, 1). In float32 the part of the true class is 0 from a gap of 17 T on, which
    leaves (1/2, 1), so one of two pixels differs; from one of about 104 T on all parts are 0, and both differ. The gap
    is 19 to 20. Class 1: along (1/2, -1) in both."""
    found = other_signs(Sure(), SPLIT, ATTACKS, THREAT, seed=3, batch_size=2)
    assert found.columns.tolist() == ["attack", "inverse_temperature", "index", "share"]
    assert found["attack"].tolist() == [name for name in ATTACKS for _ in range(3)]
    assert found["inverse_temperature"].tolist() == [value for value in ATTACKS.values() for _ in range(3)]
    assert found["index"].tolist() == [7, 9, 4] * 3
    assert found["share"].tolist() == [0, 0, 0, 0.5, 0.5, 0, 1, 1, 0]


def test_they_are_compared_where_an_evaluation_takes_its_first_step():
    for name, value in ATTACKS.items():
        ours, theirs = Sure(), Sure()
        other_signs(ours, SPLIT, {name: value}, THREAT, seed=3, batch_size=2)
        attack_split(theirs, SPLIT, TemperaturePGD(value, steps=1), name, THREAT, seed=3, batch_size=2)
        assert [len(x) for x in theirs.seen] == [2, 1]
        for x in theirs.seen:
            assert sum(torch.equal(x, other) for other in ours.seen if len(other) == len(x)) == 2


def test_the_starts_depend_on_the_seed():
    first, second = Sure(), Sure()
    for seed, model in ((0, first), (1, second)):
        other_signs(model, SPLIT, ATTACKS, THREAT, seed=seed, batch_size=3)
    assert not torch.equal(first.seen[0], second.seen[0])


def test_the_table_of_one_image_per_batch_has_the_same_images():
    tables = [other_signs(Sure(), SPLIT, ATTACKS, THREAT, seed=0, batch_size=size) for size in (1, 3)]
    pd.testing.assert_frame_equal(*(table.drop(columns="share") for table in tables))


@pytest.mark.parametrize("batch_size", [12, 100])
def test_a_plan_counts_two_gradients_of_every_test_image_for_each_attack(batch_size):
    spec = {"dataset": "small", "recipe": "sat", "seed": 0, "suite": "temperature", "architecture": TINY}
    chosen = job(
        "compare_signs",
        spec | {"attacks": ATTACKS, "batch_size": batch_size},
        inputs=(SHEET, weights("sat", 0, "best")),
        outputs=("signs.parquet",),
    )
    stages = STAGES | {"compare_signs": "studies.classwise.planning.compare_signs"}
    images = SMALL.sizes["test"]
    passes = 2 * len(ATTACKS) * images * 2  # a gradient is a pass forward and one back
    assert known(chosen, training(), stages=stages).work(chosen).flops == pytest.approx(passes * TINY_FLOPS, rel=1e-12)
    fewer = replace(chosen, spec=chosen.spec | {"attacks": dict(list(ATTACKS.items())[:1])})
    assert known(fewer, training(), stages=stages).work(fewer).flops == pytest.approx(
        passes / len(ATTACKS) * TINY_FLOPS, rel=1e-12
    )
