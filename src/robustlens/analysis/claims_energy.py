"""The claims of "Shedding More Light on Robust Classifiers under the lens of Energy-based Models" (ECCV 2024), section
by section. All say that something is greater than a bound; each rule stands above its code in words.
"""

from robustlens.analysis import (
    claims_energy_attacks,
    claims_energy_generation,
    claims_energy_overfitting,
    claims_energy_robustness,
    claims_energy_training,
)
from robustlens.analysis.claims import Claim

PAPER_DATASETS = ("cifar10", "cifar100", "svhn", "tiny-imagenet-200")
CLAIMS: list[Claim] = [
    *claims_energy_attacks.CLAIMS,
    *claims_energy_training.CLAIMS,
    *claims_energy_overfitting.CLAIMS,
    *claims_energy_robustness.CLAIMS,
    *claims_energy_generation.CLAIMS,
]


def claims_on(dataset: str) -> list[Claim]:
    """Without the claims that the paper makes of others of its datasets. On a dataset that is none of its own, all."""
    return [c for c in CLAIMS if not c.datasets or dataset in c.datasets or dataset not in PAPER_DATASETS]
