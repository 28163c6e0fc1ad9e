"""Samples of one classifier: made, kept and read back."""

import itertools
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from robustlens.atomic import replacing
from robustlens.errors import RobustlensError
from robustlens.generation.sampler import Sampler, Samples


def generate(
    model: nn.Module,
    train_images: np.ndarray,
    train_labels: np.ndarray,
    sampler: Sampler,
    per_class: int,
    seed: int,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """per_class samples of each class of train_labels (n,), on the model's device.

    train_images: float32 (n, C, H, W) in [0, 1], of which the starting points are made.
    batch_size: images that are sampled together; with the seed it determines the samples.
    progress: called with (steps done, steps in all) over all batches.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = sampler.start(np.asarray(train_images), np.asarray(train_labels), per_class, generator)
    device = next(model.parameters()).device
    # A stream of its own: the starting points are drawn on the CPU, the noise where the model is.
    noise_generator = torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))

    done, total = itertools.count(1), sampler.steps * math.ceil(len(x) / batch_size)

    def after_step() -> None:
        if progress is not None:
            progress(next(done), total)

    return sampler.run(model, x.to(device), y.to(device), batch_size, noise_generator, after_step)


def save_samples(path: Path, samples: Samples) -> None:
    """The samples as .npz arrays, without pickle; the file appears whole or not at all. Same samples, same bytes."""
    chain = {f"chain_{name}": samples.chain[name].to_numpy() for name in samples.chain}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, images=samples.images, labels=samples.labels, **chain)


def load_samples(path: Path) -> Samples:
    """What `save_samples` wrote. Raises RobustlensError if the file is missing or is not such a file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            chain = {name.removeprefix("chain_"): arrays[name] for name in arrays.files if name.startswith("chain_")}
            return Samples(arrays["images"], arrays["labels"], pd.DataFrame(chain))
    except FileNotFoundError:
        raise RobustlensError(f"{path}: no samples here; generate them first") from None
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise RobustlensError(f"{path}: not a file of samples ({error}); delete it and generate them anew") from None
