"""Networks from weights files as other repositories publish them."""

from pathlib import Path

from torch import nn

from robustlens.errors import RobustlensError
from robustlens.models.normalised import Normalised
from robustlens.models.published_files import published_content
from robustlens.models.published_layouts import StoredNormalisation, stored_normalisation, to_plain
from robustlens.models.published_parts import chosen_part
from robustlens.models.weights import build

DECIMALS = 1e-4  # to which constants of normalisations are published


def load_published(
    path: Path, architecture: dict, channels: int, classes: int, part: str | int | None = None
) -> nn.Module:
    """The network whose weights `path` holds, in eval mode.

    path: a third-party file, safetensors or torch.save, in a layout of `published_layouts`. It is never unpickled.
    part: which of the state dicts in the file, where there are several (see `chosen_part`).
    Raises RobustlensError if the weights or their input normalisation don't fit, if they need unpickling, and where it
    is not clear which state dict is meant.
    """
    model = build(architecture, channels, classes)
    network = model.network if isinstance(model, Normalised) else model
    expected = network.state_dict().keys()
    try:
        chosen = chosen_part(published_content(path), expected, None if part is None else str(part))
    except RobustlensError as error:
        raise RobustlensError(f"{path}: {error}") from error
    try:
        network.load_state_dict(to_plain(chosen.state, expected, chosen.prefix))
        stored = stored_normalisation(chosen.state, expected, chosen.prefix)
        _check_normalisation(stored, architecture.get("normalisation"))
    except (RobustlensError, RuntimeError) as error:
        raise RobustlensError(f"{path}: not the weights of {architecture}: {error}") from error
    return model.eval()


def _check_normalisation(stored: list[StoredNormalisation], wanted: dict | None) -> None:
    """The normalisation that came with published weights must be the architecture's: it is not loaded with them. Four
    decimals count, as far as the file has them."""
    for pair in stored:
        given = {"mean": pair.mean, "std": pair.std}
        same = wanted and all(
            len(values) == len(wanted[name])
            and all(abs(a - b) <= DECIMALS + pair.rounding * abs(b) for a, b in zip(values, wanted[name], strict=True))
            for name, values in given.items()
        )
        if not same:
            shown = {name: [round(value, 4) for value in values] for name, values in given.items()}
            advice = "; give the architecture this `normalisation`"
            if pair.rounding > DECIMALS:
                kind = str(pair.dtype).removeprefix("torch.")
                advice = f", rounded to {kind}; give the architecture the `normalisation` that its authors state"
            raise RobustlensError(f"the file normalises inputs by {shown}{advice}")
