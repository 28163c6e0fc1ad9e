"""Features of attacked images beside those of the images themselves: how far apart, and what BatchNorm sees of both."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.learning.learner import PENULTIMATE, Learner
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import load_model, load_weights
from robustlens.observers.batchnorm_mixture import inputs, outermost
from robustlens.seeds import generator

STEPS = 20
OF_NATURAL = "best-natural-batchnorm"  # in `checkpoints.safetensors`, of methods with two BatchNorms
IMAGES = ("natural", "adversarial")

# Of the images of one batch: how many, and mean and variance of each channel by the name of each BatchNorm
Seen = tuple[int, dict[str, tuple[Tensor, Tensor]]]


def load_natural(checkpoints: Path, architecture: dict, channels: int, classes: int) -> nn.Module | None:
    """The best classifier with the BatchNorm of natural images, in eval mode; None where a run has no such one.

    checkpoints: `checkpoints.safetensors` of the run.
    """
    if not any(name.startswith(f"{OF_NATURAL}.") for name in load_weights(checkpoints)):
        return None
    return load_model(checkpoints, architecture, channels, classes, OF_NATURAL)


def compared_features(
    model: nn.Module,
    split: Split,
    threat: Threat,
    seed: int,
    batch_size: int,
    device: torch.device | str = "cpu",
    natural_model: nn.Module | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables: of images and of channels.

    Images, one row each: index; cosine, of what the last layer of the model is given for the attacked image z' and for
    the image itself z; distance, ||z' - z||; norm, ||z||.

    Channels, one row for each BatchNorm (layer, depth: its number), channel and kind of images: mean and variance, over
    images and positions, of what the BatchNorm is given; running_mean, running_variance: what it has stored; eps.
    Attacked images pass through the model, natural ones through natural_model, so that each kind is seen through the
    BatchNorms that it is trained with.

    model: in eval mode, on the device. It is attacked by PGD-20 on the cross-entropy of the label, with the random
    start that an evaluation of the whole split with this seed and batch size gives it.
    natural_model: the same weights with the BatchNorm of natural images; None: there is one for both.
    """
    learner, attacked_by, rows = Learner(model), InferenceModel(model), []
    networks = dict(zip(IMAGES, (natural_model or model, model), strict=True))
    seen: dict[str, list[Seen]] = {images: [] for images in IMAGES}
    for start in range(0, len(split.labels), batch_size):
        where = slice(start, start + batch_size)
        x, y = (torch.from_numpy(np.array(part)).to(device) for part in (split.pixels(where), split.labels[where]))
        x_adv = PGD(steps=STEPS)(attacked_by, x, y, threat, generator(seed, "pgd20", start, device=device))
        with torch.no_grad():
            (_, (natural,)), (_, (attacked,)) = (learner.features(images, [PENULTIMATE]) for images in (x, x_adv))
            for images, batch in zip(IMAGES, (x, x_adv), strict=True):
                with inputs(outermost(networks[images])) as found:
                    networks[images](batch)
                seen[images].append((len(batch), found))
        columns = {
            "cosine": F.cosine_similarity(attacked, natural),
            "distance": torch.linalg.vector_norm(attacked - natural, dim=1),
            "norm": torch.linalg.vector_norm(natural, dim=1),
        }
        numbers = {name: values.double().cpu().numpy() for name, values in columns.items()}
        rows.append(pd.DataFrame({"index": split.index[where]} | numbers))
    channels = [of_channels(networks[images], seen[images]).assign(images=images) for images in IMAGES]
    return pd.concat(rows, ignore_index=True), pd.concat(channels, ignore_index=True)


def of_channels(network: nn.Module, seen: Sequence[Seen]) -> pd.DataFrame:
    """One row per BatchNorm and channel, as in `compared_features`, from what was seen of each batch."""
    counts = np.array([count for count, _ in seen])
    shares, tables = counts / counts.sum(), []
    for depth, (layer, norm) in enumerate(outermost(network).items(), start=1):
        means, variances = (
            np.stack([found[layer][part].double().cpu().numpy() for _, found in seen]) for part in (0, 1)
        )
        mean = shares @ means
        columns = {"layer": layer, "depth": depth, "channel": np.arange(len(mean)), "mean": mean}
        columns["variance"] = shares @ (variances + (means - mean) ** 2)
        stored = {"running_mean": norm.running_mean, "running_variance": norm.running_var}
        columns |= {name: values.double().cpu().numpy() for name, values in stored.items()}
        tables.append(pd.DataFrame(columns | {"eps": norm.eps}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=CHANNEL_COLUMNS)


CHANNEL_COLUMNS = ("layer", "depth", "channel", "mean", "variance", "running_mean", "running_variance", "eps")
