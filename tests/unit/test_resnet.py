"""The CIFAR-style ResNet: its size, its shapes, its cost and its residual block."""

import numpy as np
import pytest
import torch
from torch import nn

from robustlens.models.resnet import BasicBlock, ResNet


def test_resnet18_has_the_published_number_of_parameters():
    network = ResNet().build(channels=3, classes=10)
    assert sum(p.numel() for p in network.parameters()) == 11_173_962


def test_parameters_of_a_small_network_counted_by_hand():
    network = ResNet(blocks=(1, 2), width=4).build(channels=1, classes=3)
    stem = 9 * 1 * 4 + 2 * 4  # 3x3 convolution, batch norm's scale and shift
    first = (9 * 4 * 4 + 2 * 4) * 2
    widening = (9 * 4 * 8 + 2 * 8) + (9 * 8 * 8 + 2 * 8) + (4 * 8 + 2 * 8)  # the last: 1x1 shortcut
    plain = (9 * 8 * 8 + 2 * 8) * 2
    linear = 8 * 3 + 3
    assert sum(p.numel() for p in network.parameters()) == stem + first + widening + plain + linear


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 8, 10), (3, 32, 10), (3, 32, 100), (3, 64, 200)])
def test_shapes(channels: int, size: int, classes: int):
    network = ResNet(width=8).build(channels, classes).eval()
    images = torch.rand(2, channels, size, size)
    with torch.no_grad():
        assert network(images).shape == (2, classes)
        assert network.features(images).shape == (2, 64)


def test_forward_is_the_linear_layer_on_the_features():
    network = ResNet(blocks=(1, 1), width=8).build(channels=3, classes=10).eval()
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, logits = network.features(images).numpy(), network(images).numpy()
    weight, bias = network.linear.weight.detach().numpy(), network.linear.bias.detach().numpy()
    assert np.ptp(logits) > 0.01
    np.testing.assert_allclose(logits, features @ weight.T + bias, atol=1e-5)


def test_features_are_the_mean_over_positions_of_the_last_block():
    network = ResNet(blocks=(1, 1), width=8).build(channels=3, classes=10).eval()
    seen = []
    network.blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = network.features(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(features.numpy(), seen[0].numpy().mean(axis=(2, 3)), atol=1e-6)


def test_flops_of_resnet18():
    """1.111 GFLOP an image of CIFAR-10, two for each multiply-add of a convolution or of the linear layer.

    The number is that of `torch.utils.flop_counter.FlopCounterMode`, whose import takes seconds that a hook does not.
    """
    network, flops = ResNet().build(channels=3, classes=10).eval(), []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(
                lambda layer, inputs, output: flops.append(2 * output.numel() * layer.weight[0].numel())
            )
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    assert len(flops) == 21  # 17 convolutions of 3x3, 3 shortcuts, 1 linear layer
    assert sum(flops) == 1_110_845_440


def test_every_later_stage_halves_the_resolution_and_doubles_the_width():
    network = ResNet(blocks=(2, 1, 2), width=4).build(channels=3, classes=10).eval()
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    assert shapes == [(4, 32, 32), (4, 32, 32), (8, 16, 16), (16, 8, 8), (16, 8, 8)]


def convolve(image: np.ndarray, weight: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """A convolution of (C, H, W) with (O, C, k, k), position by position."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    size = weight.shape[-1]
    rows = range(0, padded.shape[1] - size + 1, stride)
    columns = range(0, padded.shape[2] - size + 1, stride)
    out = np.zeros((len(weight), len(rows), len(columns)))
    for o, kernel in enumerate(weight):
        for i, r in enumerate(rows):
            for j, c in enumerate(columns):
                out[o, i, j] = (padded[:, r : r + size, c : c + size] * kernel).sum()
    return out


def normalise(image: np.ndarray, norm: nn.BatchNorm2d) -> np.ndarray:
    mean, variance, scale, shift = (
        t.detach().numpy()[:, None, None] for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (image - mean) / np.sqrt(variance + 1e-5) * scale + shift


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(2, 2, 1), (2, 4, 2), (2, 4, 1)])
def test_block_is_post_activation(inputs: int, outputs: int, stride: int):
    """relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut x), the shortcut a 1x1 convolution where the shape changes."""
    generator = torch.Generator().manual_seed(3)
    block = BasicBlock(inputs, outputs, stride).double().eval()
    with torch.no_grad():
        for tensor in (*block.parameters(), *(b for b in block.buffers() if b.is_floating_point())):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)
        for norm in (m for m in block.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.running_var.abs_()
        image = torch.rand(inputs, 6, 6, generator=generator, dtype=torch.float64)
        found = block(image[None])[0].numpy()

    image, weights = image.numpy(), {name: p.detach().numpy() for name, p in block.named_parameters()}
    hidden = np.maximum(normalise(convolve(image, weights["conv1.weight"], stride, 1), block.bn1), 0)
    hidden = normalise(convolve(hidden, weights["conv2.weight"], 1, 1), block.bn2)
    shortcut = image
    if (inputs, stride) != (outputs, 1):
        shortcut = normalise(convolve(image, weights["shortcut.0.weight"], stride, 0), block.shortcut[1])
    assert (hidden + shortcut < 0).any()
    np.testing.assert_allclose(found, np.maximum(hidden + shortcut, 0), atol=1e-10)
