"""The convolutions of a network by themselves: what follows the gradients of its images takes longer than they do."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ALONE = "its convolutions alone"
ALONE_REDUCED = f"{ALONE}, bfloat16"


class Convolutions:
    """A forward pass and one for the gradient of the images, through all convolutions and nothing else: channels-last,
    on random numbers. batch: images in a pass."""

    def __init__(self, model: nn.Module, batch: int, device: torch.device, dtype: torch.dtype = torch.float32):
        self.passes: list[tuple[Callable[[], Tensor], Callable[[], tuple]]] = []

        def like(tensor: Tensor) -> Tensor:
            return torch.randn(tensor.shape).to(device, dtype, memory_format=torch.channels_last)

        def record(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
            x, weight, gradient = like(inputs[0]), like(layer.weight), like(output)
            options = (layer.stride, layer.padding, layer.dilation)
            shape = (*options, False, [0, 0], layer.groups, [True, False, False])  # of the images alone
            self.passes.append(
                (
                    lambda: F.conv2d(x, weight, None, *options, layer.groups),
                    lambda: torch.ops.aten.convolution_backward(gradient, x, weight, None, *shape),
                )
            )

        layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
        hooks = [layer.register_forward_hook(record) for layer in layers]
        with torch.no_grad():
            model(torch.zeros(batch, 3, 32, 32, device=device))
        for hook in hooks:
            hook.remove()

    def run(self) -> None:
        with torch.no_grad():
            for forward, _ in self.passes:
                forward()
            for _, backward in reversed(self.passes):
                backward()


def alone(
    model: nn.Module, batch: int, passes: int, device: torch.device, reduced: bool
) -> dict[str, Callable[[], None]]:
    """What runs so many of both passes. reduced: in bfloat16, too."""

    def of(dtype: torch.dtype) -> Callable[[], None]:
        convolutions = Convolutions(model, batch, device, dtype)

        def run() -> None:
            for _ in range(passes):
                convolutions.run()

        return run

    return {ALONE: of(torch.float32)} | ({ALONE_REDUCED: of(torch.bfloat16)} if reduced else {})
