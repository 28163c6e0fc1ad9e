"""Stochastic gradient descent with momentum, as a function of learning rate and momentum.

PyTorch's own functional form: its optimiser classes import the compiler (seconds in every process), and keep the
rates, which here follow from the step alone, in a state of theirs.
"""

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class Descent:
    """v <- momentum v + g with g = gradient + weight_decay w, then w <- w - learning_rate v, on all parameters; v
    starts as the first g. nesterov: w <- w - learning_rate (g + momentum v) instead."""

    def __init__(self, model: nn.Module, weight_decay: float, nesterov: bool, fused: bool):
        self.parameters = dict(model.named_parameters())
        self.weight_decay, self.nesterov, self.fused = weight_decay, nesterov, fused
        self.velocities: dict[str, Tensor] = {}

    def clear_gradients(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None

    def step(self, learning_rate: float, momentum: float) -> None:
        """Parameters without a gradient stay as they are, weight decay included."""
        reached = {name: parameter for name, parameter in self.parameters.items() if parameter.grad is not None}
        # PyTorch's fused form takes either velocities of all parameters or of none.
        for begun in (True, False):
            self._step({n: p for n, p in reached.items() if (n in self.velocities) is begun}, learning_rate, momentum)

    @torch.no_grad()
    def _step(self, moving: dict[str, nn.Parameter], learning_rate: float, momentum: float) -> None:
        if not moving:
            return
        velocities = [self.velocities.get(name) for name in moving]
        sgd(
            list(moving.values()),
            [parameter.grad for parameter in moving.values()],
            velocities,
            has_sparse_grad=False,
            foreach=False,
            fused=self.fused,
            lr=learning_rate,
            momentum=momentum,
            weight_decay=self.weight_decay,
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
        )
        self.velocities |= {n: v for n, v in zip(moving, velocities, strict=True) if v is not None}  # without momentum

    def resume(self, velocities: dict[str, Tensor]) -> None:
        """Go on with these, in the memory format of the weights: the fused form takes no other."""
        self.velocities = {n: torch.empty_like(self.parameters[n]).copy_(v) for n, v in velocities.items()}
