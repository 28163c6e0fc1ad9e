"""Adam (Kingma and Ba 2015), as a function of the learning rate.

PyTorch's own functional form: its optimiser classes import the compiler (seconds in every process).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

BETAS = 0.9, 0.999
SMALLEST = 1e-8  # is added to the root of the second moment


class Adam:
    """PyTorch's Adam with its defaults, without weight decay. `state` is all that it remembers, by name."""

    def __init__(self, model: nn.Module):
        self.parameters = dict(model.named_parameters())
        self.state: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            self.state[f"first.{name}"] = torch.zeros_like(parameter, requires_grad=False)
            self.state[f"second.{name}"] = torch.zeros_like(parameter, requires_grad=False)
            self.state[f"count.{name}"] = torch.zeros((), device=parameter.device)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """gradients: of the parameters, in their order."""
        first, second, count = (
            [self.state[f"{kind}.{name}"] for name in self.parameters] for kind in ("first", "second", "count")
        )
        parameters = list(self.parameters.values())
        adam(
            parameters,
            [laid_out_as(parameter, gradient) for parameter, gradient in zip(parameters, gradients, strict=True)],
            first,
            second,
            [],
            count,
            foreach=False,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=learning_rate,
            weight_decay=0.0,
            eps=SMALLEST,
            maximize=False,
        )

    def resume(self, state: dict[str, Tensor]) -> None:
        """Go on with this state, of a network with the same parameters."""
        self.state = {name: laid_out_as(own, state[name]) for name, own in self.state.items()}


def laid_out_as(model: Tensor, tensor: Tensor) -> Tensor:
    """The tensor on the device and in the memory format of another one: the fused form of Adam takes all of its tensors
    in one format, which it does not check on a processor."""
    if tensor.device == model.device and tensor.stride() == model.stride():
        return tensor
    return torch.empty_like(model).copy_(tensor)
