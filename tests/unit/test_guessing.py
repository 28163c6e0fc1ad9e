"""Which architecture a file of weights is of."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from robustlens.errors import RobustlensError
from robustlens.models import weights
from robustlens.models.guessing import described, guess
from robustlens.models.published import load_published

# Every family, at sizes that are not its defaults.
NETWORKS = [
    ({"family": "resnet", "blocks": [1, 2], "width": 8, "block": "basic"}, 1, 7),
    ({"family": "resnet", "blocks": [1, 1, 1], "width": 4, "block": "bottleneck"}, 3, 10),
    ({"family": "preact-resnet", "blocks": [2, 1], "width": 6}, 3, 10),
    ({"family": "wide-resnet", "depth": 16, "widen_factor": 2}, 3, 10),
    ({"family": "dm-wide-resnet", "depth": 10, "widen_factor": 1}, 3, 100),
    ({"family": "imagenet-resnet", "depth": 18}, 3, 9),
    ({"family": "imagenet-resnet", "depth": 50}, 3, 9),
    ({"family": "small-cnn"}, 1, 10),
]
CASES = [pytest.param(*case, id=described(case[0])) for case in NETWORKS]
RESNET = NETWORKS[0][0]
CIFAR = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2471, 0.2435, 0.2616]}


def state_dict(architecture: dict = RESNET, channels: int = 1, classes: int = 7) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return weights.build(architecture, channels, classes).state_dict()


def saved(content: dict, folder: Path) -> Path:
    torch.save(content, folder / "my.pt")
    return folder / "my.pt"


@pytest.mark.parametrize(("architecture", "channels", "classes"), CASES)
def test_each_family_is_told_by_its_weights_and_loads_by_what_was_told(architecture, channels, classes, tmp_path):
    path = saved(state_dict(architecture, channels, classes), tmp_path)
    found = guess(path)
    assert (found.architecture, found.channels, found.classes) == (architecture, channels, classes)
    load_published(path, found.architecture, channels, classes)


def test_a_perceptron_of_many_layers_is_told_in_the_order_of_its_layers(tmp_path):
    architecture = {"family": "mlp", "inputs": 12, "widths": [5, 6, 7, 8, 9, 10, 11]}
    save_file(state_dict(architecture), tmp_path / "my.safetensors")  # whose names are sorted as texts: 10 before 2
    found = guess(tmp_path / "my.safetensors")
    assert (found.architecture, found.channels, found.classes) == (architecture, None, 7)


def test_wrappers_and_what_stands_beside_the_weights_do_not_matter(tmp_path):
    plain = state_dict()
    averaged = AveragedModel(torch.nn.DataParallel(weights.build(RESNET, 1, 7))).state_dict()
    behind = {f"model.{name}": tensor for name, tensor in plain.items()}
    for state in (averaged, behind, {"epoch": 3, "state_dict": plain, "optimizer": {"state": {0: {"x": plain}}}}):
        assert guess(saved(state, tmp_path)).architecture == RESNET


def test_the_normalisation_in_a_file_is_part_of_the_architecture(tmp_path):
    constants = {
        "mu": torch.tensor(CIFAR["mean"]).view(1, 3, 1, 1),
        "sigma": torch.tensor(CIFAR["std"]).view(1, 3, 1, 1),
    }
    path = saved(constants | {f"model.{name}": t for name, t in state_dict(RESNET, 3, 7).items()}, tmp_path)
    found = guess(path)
    assert found.architecture == RESNET | {"normalisation": CIFAR}
    load_published(path, found.architecture, 3, 7)


def test_of_several_state_dicts_one_has_to_be_named(tmp_path):
    path = saved({"last": state_dict(), "best": state_dict()}, tmp_path)
    with pytest.raises(RobustlensError, match=r"2 state dicts, 'last', 'best': .*PART=NAME"):
        guess(path)
    assert guess(path, "best").architecture == RESNET


def changed(name: str, shape: tuple[int, ...]) -> dict[str, Tensor]:
    return state_dict() | {name: torch.zeros(shape)}


def of_torchvision() -> dict[str, Tensor]:
    """The names of torchvision's ResNet with a stem for small images, which is none of ours: where it halves images is
    not in its weights."""
    return {name.replace("linear.", "fc.").replace("shortcut", "downsample"): t for name, t in state_dict().items()}


REFUSED = {
    "other names": (
        lambda: {"a.weight": torch.zeros(8, 1, 3, 3), "b.bias": torch.zeros(2)},
        "of none of our architectures; it holds a.weight (8x1x3x3), b.bias (2)",
    ),
    "torchvision's": (of_torchvision, "of none of our architectures; it holds conv1.weight (8x1x3x3)"),
    "another shape": (
        lambda: changed("layer2.1.conv2.weight", (16, 16, 1, 1)),
        f"most like {described(RESNET)}, but not that: other shapes: 1 "
        "(layer2.1.conv2.weight is 16x16x1x1 in place of 16x16x3x3)",
    ),
    "one weight too many": (
        lambda: changed("attention.weight", (8, 8)),
        "but not that: missing entries: none; unexpected entries: 1 (attention.weight)",
    ),
    "one weight too few": (
        lambda: {n: t for n, t in state_dict().items() if n != "bn1.bias"},
        "but not that: missing entries: 1 (bn1.bias)",
    ),
    "a number too high": (
        lambda: changed("layer3.999999999.conv1.weight", (8, 8, 3, 3)),
        "unexpected entries: 1 (layer3.999999999.conv1.weight)",
    ),
    "no block of a width": (
        lambda: {n.replace("layer1.0", "layer1.1"): t for n, t in state_dict().items()},
        "of none of our architectures",
    ),
    "a vector for a matrix": (lambda: changed("linear.weight", (7,)), "of none of our architectures"),
    "a last layer without bias": (
        lambda: {n: t for n, t in state_dict().items() if n != "linear.bias"},
        "its last layer, linear.weight, has no bias: that of hypersphere embedding, whose logits are cosines, is "
        f"{described(RESNET | {'head': 'cosine'})}, which has to be said",
    ),
    "a number for a kernel": (lambda: changed("layer1.0.conv1.weight", ()), "of none of our architectures"),
    "no weights": (lambda: {"epoch": 3}, "of none of our architectures; it holds no weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_what_is_there(case, tmp_path):
    content, message = REFUSED[case]
    path = saved(content(), tmp_path)
    with pytest.raises(RobustlensError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}"):
        guess(path)
