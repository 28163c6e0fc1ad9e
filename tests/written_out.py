"""A small residual network, written out from named tensors alone: what equations of methods are tested with."""

import torch.nn.functional as F
from torch import Tensor


class WrittenOut:
    """The network of `resnet` with one basic block per stage.

    tensors: as a learner's state names them. split: BatchNorms for natural images beside those for adversarial ones.
    eval_mode: BatchNorm by its running statistics, not by those of the batch.
    """

    def __init__(self, tensors: dict[str, Tensor], split: bool = False, eval_mode: bool = False):
        self.tensors, self.split, self.eval_mode = tensors, split, eval_mode

    def norm(self, x: Tensor, name: str, which: str) -> Tensor:
        place = f"network.{name}.{which}" if self.split else f"network.{name}"
        if self.eval_mode:
            mean, variance = (self.tensors[f"{place}.running_{part}"].view(1, -1, 1, 1) for part in ("mean", "var"))
        else:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        scale, shift = (self.tensors[f"{place}.{part}"].view(1, -1, 1, 1) for part in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def conv(self, x: Tensor, name: str, stride: int = 1, padding: int = 1) -> Tensor:
        return F.conv2d(x, self.tensors[f"network.{name}.weight"], stride=stride, padding=padding)

    def network(self, x: Tensor, which: str = "adversarial") -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and what layers give. which: of two BatchNorms, `adversarial` or `natural`."""
        seen, out = {}, self.norm(self.conv(x, "conv1"), "bn1", which).clamp_min(0)
        for stage, stride in (("layer1.0", 1), ("layer2.0", 2)):
            if f"network.{stage}.conv1.weight" not in self.tensors:
                break
            first = seen[f"{stage}.bn1"] = self.norm(self.conv(out, f"{stage}.conv1", stride), f"{stage}.bn1", which)
            second = self.norm(self.conv(first.clamp_min(0), f"{stage}.conv2"), f"{stage}.bn2", which)
            seen[f"{stage}.bn2"], shortcut = second, out
            if stride == 2:
                projected = self.conv(out, f"{stage}.shortcut.0", stride, padding=0)
                shortcut = self.norm(projected, f"{stage}.shortcut.1", which)
            out = (second + shortcut).clamp_min(0)
        seen["penultimate"] = out.mean((2, 3))
        weight, bias = self.tensors["network.linear.weight"], self.tensors["network.linear.bias"]
        return seen["penultimate"] @ weight.T + bias, seen


def cross_entropy(logits: Tensor, y: int) -> Tensor:
    """Of one image: logits (K,)."""
    return logits.exp().sum().log() - logits[y]
