"""Two BatchNorms in place of one: natural and adversarial images share the weights but no statistics (Xie et al. 2020).

Each has an affine map of its own, too, as in AR-AT (Waseda et al. 2025).
"""

import contextlib
import copy
from collections.abc import Iterator

from torch import Tensor, nn

ADVERSARIAL, NATURAL = "adversarial", "natural"


class SplitBatchNorm(nn.Module):
    """Normalises like `adversarial`; inside `natural_batchnorm`, like `natural`. At first both are alike."""

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        self.adversarial, self.natural, self.which = norm, copy.deepcopy(norm), ADVERSARIAL

    @property
    def num_features(self) -> int:
        return self.adversarial.num_features

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.which)(x)


def split(network: nn.Module) -> nn.Module:
    """`network` itself, with every BatchNorm2d split."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            network.set_submodule(name, SplitBatchNorm(module))
    return network


@contextlib.contextmanager
def natural_batchnorm(network: nn.Module) -> Iterator[None]:
    """Inside, the split BatchNorms of `network` normalise natural images. A network without any is left as it is."""
    norms = [module for module in network.modules() if isinstance(module, SplitBatchNorm)]
    for norm in norms:
        norm.which = NATURAL
    try:
        yield
    finally:
        for norm in norms:
            norm.which = ADVERSARIAL


def ordinary(network: nn.Module, which: str) -> nn.Module:
    """A copy of `network` that has, of each pair of BatchNorms, only this one (ADVERSARIAL or NATURAL)."""
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, SplitBatchNorm):
            network.set_submodule(name, getattr(module, which))
    return network
