"""Networks from weights files, and back."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.parameters import create


def build(architecture: dict, channels: int, classes: int) -> nn.Module:
    """A network with fresh weights. architecture: {"family": file of `models/`, **its parameters}."""
    parameters = {key: value for key, value in architecture.items() if key != "family"}
    return create("models", architecture["family"], parameters).build(channels, classes)


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(save({name: t.detach().cpu().contiguous() for name, t in weights.items()}))


def load_model(path: Path, architecture: dict, channels: int, classes: int) -> nn.Module:
    """The network whose weights `path` holds, in eval mode. Raises RobustlensError if they don't fit."""
    model = build(architecture, channels, classes)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise RobustlensError(f"{path}: not the weights of {architecture}: {error}") from error
    return model.eval()
