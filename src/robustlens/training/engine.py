"""How a network is run while it is trained: precision, memory format, compilation. Recorded with every run."""

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from robustlens.device import has_bfloat16
from robustlens.errors import RobustlensError

NARROW = 16  # channels in a block of the widest vector instructions
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass(frozen=True)
class Engine:
    """precision: `float32` or `bfloat16`; memory_format: `contiguous` or `channels-last`; compile: by torch.compile."""

    precision: str
    memory_format: str
    compile: bool

    @classmethod
    def choose(cls, settings: dict, device: torch.device, network: nn.Module) -> "Engine":
        """The configuration's `training` switches, with `auto` decided for this device and network.

        Raises RobustlensError where bfloat16 is asked for and the device does not have it, and where channels-last is
        asked for and would be computed wrongly.
        """
        precision = settings["precision"]
        if precision == "auto":
            precision = "bfloat16" if device.type == "cuda" and has_bfloat16(device) else "float32"
        if precision == "bfloat16" and not has_bfloat16(device):
            raise RobustlensError(
                f"training.precision: bfloat16 is not supported by this {device.type}; use float32 or auto"
            )
        safe = device.type != "cpu" or not has_narrow_projections(network)
        memory_format = settings["memory_format"]
        if memory_format == "auto":
            memory_format = "channels-last" if safe else "contiguous"
        if memory_format == "channels-last" and not safe:
            raise RobustlensError(
                "training.memory_format: channels-last is computed wrongly on a processor for strided 1x1 convolutions "
                f"of fewer than {NARROW} channels, which this network has; use contiguous or auto"
            )
        return cls(precision, memory_format, compile=settings["compile"] == "on")

    def facts(self) -> dict:
        return asdict(self)

    def place(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network on the device, its weights (float32) in the memory format."""
        return network.to(device, memory_format=FORMATS[self.memory_format])

    def fast(self, network: nn.Module, compiled: bool = True) -> "FastNetwork":
        """compiled: by torch.compile, if the engine says so."""
        return FastNetwork(network, self if compiled else replace(self, compile=False))


class FastNetwork(nn.Module):
    """The same network (the same parameters and buffers) as it is run: images (B, C, H, W) to float32 logits (B, K). Or
    another module, from one tensor to one in float32."""

    def __init__(self, network: nn.Module, engine: Engine):
        super().__init__()
        if engine.compile:
            # Train and eval mode, frozen and free weights, whole and last batches: there is a version for each, and
            # beyond the limit PyTorch would run the network uncompiled.
            torch._dynamo.config.recompile_limit = 64
        self.run = torch.compile(network) if engine.compile else network
        self.reduced = engine.precision == "bfloat16"
        self.memory_format = FORMATS[engine.memory_format]

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=self.memory_format) if x.dim() == 4 else x.contiguous()
        if not self.reduced:
            return self.run(x)
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            output = self.run(x)
        return output.float()


def has_narrow_projections(network: nn.Module) -> bool:
    """Whether the network has a strided 1x1 convolution of few channels. Its weight gradient in channels-last writes
    past its memory on a processor (github.com/uxlfoundation/oneDNN, issue 6035): wrong numbers, or a crash."""
    return any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.in_channels < NARROW
        for module in network.modules()
    )
