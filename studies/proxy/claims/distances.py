"""How close generated images are to real ones, and whether that says what they do for robust training."""

import numpy as np
import pandas as pd

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide
from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import paired
from robustlens.analysis.measured import of
from robustlens.analysis.statistics import Interval
from robustlens.closeness.gaussian_world import least_distance
from robustlens.discrimination.area import areas
from studies.proxy.claims.data import MATCHED, ProxyData
from studies.proxy.ranking import agreement
from studies.proxy.results import REFERENCE, measures

CLAIMS: list[Claim] = []
FEWEST = 4  # generators that a rank correlation is taken over
SMALLEST = "nothing: it is the smallest of all, each exact for its images"

claim = collector(CLAIMS)


@claim(
    "arc-ranks-generators",
    "The lower the area under the robust discrimination curve (ARC) of a generator, the more its images help.",
    "section 2.2 and table 6 by its authors' account; the blog post's six generators: 1.00",
    "Spearman's correlation, over all generators, of minus ARC (discriminators of the most steps) and the gain in "
    "accuracy under PGD-20 over real images alone, twice as many a step, is above 0. Seeds and images are drawn with "
    "replacement.",
)
def arc_ranks_generators(data: ProxyData) -> Outcome:
    gains, files, arc, _ = _of_generators(data)
    return decide(agreement(gains, arc[None]), "", "rank correlation", files)


@claim(
    "arc-ranks-better-than-frechet",
    "ARC ranks generators as their gains do; the Fréchet distance does not.",
    "table 6 by its authors' account; the blog post's six generators: 1.00 and 0.54",
    "The same correlation minus that of minus the Fréchet distance is above 0.",
)
def arc_ranks_better_than_frechet(data: ProxyData) -> Outcome:
    gains, files, arc, frechet = _of_generators(data)
    return decide(agreement(gains, np.stack([arc, frechet])), "", "difference of rank correlations", files)


@claim(
    "transfer-bound-holds",
    "Between real and generated images the robustness of a classifier differs by no more than their conditional "
    "Wasserstein distance.",
    "theorem 1 (our statement of it)",
    "For a linear classifier, whose distances are exact, the conditional Wasserstein distance of real test images and "
    "generated ones minus the difference of the mean distances to a wrong class on the same images is above 0, for "
    "every generator, norm and draw of images. Since this is a theorem, it checks the code, and not the paper.",
)
def transfer_bound_holds(data: ProxyData) -> Outcome:
    rows = of(data.closeness, measure="wasserstein").set_index(["recipe", "seed", "norm", "draw"])
    gaps = of(data.closeness, measure="gap").set_index(["recipe", "seed", "norm", "draw"])
    room = float((rows["value"] - gaps["value"]).min())
    return decide(Interval(room, room, room, SMALLEST), "", f"{len(rows)} comparisons", sources(rows))


@claim(
    "four-arc-is-below-the-distance",
    "4 ARC is no more than the conditional Wasserstein distance.",
    "theorem 2 (our statement of it)",
    "The conditional Wasserstein distance (L2, mean over draws) minus 4 ARC (discriminators of the most steps) is "
    "above 0, for every generator. Both sides are estimates: trained discriminators find too small an ARC, and the "
    "distance of some images is above 0 even where both kinds are alike. So hardly anything could contradict this.",
)
def four_arc_is_below_the_distance(data: ProxyData) -> Outcome:
    found = {}
    for recipe, curve in of(data.curves, norm="l2").groupby("recipe"):
        distance = measures(of(data.closeness, recipe=recipe), "wasserstein", "l2").mean()
        found[recipe] = distance - least_distance(_arc(curve))
    room, seeds = float(min(found.values())), data.curves["seed"].nunique()
    over = "images only (discriminators of one seed)" if seeds == 1 else f"{seeds} seeds of discriminators"
    factors = f"{over}; it is the smallest of all estimates"
    return decide(Interval(room, room, room, factors), "", f"{len(found)} generators", sources(data.curves))


def _arc(curve: pd.DataFrame) -> float:
    """Of the discriminators of the most steps, a mean over seeds."""
    most = curve[curve["steps"] == curve["steps"].max()]
    return float(np.mean([areas(of_seed)["arc"].iloc[0] for _, of_seed in most.groupby("seed")]))


def _of_generators(data: ProxyData) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Gains (G, seeds, images), their files, ARC (G,) and Fréchet distance (G,) of the generators that have all."""
    real = of(data.points, recipe=MATCHED, attack=REFERENCE)
    gains, files, arc, frechet = [], sources(real), [], []
    for recipe, curve in data.curves.groupby("recipe", sort=False) if len(data.curves) else ():
        mixed = data.points[(data.points["recipe"] == recipe) & (data.points["attack"] == REFERENCE)]
        own = data.closeness[data.closeness["recipe"] == recipe] if len(data.closeness) else data.closeness
        if len(mixed) and len(own):
            gains.append(paired(mixed, real, "points"))
            files += [*sources(mixed), *sources(curve), *sources(own)]
            arc.append(_arc(curve))
            frechet.append(float(measures(own, "frechet").mean()))
    if len(gains) < FEWEST or len({part.shape for part in gains}) > 1:
        raise NotMeasured(f"{FEWEST} generators with the same seeds and images")
    return np.stack(gains), list(dict.fromkeys(files)), np.array(arc), np.array(frechet)
