"""Which of our architectures a file of weights is of, told by the names and shapes in it."""

import itertools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robustlens.errors import RobustlensError
from robustlens.models.imagenet_resnet import STAGES
from robustlens.models.published_files import published_content
from robustlens.models.published_layouts import UNUSED, some, stored_normalisation, to_plain, without_wrappers
from robustlens.models.published_parts import Part, chosen_part, state_dicts
from robustlens.models.weights import build

Shapes = Mapping[str, tuple[int, ...]]  # by the names of a network's weights
NUMBER = r"\.(\d+)\."


@dataclass(frozen=True)
class Guess:
    """architecture: as a configuration has it, with the normalisation that is in the file, if one is. channels: of
    images; None where the first layer does not show it. classes: of their labels."""

    architecture: dict[str, Any]
    channels: int | None
    classes: int


@dataclass(frozen=True)
class Layout:
    """How to know a family. anchor: a name that its networks have; first, last: the layers that show the channels of
    images and the number of classes. read: the family's parameters from names and shapes; None where they are not of
    this family."""

    family: str
    anchor: str
    first: str
    last: str
    read: Callable[[Shapes], dict[str, Any] | None]


def guess(path: Path, part: str | None = None) -> Guess:
    """The architecture whose network takes all weights of a file, and leaves none over.

    path, part: see `load_published`. Of what shapes do not show, such as dropout, it has our defaults.
    Raises RobustlensError for a file that can't be read, one that no architecture of ours fits (with what is there, and
    the one that comes nearest), one whose last layer may be of two kinds, and one of several state dicts without a
    `part`.
    """
    try:
        content = published_content(path)
        guesses = _candidates(content)
        if not guesses:
            raise RobustlensError(f"of none of our architectures; {_inventory(content)}")
        return _fitting(content, guesses, part)
    except RobustlensError as error:
        raise RobustlensError(f"{path}: {error}") from error


def described(architecture: Mapping[str, Any]) -> str:
    """An architecture in one line, as one would write it into a configuration."""
    return "{" + ", ".join(f"{key}: {_shown(value)}" for key, value in architecture.items()) + "}"


def _shown(value: Any) -> str:
    return described(value) if isinstance(value, Mapping) else str(value)


# Candidates -----------------------------------------------------------------------------------------------------------


def _candidates(content: Any) -> list[Guess]:
    """Each once: what the names in a file look like."""
    found = []
    for _, state in state_dicts(content):
        shapes = {without_wrappers(name): tuple(tensor.shape) for name, tensor in state.items()}
        for layout in LAYOUTS:
            found += [_read(layout, own) for own in _under_prefixes(shapes, layout.anchor)]
    return [candidate for number, candidate in enumerate(found) if candidate and candidate not in found[:number]]


def _under_prefixes(shapes: Shapes, anchor: str) -> list[Shapes]:
    """The names that follow each prefix under which there is such a name."""
    prefixes = [name.removesuffix(anchor) for name in shapes if f".{name}".endswith(f".{anchor}")]
    return [
        {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
        for prefix in prefixes
        if not prefix.startswith(UNUSED)
    ]


def _read(layout: Layout, shapes: Shapes) -> Guess | None:
    first, last = shapes.get(layout.first, ()), shapes.get(layout.last, ())
    if len(first) not in (2, 4) or len(last) != 2 or len(shapes[layout.anchor]) not in (2, 4):
        return None
    parameters = layout.read(shapes)
    if parameters is None:
        return None
    architecture = {"family": layout.family, **parameters}
    if layout.last.removesuffix("weight") + "bias" not in shapes:
        raise RobustlensError(
            f"its last layer, {layout.last}, has no bias: that of hypersphere embedding, whose logits are cosines, is "
            f"{described(architecture | {'head': 'cosine'})}, which has to be said; a plain one without a bias is none "
            "of ours"
        )
    return Guess(architecture, channels=first[1] if len(first) == 4 else None, classes=last[0])


def _fitting(content: Any, guesses: list[Guess], part: str | None) -> Guess:
    """The candidate that all weights fit; by their names no two families have the same."""
    nearest = None
    for candidate in guesses:
        with torch.device("meta"):
            network = build(candidate.architecture, candidate.channels or 1, candidate.classes)
        expected = network.state_dict()
        chosen = chosen_part(content, expected.keys(), part)
        try:
            _check_shapes(to_plain(chosen.state, expected.keys(), chosen.prefix), expected)
        except RobustlensError as error:
            nearest = f"most like {described(candidate.architecture)}, but not that: {error}"
        else:
            return _normalised(candidate, chosen, expected.keys())
    raise RobustlensError(nearest)


def _check_shapes(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    other = [
        f"{name} is {_by(found[name].shape)} in place of {_by(tensor.shape)}"
        for name, tensor in expected.items()
        if found[name].shape != tensor.shape
    ]
    if other:
        raise RobustlensError(f"other shapes: {some(other)}")


def _normalised(candidate: Guess, chosen: Part, expected: Collection[str]) -> Guess:
    stored = stored_normalisation(chosen.state, expected, chosen.prefix)
    if len({(tuple(pair.mean), tuple(pair.std)) for pair in stored}) != 1:
        return candidate
    normalisation = {name: [float(f"{v:.6g}") for v in getattr(stored[0], name)] for name in ("mean", "std")}
    architecture = candidate.architecture | {"normalisation": normalisation}
    return Guess(architecture, candidate.channels, candidate.classes)


def _inventory(content: Any) -> str:
    """What a file holds, by the first names and the last."""
    named = [f"{name} ({_by(tensor.shape)})" for _, state in state_dicts(content) for name, tensor in state.items()]
    if not named:
        return "it holds no weights"
    shown = named if len(named) <= 4 else [*named[:3], "...", named[-1]]
    return f"it holds {', '.join(shown)}"


def _by(shape: Collection[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


# Families -------------------------------------------------------------------------------------------------------------


def _count(shapes: Shapes, before: str) -> int:
    """How many parts there are behind a name that are numbered 0, 1, 2, ..."""
    numbers = {int(found[1]) for name in shapes if (found := re.match(re.escape(before) + NUMBER, name))}
    return next(number for number in itertools.count() if number not in numbers)


def _stages(shapes: Shapes) -> list[int]:
    """Blocks of `layer1`, `layer2`, ..."""
    blocks = []
    while count := _count(shapes, f"layer{len(blocks) + 1}"):
        blocks.append(count)
    return blocks


def _resnet(shapes: Shapes) -> dict[str, Any] | None:
    if shapes["conv1.weight"][2:] != (3, 3) or "bn1.weight" not in shapes:
        return None
    block = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
    return {"blocks": _stages(shapes), "width": shapes["conv1.weight"][0], "block": block}


def _preact_resnet(shapes: Shapes) -> dict[str, Any] | None:
    if "bn.weight" not in shapes:
        return None
    return {"blocks": _stages(shapes), "width": shapes["conv1.weight"][0]}


def _imagenet_resnet(shapes: Shapes) -> dict[str, Any] | None:
    kind = "Bottleneck" if "layer1.0.conv3.weight" in shapes else "BasicBlock"
    depth = next(
        (d for d, (block, blocks) in STAGES.items() if (block.__name__, blocks) == (kind, _stages(shapes))), None
    )
    return None if depth is None or shapes["conv1.weight"][2:] != (7, 7) else {"depth": depth}


def _wide(blocks: str, width: str) -> Callable[[Shapes], dict[str, Any]]:
    """blocks: what the blocks of the first stage are numbered behind. width: its first convolution."""
    return lambda shapes: {"depth": 6 * _count(shapes, blocks) + 4, "widen_factor": shapes[width][0] // 16}


def _small_cnn(_: Shapes) -> dict[str, Any]:
    return {}


def _mlp(shapes: Shapes) -> dict[str, Any]:
    names = (f"hidden.{2 * number}.weight" for number in itertools.count())  # a ReLU is between two of them
    hidden = [shapes[name] for name in itertools.takewhile(shapes.__contains__, names)]
    return {"inputs": hidden[0][1], "widths": [shape[0] for shape in hidden]}


LAYOUTS = (
    Layout("resnet", "layer1.0.conv1.weight", "conv1.weight", "linear.weight", _resnet),
    Layout("preact-resnet", "layer1.0.conv1.weight", "conv1.weight", "linear.weight", _preact_resnet),
    Layout("imagenet-resnet", "layer1.0.conv1.weight", "conv1.weight", "fc.weight", _imagenet_resnet),
    Layout(
        "wide-resnet",
        "block1.layer.0.conv1.weight",
        "conv1.weight",
        "fc.weight",
        _wide("block1.layer", "block1.layer.0.conv1.weight"),
    ),
    Layout(
        "dm-wide-resnet",
        "layer.0.block.0.conv_0.weight",
        "init_conv.weight",
        "logits.weight",
        _wide("layer.0.block", "layer.0.block.0.conv_0.weight"),
    ),
    Layout(
        "small-cnn",
        "feature_extractor.conv1.weight",
        "feature_extractor.conv1.weight",
        "classifier.fc3.weight",
        _small_cnn,
    ),
    Layout("mlp", "hidden.0.weight", "hidden.0.weight", "linear.weight", _mlp),
)
