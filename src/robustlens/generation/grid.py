"""Many settings of the sampler on one classifier: which of them make good images, and at what price."""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from torch import nn

from robustlens.generation.features import FeatureNetwork
from robustlens.generation.quality import score
from robustlens.generation.reference import Reference
from robustlens.generation.sampler import Sampler, Samples
from robustlens.generation.samples import generate

SHOWN_CLASSES, SHOWN = 5, 2  # the images of each setting that are kept, for a figure
KEPT = (  # the scores of each setting that are kept
    *("frechet", "frechet_two_half_spread", "score_mean", "kid_mean", "nearest_training_distance_median"),
    *("n_generated", "features"),
)


@dataclass(frozen=True)
class Grid:
    """settings: one row per setting: its parameters, scores and seconds. chains: the energies on the way, one row per
    setting and step. images: float32 (settings, classes, SHOWN, C, H, W), the first of the first classes."""

    settings: pd.DataFrame
    chains: pd.DataFrame
    images: np.ndarray


def samplers(base: Sampler, values: dict[str, list]) -> list[Sampler]:
    """Every combination of the values, in place of the base's. Only `init: pca` reads retained_variance and sigma:
    the other starting points come once, whatever the two are. Without steps, momentum makes no difference either."""
    found = {}
    for chosen in itertools.product(*values.values()):
        sampler = replace(base, **dict(zip(values, chosen, strict=True)))
        if sampler.init != "pca":
            sampler = replace(sampler, retained_variance=base.retained_variance, sigma=base.sigma)
        if sampler.steps == 0:  # the starting points themselves
            sampler = replace(sampler, momentum=base.momentum)
        found[sampler] = None
    return list(found)


def scorer(
    reference: Reference, network: FeatureNetwork, train_images: np.ndarray, batch_size: int
) -> Callable[[Samples], dict]:
    """A function that gives the scores of samples which a grid keeps (`KEPT`), and the name of their Fréchet distance.

    Parameters as of `quality.score`.
    """

    def scored(samples: Samples) -> dict:
        scores = score(samples.images, samples.labels, reference, network, train_images, batch_size=batch_size)
        return {name: scores[name] for name in KEPT} | {"frechet_name": scores["names"]["frechet"]}

    return scored


def run_grid(
    settings: list[Sampler],
    model: nn.Module,
    train_images: np.ndarray,
    train_labels: np.ndarray,
    per_class: int,
    seed: int,
    batch_size: int,
    scored: Callable[[Samples], dict],
    report: Callable[[int, str], None] = lambda *_: None,
) -> Grid:
    """Samples of every setting from the same seed, each scored by `scored`.

    Other parameters as of `samples.generate`. report: called with the number of settings done, and their latest.
    """
    rows, chains, shown = [], [], []
    for number, sampler in enumerate(settings):
        started = time.monotonic()
        samples = generate(model, train_images, train_labels, sampler, per_class, seed, batch_size)
        seconds = time.monotonic() - started
        scores = scored(samples)
        rows.append({"setting": number, **asdict(sampler), **scores, "seconds": seconds})
        chain = samples.chain.groupby("step", as_index=False)[["joint", "marginal"]].mean()
        chains.append(chain.assign(setting=number))
        shown.append([samples.images[samples.labels == y][:SHOWN] for y in np.unique(samples.labels)[:SHOWN_CLASSES]])
        report(number + 1, f"{sampler.init}, {sampler.steps} steps: Fréchet distance {scores['frechet']:.2f}")
    return Grid(pd.DataFrame(rows), pd.concat(chains, ignore_index=True), np.array(shown))
