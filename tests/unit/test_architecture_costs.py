"""The architectures' numbers of parameters and operations against sums by hand and published figures."""

import pytest
import torch
from networks import on_meta
from torch import nn


def wide_parameters(depth: int, widen_factor: int, classes: int) -> int:
    """3x3 convolutions without bias, BatchNorm before each, a 1x1 shortcut where the width changes."""
    total, inputs = 9 * 3 * 16, 16
    for width in (16 * widen_factor, 32 * widen_factor, 64 * widen_factor):
        total += inputs * width
        for _ in range((depth - 4) // 6):
            total += 2 * inputs + 9 * inputs * width + 2 * width + 9 * width * width
            inputs = width
    return total + 2 * inputs + inputs * classes + classes


def preact_parameters(classes: int) -> int:
    total, inputs = 9 * 3 * 64, 64
    for width in (64, 128, 256, 512):
        total += inputs * width if width != inputs else 0
        for _ in range(2):
            total += 2 * inputs + 9 * inputs * width + 2 * width + 9 * width * width
            inputs = width
    return total + 2 * 512 + 512 * classes + classes


def resnet_parameters(classes: int) -> int:
    """3x3 convolutions without bias, BatchNorm after each, a 1x1 shortcut with BatchNorm where the width changes."""
    total, inputs = 9 * 3 * 64 + 2 * 64, 64
    for width in (64, 128, 256, 512):
        total += inputs * width + 2 * width if width != inputs else 0
        total += 9 * inputs * width + 3 * 9 * width * width + 4 * 2 * width
        inputs = width
    return total + 512 * classes + classes


def imagenet_parameters() -> int:
    total, inputs = 49 * 3 * 64 + 2 * 64, 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        total += inputs * 4 * width + 2 * 4 * width
        for _ in range(count):
            total += inputs * width + 9 * width * width + width * 4 * width + 2 * (width + width + 4 * width)
            inputs = 4 * width
    return total + 2048 * 1000 + 1000


def small_cnn_parameters() -> int:
    convolutions = (9 * 1 * 32 + 32) + (9 * 32 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 64 + 64)
    return convolutions + (1024 * 200 + 200) + (200 * 200 + 200) + (200 * 10 + 10)


@pytest.mark.parametrize(
    ("architecture", "channels", "classes", "by_hand", "published"),
    [
        ({"family": "resnet"}, 3, 10, resnet_parameters(10), 11_173_962),
        ({"family": "resnet"}, 3, 200, resnet_parameters(200), 11_173_962 + 190 * (512 + 1)),
        ({"family": "preact-resnet"}, 3, 10, preact_parameters(10), 11_172_170),
        ({"family": "wide-resnet", "depth": 28}, 3, 10, wide_parameters(28, 10, 10), 36_479_194),
        ({"family": "wide-resnet"}, 3, 10, wide_parameters(34, 10, 10), 46_160_474),
        ({"family": "wide-resnet", "depth": 70, "widen_factor": 16}, 3, 10, wide_parameters(70, 16, 10), 266_796_506),
        ({"family": "dm-wide-resnet"}, 3, 100, wide_parameters(28, 10, 100), 36_536_884),
        ({"family": "small-cnn"}, 1, 10, small_cnn_parameters(), 312_202),
        ({"family": "imagenet-resnet"}, 3, 1000, imagenet_parameters(), 25_557_032),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_number_of_parameters(architecture, channels, classes, by_hand, published):
    found = sum(p.numel() for p in on_meta(architecture, channels, classes).parameters())
    assert found == by_hand == published


def multiply_adds(network: nn.Module, channels: int, side: int) -> int:
    """Of the convolutions and linear layers, for one image, as they run: the outputs times the weights of each."""
    found = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(
                lambda layer, inputs, output: found.append(output.numel() * layer.weight[0].numel())
            )
    network(torch.empty(1, channels, side, side, device="meta"))
    return sum(found)


@pytest.mark.parametrize(
    ("architecture", "gflop"),
    [
        ({"family": "resnet"}, 1.111),
        ({"family": "preact-resnet"}, 1.111),
        ({"family": "wide-resnet", "depth": 28}, 10.49),
        ({"family": "wide-resnet", "depth": 34}, 13.32),
        ({"family": "dm-wide-resnet", "depth": 28}, 10.49),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_flops_of_an_image_of_cifar(architecture: dict, gflop: float):
    """Two for each multiply-add; the figures of training-and-evaluation-peers.md 2.1."""
    assert round(2 * multiply_adds(on_meta(architecture), 3, 32) / 1e9, 3 if gflop < 10 else 2) == gflop


def resnet_multiply_adds(side: int, classes: int) -> int:
    """The stem, then stages of four 3x3 convolutions and, but in the first one, a 1x1 shortcut at half the side."""
    total, inputs = side**2 * 9 * 3 * 64, 64
    for width in (64, 128, 256, 512):
        side = side if width == inputs else side // 2
        total += side**2 * (9 * inputs * width + 3 * 9 * width * width + (inputs * width if width != inputs else 0))
        inputs = width
    return total + 512 * classes


def wide_multiply_adds(side: int, depth: int, widen_factor: int, classes: int) -> int:
    """The stem, then three stages of (depth - 4) / 6 pairs of 3x3 convolutions, each with a 1x1 shortcut."""
    total, inputs = side**2 * 9 * 3 * 16, 16
    for number in range(3):
        width, side = 16 * widen_factor * 2**number, side if number == 0 else side // 2
        total += side**2 * (inputs * width + 9 * inputs * width + 9 * width * width)
        total += side**2 * ((depth - 4) // 6 - 1) * 2 * 9 * width * width
        inputs = width
    return total + inputs * classes


def test_the_sums_by_hand_give_the_sheet_s_flops_at_32_pixels():
    assert round(2 * resnet_multiply_adds(32, 10) / 1e9, 3) == 1.111
    assert round(2 * wide_multiply_adds(32, 28, 10, 10) / 1e9, 2) == 10.49


@pytest.mark.parametrize(
    ("architecture", "by_hand"),
    [
        ({"family": "resnet"}, resnet_multiply_adds(64, 200)),
        ({"family": "preact-resnet"}, resnet_multiply_adds(64, 200)),
        ({"family": "wide-resnet", "depth": 28}, wide_multiply_adds(64, 28, 10, 200)),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_flops_of_an_image_of_tiny_imagenet(architecture: dict, by_hand: int):
    assert multiply_adds(on_meta(architecture, classes=200), 3, 64) == by_hand


def test_flops_of_an_image_of_mnist():
    """28 pixels become 26, 24 (pooled: 12), 10 and 8 (pooled: 4)."""
    convolutions = 26**2 * 9 * 1 * 32 + 24**2 * 9 * 32 * 32 + 10**2 * 9 * 32 * 64 + 8**2 * 9 * 64 * 64
    by_hand = convolutions + 4 * 4 * 64 * 200 + 200 * 200 + 200 * 10
    assert multiply_adds(on_meta({"family": "small-cnn"}, channels=1), 1, 28) == by_hand == 9_952_400


def test_flops_of_an_image_of_imagenet():
    """The stem and its pooling leave 56 x 56; the stride of a stage is in the 3x3 convolution of its first block."""
    by_hand, inputs, before = 112**2 * 49 * 3 * 64, 64, 56
    for width, blocks, side in ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)):
        by_hand += before**2 * inputs * width + side**2 * inputs * 4 * width  # the first 1x1, and the shortcut
        by_hand += side**2 * (9 * width * width + width * 4 * width)
        by_hand += (blocks - 1) * side**2 * (4 * width * width + 9 * width * width + width * 4 * width)
        inputs, before = 4 * width, side
    by_hand += 2048 * 1000
    assert multiply_adds(on_meta({"family": "imagenet-resnet"}, classes=1000), 3, 224) == by_hand
    assert round(by_hand / 1e9, 3) == 4.089  # as torchvision says of its ResNet-50
