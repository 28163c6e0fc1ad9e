"""How the classes of the images that an epoch was trained on were classified, counted from the losses' own passes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("natural", "adversarial")


@dataclass(frozen=True)
class ClassStatistics:
    """right, total: images of each class, (K,). softmax: the mean softmax (K, K) of the images of each class, a row
    each; NaN where there were none."""

    right: Tensor
    total: Tensor
    softmax: Tensor


class ClassCounts(nn.Module):
    """Sums over an epoch, in float64, of what every process has seen: (processes, kinds, ...) each, so that a run that
    resumes goes on with the very numbers."""

    def __init__(self, processes: int, classes: int):
        super().__init__()
        shape = (processes, len(KINDS), classes)
        self.register_buffer("right", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("total", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("softmax", torch.zeros((*shape, classes), dtype=torch.float64))

    @torch.no_grad()
    def add(self, rank: int, logits: dict[str, Tensor], y: Tensor) -> None:
        """logits: of natural and of adversarial images, (B, K) each; kinds that are missing count nothing."""
        of_class = F.one_hot(y, self.right.shape[2]).double().T  # (K, B): products with it add up in a fixed order
        for kind, values in logits.items():
            place = rank, KINDS.index(kind)
            self.right[place] += of_class @ (values.argmax(1) == y).double()
            self.total[place] += of_class.sum(1)
            self.softmax[place] += of_class @ F.softmax(values, dim=1).double()

    def clear(self) -> None:
        for buffer in self.buffers():
            buffer.zero_()

    def result(self, sums: dict[str, Tensor]) -> dict[str, ClassStatistics]:
        """sums: this module's buffers, summed over the processes."""
        right, total, softmax = (sums[name].sum(0) for name in ("right", "total", "softmax"))
        mean = softmax / total.unsqueeze(2)
        return {kind: ClassStatistics(right[n], total[n], mean[n]) for n, kind in enumerate(KINDS)}
