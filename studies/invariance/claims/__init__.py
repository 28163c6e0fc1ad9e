"""The claims of "Rethinking Invariance Regularization in Adversarial Training" (ICLR 2025), as far as its pages, its
authors' replies and its code could be read, and predictions of ours. All say that something is greater than a bound;
each rule stands above its code in words.
"""

from robustlens.analysis.claims import Claim
from studies.invariance.claims import accuracy, mechanism
from studies.invariance.claims.data import read

__all__ = ["CLAIMS", "PAPER_DATASETS", "read"]

PAPER_DATASETS = ("cifar10-step", "cifar100-step", "cifar10-step-wide", "cifar100-step-wide", "imagenette-step")
CLAIMS: list[Claim] = [*mechanism.CLAIMS, *accuracy.CLAIMS]
