"""Networks from our own weights files, and back."""

from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.models.normalised import Normalised
from robustlens.parameters import create


class Head(Protocol):
    def build(self, features: int, classes: int) -> nn.Linear: ...


def build(architecture: dict, channels: int, classes: int) -> nn.Module:
    """A network with fresh weights, with `features(x)` (B, d) and the last layer `linear`.

    architecture: {"family": file of `models/`, **its parameters}, "head": file of `heads/` where the last layer is
        another one, and "normalisation": {"mean": [...], "std": [...]} (one number per channel) where inputs are
        normalised inside the model.
    Raises RobustlensError for a normalisation of another number of channels.
    """
    normalisation = architecture.get("normalisation")
    parameters = {key: value for key, value in architecture.items() if key not in ("family", "head", "normalisation")}
    network = create("models", architecture["family"], parameters).build(channels, classes)
    if "head" in architecture:
        _replace_last_layer(network, create("heads", architecture["head"], {}))
    if not normalisation:
        return network
    for name in ("mean", "std"):
        if len(normalisation[name]) != channels:
            raise RobustlensError(
                f"architecture.normalisation.{name}: has {len(normalisation[name])} numbers for images of {channels} "
                "channels; give one per channel"
            )
    return Normalised(network, normalisation["mean"], normalisation["std"])


def _replace_last_layer(network: nn.Module, head: Head) -> None:
    last = network.linear
    place = next(name for name, module in network.named_modules() if module is last)
    network.set_submodule(place, head.build(last.in_features, last.out_features))


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(save({name: t.detach().cpu().contiguous() for name, t in weights.items()}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a safetensors file. Raises RobustlensError for a file that can't be read."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise RobustlensError(f"{path}: the weights could not be read ({error}); make the file again") from error


def load_model(path: Path, architecture: dict, channels: int, classes: int, checkpoint: str | None = None) -> nn.Module:
    """The network whose weights a file of `save_weights` holds, in eval mode.

    checkpoint: of a file that holds several, the weights whose names begin with it and a dot.
    Raises RobustlensError if the file can't be read or has no such weights.
    """
    model, state = build(architecture, channels, classes), load_weights(path)
    if checkpoint is not None:
        prefix, there = f"{checkpoint}.", {name.partition(".")[0] for name in state}
        if checkpoint not in there:
            raise RobustlensError(f"{path}: no checkpoint {checkpoint!r}; it has {', '.join(sorted(there)) or 'none'}")
        state = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise RobustlensError(f"{path}: not the weights of {architecture}: {error}") from error
    return model.eval()
