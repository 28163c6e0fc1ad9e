"""The claims of "Shedding More Light on Robust Classifiers under the lens of Energy-based Models" (ECCV 2024), section
by section. All say that something is greater than a bound; each rule stands above its code in words.
"""

from robustlens.analysis.claims import Claim
from studies.energy.claims import attacks, generation, overfitting, robustness, training
from studies.energy.claims.data import read

__all__ = ["CLAIMS", "PAPER_DATASETS", "read"]

PAPER_DATASETS = ("cifar10", "cifar100", "svhn", "tiny-imagenet-200")
CLAIMS: list[Claim] = [
    *attacks.CLAIMS,
    *training.CLAIMS,
    *overfitting.CLAIMS,
    *robustness.CLAIMS,
    *generation.CLAIMS,
]
