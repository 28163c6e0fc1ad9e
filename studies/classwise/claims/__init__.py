"""The claims of "Analysis and Applications of Class-wise Robustness in Adversarial Training" (KDD 2021) and of its
earlier version, as far as their abstracts could be read, and a prediction of ours. All say that something is greater
than a bound; each rule stands above its code in words.
"""

from robustlens.analysis.claims import Claim
from studies.classwise.claims import classes, defence, errors, removal, temperature
from studies.classwise.claims.data import read

__all__ = ["CLAIMS", "PAPER_DATASETS", "read"]

PAPER_DATASETS = ("mnist", "cifar10", "cifar100", "svhn", "stl10", "imagenet")
CLAIMS: list[Claim] = [
    *(*classes.CLAIMS, *errors.CLAIMS, *temperature.CLAIMS, *defence.CLAIMS, *removal.CLAIMS),
]
