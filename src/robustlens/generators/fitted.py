"""Fitted generators, as files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from robustlens.atomic import replacing
from robustlens.data.prepared import PreparedDataset
from robustlens.errors import RobustlensError
from robustlens.generators.work import Work


def fit(generator: Any, data: PreparedDataset, seed: int, work: Work) -> Any:
    """The generator (see the package), fitted to the training images."""
    train = data.splits["train"]
    random = np.random.default_rng([seed, 0])
    return generator.fit(train.pixels(), np.array(train.labels), data.classes, random, work)


def write_fitted(fitted: Any, path: Path, made: dict[str, str]) -> None:
    """Its state as safetensors, atomically. made: what it was made from, as `read_fitted` will ask for it."""
    state = {name: np.ascontiguousarray(array) for name, array in fitted.state().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(state, made))


def read_fitted(path: Path, generator: Any, shape: tuple[int, ...], device: torch.device, made: dict[str, str]) -> Any:
    """The fitted generator of a file of `write_fitted`. shape: (C, H, W).

    made: what it must have been made from. Raises RobustlensError for a file that was made from something else or can't
    be read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            found = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        wrong = [name for name in made if found.get(name) != made[name]]
        if wrong:
            raise RobustlensError(
                f"{path}: fitted with another {wrong[0]} ({found.get(wrong[0])}, not {made[wrong[0]]}); delete it and "
                "run the same command again"
            )
        return generator.restored(state, shape, device)
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise RobustlensError(
            f"{path}: not a fitted generator ({error}); delete it and run the same command again"
        ) from error


def made_from(spec: dict, sheet: str) -> dict[str, str]:
    """What a fitted generator is made from, for its file. spec: of the job that fits it, or draws from it. sheet: the
    SHA-256 of the sheet of the dataset."""
    generator = {key: spec["generator"][key] for key in ("family", "parameters")}
    return {"dataset": sheet, "generator": json.dumps(generator, sort_keys=True), "seed": str(spec["seed"])}
