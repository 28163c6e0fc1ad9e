"""The CIFAR-style ResNet: its size, its shapes, its cost and its residual block."""

import numpy as np
import pytest
import torch
from layers import arrays, convolve, normalise, relu, shaken
from torch import nn

from robustlens.models.resnet import BasicBlock, Bottleneck, ResNet


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
    network = ResNet(blocks=(1, 1), width=8).build(channels=3, classes=10).double().eval()
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        features, logits = network.features(images).numpy(), network(images).numpy()
    weight, bias = network.linear.weight.detach().numpy(), network.linear.bias.detach().numpy()
    assert np.ptp(logits) > 0.01
    np.testing.assert_allclose(logits, features @ weight.T + bias, rtol=1e-12, atol=1e-12)


def test_features_are_the_mean_over_positions_of_the_last_block():
    network = ResNet(blocks=(1, 1), width=8).build(channels=3, classes=10).double().eval()
    images, seen = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64), []
    network.layer2[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = network.features(images)
    np.testing.assert_allclose(features.numpy(), seen[0].numpy().mean(axis=(2, 3)), rtol=1e-12, atol=1e-12)


def test_flops_of_resnet18():
    """1.111 GFLOP per image of CIFAR-10, two for each multiply-add of a convolution or of the linear layer.

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
    for block in (*network.layer1, *network.layer2, *network.layer3):
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    assert shapes == [(4, 32, 32), (4, 32, 32), (8, 16, 16), (16, 8, 8), (16, 8, 8)]


def random_image(channels: int) -> torch.Tensor:
    return torch.rand(channels, 6, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64) - 0.5


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(2, 2, 1), (2, 4, 2), (2, 4, 1), (2, 2, 2)])
def test_block_is_post_activation(inputs: int, outputs: int, stride: int):
    """relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut x), the shortcut a 1x1 convolution where the shape changes."""
    torch.manual_seed(0)
    block, image = shaken(BasicBlock(inputs, outputs, stride).double()), random_image(inputs)
    with torch.no_grad():
        found = block(image[None])[0].numpy()

    image, weights = image.numpy(), arrays(block)
    hidden = relu(normalise(convolve(image, weights["conv1.weight"], stride, 1), block.bn1))
    hidden = normalise(convolve(hidden, weights["conv2.weight"], 1, 1), block.bn2)
    shortcut = image
    if (inputs, stride) != (outputs, 1):
        shortcut = normalise(convolve(image, weights["shortcut.0.weight"], stride, 0), block.shortcut[1])
    assert (hidden + shortcut < 0).any()
    np.testing.assert_allclose(found, relu(hidden + shortcut), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(8, 8, 1), (2, 8, 1), (4, 8, 2)])
def test_bottleneck_block(inputs: int, outputs: int, stride: int):
    """1x1 to a quarter of the outputs, 3x3 with the stride, 1x1 to the outputs, post-activation."""
    torch.manual_seed(0)
    block, image = shaken(Bottleneck(inputs, outputs, stride).double()), random_image(inputs)
    with torch.no_grad():
        found = block(image[None])[0].numpy()

    image, weights = image.numpy(), arrays(block)
    hidden = relu(normalise(convolve(image, weights["conv1.weight"], 1, 0), block.bn1))
    hidden = relu(normalise(convolve(hidden, weights["conv2.weight"], stride, 1), block.bn2))
    hidden = normalise(convolve(hidden, weights["conv3.weight"], 1, 0), block.bn3)
    shortcut = image
    if (inputs, stride) != (outputs, 1):
        shortcut = normalise(convolve(image, weights["shortcut.0.weight"], stride, 0), block.shortcut[1])
    assert weights["conv1.weight"].shape == (outputs // 4, inputs, 1, 1) and (hidden + shortcut < 0).any()
    np.testing.assert_allclose(found, relu(hidden + shortcut), rtol=0, atol=1e-10)


def test_resnet50_has_the_parameters_of_its_layers():
    """Of the CIFAR-style one: bottleneck blocks on widths of 64 to 512, outputs four times as wide."""
    with torch.device("meta"):
        network = ResNet(blocks=(3, 4, 6, 3), block="bottleneck").build(channels=3, classes=10)
    expected, inputs = 9 * 3 * 64 + 2 * 64, 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        expected += (inputs * 4 * width) + 2 * 4 * width  # the shortcut of the first block
        for _ in range(count):
            expected += inputs * width + 9 * width * width + width * 4 * width + 2 * (width + width + 4 * width)
            inputs = 4 * width
    expected += 2048 * 10 + 10
    assert expected == 23_520_842
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network.linear.in_features == 2048
