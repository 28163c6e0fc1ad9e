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
        adam(
            list(self.parameters.values()),
            list(gradients),
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
