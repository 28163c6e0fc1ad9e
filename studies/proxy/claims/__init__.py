"""The claims of "Robust Learning Meets Generative Models" (ICLR 2022), as far as its abstracts, its authors' replies
and the first author's blog post could be read. All say that something is greater than a bound; each rule stands above
its code in words.
"""

from robustlens.analysis.claims import Claim
from studies.proxy.claims import accuracy, distances
from studies.proxy.claims.data import read

__all__ = ["CLAIMS", "PAPER_DATASETS", "read"]

PAPER_DATASETS = (
    *("cifar10-cosine", "cifar10-cosine-wide", "cifar10-cosine-l2", "cifar10-cosine-l2-wide", "cifar10-smoothed"),
    *("cifar100-cosine", "celeba-cosine", "imagenet-64-cosine", "afhq-cosine"),
)
CLAIMS: list[Claim] = [*accuracy.CLAIMS, *distances.CLAIMS]
