"""Networks that find the noise in an image, for diffusion models."""

import math

import torch
from torch import Tensor, nn

from robustlens.errors import RobustlensError

GROUPS = 8  # of GroupNorm in the UNet


def unet(shape: tuple[int, ...], width: int, depth: int, classes: int) -> nn.Module:
    """The UNet of the package diffusers: `depth` levels of two residual blocks, of `width` channels and from the second
    on of twice as many, with attention in the second and in the middle (as Ho et al. 2020 on CIFAR-10).

    Raises RobustlensError for images whose sides can't be halved `depth` - 1 times, and for a width that is no multiple
    of GROUPS.
    """
    from diffusers import UNet2DModel

    if any(side % 2 ** (depth - 1) for side in shape[1:]):
        raise RobustlensError(
            f"a unet of depth {depth} halves images {depth - 1} times, which {shape[1]}x{shape[2]} pixels can't be; "
            "lower the generator's `depth`"
        )
    if width % GROUPS:
        raise RobustlensError(f"the generator's `width` is {width}, and a unet needs a multiple of {GROUPS}")
    attention = [level == 1 for level in range(depth)]
    network = UNet2DModel(
        in_channels=shape[0],
        out_channels=shape[0],
        block_out_channels=tuple(width if level == 0 else 2 * width for level in range(depth)),
        layers_per_block=2,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        norm_num_groups=GROUPS,
        num_class_embeds=classes or None,
    )
    return _OfDiffusers(network)


class _OfDiffusers(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, level: Tensor, label: Tensor | None) -> Tensor:
        return self.network(x, level, class_labels=label).sample


class MLP(nn.Module):
    """`depth` residual blocks of `width` on the flat image; level and label are added in each of them. The image itself
    is in the result, too, each value times a number that depends on the level: where there is much noise, it is nearly
    all noise, which blocks that are narrow can't pass on."""

    def __init__(self, shape: tuple[int, ...], width: int, depth: int, classes: int):
        super().__init__()
        values = math.prod(shape)
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.class_embedding = nn.Embedding(classes, width) if classes else None
        self.first = nn.Linear(values, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.last, self.share = nn.Linear(width, values), nn.Linear(width, values)
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(width // 2, dtype=torch.float64) / (width // 2))
        self.register_buffer("frequencies", frequencies.float(), persistent=False)

    def forward(self, x: Tensor, level: Tensor, label: Tensor | None) -> Tensor:
        """x: (B, C, H, W). level: (B,) from 0. label: int64 (B,), or None."""
        angles = level[:, None] * self.frequencies
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        told = time if label is None else time + self.class_embedding(label)
        flat = torch.flatten(x, 1)
        hidden = self.first(flat)
        for block in self.blocks:
            hidden = block(hidden, told)
        return (self.last(hidden) + self.share(time) * flat).view_as(x)


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm, self.told = nn.LayerNorm(width), nn.Linear(width, width)
        self.into, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, hidden: Tensor, told: Tensor) -> Tensor:
        inside = self.into(self.norm(hidden)) + self.told(nn.functional.silu(told))
        return hidden + self.out(nn.functional.silu(inside))
