"""Many settings of the sampler on one classifier: which of them make good images, and at what price."""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from torch import nn

from robustlens.generation.sampler import Sampler, Samples
from robustlens.generation.samples import generate

SHOWN_CLASSES, SHOWN = 5, 2  # the images of each setting that are kept, for a figure


@dataclass(frozen=True)
class Grid:
    """settings: a row a setting: its parameters, scores and seconds. chains: the energies on the way, a row a setting
    and step. images: float32 (settings, classes, SHOWN, C, H, W), the first of the first classes."""

    settings: pd.DataFrame
    chains: pd.DataFrame
    images: np.ndarray


def samplers(base: Sampler, values: dict[str, list]) -> list[Sampler]:
    """Every combination of the values, in place of the base's. Only `init: pca` reads retained_variance and sigma, so
    that the other starting points come once, whatever the two are; so do those that no step leaves."""
    found = {}
    for chosen in itertools.product(*values.values()):
        sampler = replace(base, **dict(zip(values, chosen, strict=True)))
        if sampler.init != "pca":
            sampler = replace(sampler, retained_variance=base.retained_variance, sigma=base.sigma)
        if sampler.steps == 0:  # the starting points themselves
            sampler = replace(sampler, momentum=base.momentum)
        found[sampler] = None
    return list(found)


def run_grid(
    settings: list[Sampler],
    model: nn.Module,
    train_images: np.ndarray,
    train_labels: np.ndarray,
    per_class: int,
    seed: int,
    batch_size: int,
    score: Callable[[Samples], dict],
    report: Callable[[int, str], None] = lambda *_: None,
) -> Grid:
    """Samples of every setting from the same seed, each scored by `score`.

    Other parameters as of `samples.generate`. report: called with the number of settings done, and their latest.
    """
    rows, chains, shown = [], [], []
    for number, sampler in enumerate(settings):
        started = time.monotonic()
        samples = generate(model, train_images, train_labels, sampler, per_class, seed, batch_size)
        seconds = time.monotonic() - started
        scores = score(samples)
        rows.append({"setting": number, **asdict(sampler), **scores, "seconds": seconds})
        chain = samples.chain.groupby("step", as_index=False)[["joint", "marginal"]].mean()
        chains.append(chain.assign(setting=number))
        shown.append([samples.images[samples.labels == y][:SHOWN] for y in np.unique(samples.labels)[:SHOWN_CLASSES]])
        report(number + 1, f"{sampler.init}, {sampler.steps} steps: Fréchet distance {scores['frechet']:.2f}")
    return Grid(pd.DataFrame(rows), pd.concat(chains, ignore_index=True), np.array(shown))
