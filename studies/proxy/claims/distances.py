"""How close generated images are to real ones, and whether that says what they do for robust training."""

from dataclasses import replace

import numpy as np
import pandas as pd

from robustlens.analysis.claims import CODE, OPEN, UNDERPOWERED, Claim, NotMeasured, Outcome, collector, decide
from robustlens.analysis.classwise import spearman
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
OF_DISCRIMINATORS = (
    "Seeds of the gains and images are drawn with replacement, discriminators are not, and ARC is of one seed of them: "
    "how it would differ for another one is not in the interval. In its place, the claim is decided only if the "
    "correlation of minus ARC with the gains has the same sign for the discriminators of every number of steps, of "
    "which there must be two or more; else it is open."
)
SMALLEST = "nothing: it is the smallest of all, each exact for its images"

claim = collector(CLAIMS)


@claim(
    "arc-ranks-generators",
    "The lower the area under the robust discrimination curve (ARC) of a generator, the more its images help.",
    "section 2.2 and table 6 by its authors' account; the blog post's six generators: 1.00",
    "Spearman's correlation, over all generators, of minus ARC (discriminators of the most steps) and the gain in "
    f"accuracy under PGD-20 over real images alone, twice as many a step, is above 0. {OF_DISCRIMINATORS}",
)
def arc_ranks_generators(data: ProxyData) -> Outcome:
    gains, files, arcs, _ = _of_generators(data)
    found = decide(agreement(gains, _of_most_steps(arcs)[None]), "", "rank correlation", files)
    return _if_budgets_agree(found, gains, arcs)


@claim(
    "arc-ranks-better-than-frechet",
    "ARC ranks generators as their gains do; the Fréchet distance does not.",
    "table 6 by its authors' account; the blog post's six generators: 1.00 and 0.54",
    f"The same correlation minus that of minus the Fréchet distance is above 0. {OF_DISCRIMINATORS}",
)
def arc_ranks_better_than_frechet(data: ProxyData) -> Outcome:
    gains, files, arcs, frechet = _of_generators(data)
    both = np.stack([_of_most_steps(arcs), frechet])
    found = decide(agreement(gains, both), "", "difference of rank correlations", files)
    return _if_budgets_agree(found, gains, arcs)


@claim(
    "transfer-bound-holds",
    "Between real and generated images the robustness of a classifier differs by no more than their conditional "
    "Wasserstein distance.",
    "theorem 1 (our statement of it)",
    "For a linear classifier, whose distances are exact, the conditional Wasserstein distance of real test images and "
    "generated ones minus the difference of the mean distances to a wrong class on the same images is above 0, for "
    "every generator, norm and draw of images. Since this is a theorem, it checks the code, and not the paper.",
    about=CODE,
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


def _if_budgets_agree(found: Outcome, gains: np.ndarray, arcs: pd.DataFrame) -> Outcome:
    """Open unless ARC of every number of steps, two or more, has a correlation with the gains of the same sign."""
    means = gains.mean(axis=(1, 2))
    correlations = {steps: float(spearman(means, -arcs[steps].to_numpy())) for steps in arcs}
    told = ", ".join(f"{correlation:.2f} ({steps} steps)" for steps, correlation in correlations.items())
    detail = f"{found.detail}; correlation of minus ARC with the gains {told}"
    if len(correlations) > 1 and abs(np.sign(list(correlations.values())).sum()) == len(correlations):
        return replace(found, detail=detail)
    why = found.why_open if found.verdict == OPEN else UNDERPOWERED
    return found.opened(why, f"{detail}: not one sign for two numbers of steps or more, so open whatever it says")


def _arc(curve: pd.DataFrame) -> float:
    """Of the discriminators of the most steps, a mean over seeds."""
    return _arc_by_steps(curve).iloc[-1]


def _arc_by_steps(curve: pd.DataFrame) -> pd.Series:
    """ARC for each number of steps, ascending: a mean over seeds."""
    return pd.concat([areas(of_seed) for _, of_seed in curve.groupby("seed")]).groupby("steps")["arc"].mean()


def _of_most_steps(arcs: pd.DataFrame) -> np.ndarray:
    """(G,)."""
    return arcs[arcs.columns.max()].to_numpy()


def _of_generators(data: ProxyData) -> tuple[np.ndarray, list[str], pd.DataFrame, np.ndarray]:
    """Of the generators that have all: gains (G, seeds, images), their files, ARC with one row per generator and one
    column per number of steps, and Fréchet distance (G,)."""
    real = of(data.points, recipe=MATCHED, attack=REFERENCE)
    gains, files, arcs, frechet = [], sources(real), [], []
    for recipe, curve in data.curves.groupby("recipe", sort=False) if len(data.curves) else ():
        mixed = data.points[(data.points["recipe"] == recipe) & (data.points["attack"] == REFERENCE)]
        own = data.closeness[data.closeness["recipe"] == recipe] if len(data.closeness) else data.closeness
        if len(mixed) and len(own):
            gains.append(paired(mixed, real, "points"))
            files += [*sources(mixed), *sources(curve), *sources(own)]
            arcs.append(_arc_by_steps(curve))
            frechet.append(float(measures(own, "frechet").mean()))
    if len(gains) < FEWEST or len({part.shape for part in gains}) > 1:
        raise NotMeasured(f"{FEWEST} generators with the same seeds and images")
    by_steps = pd.DataFrame(arcs).dropna(axis=1)
    if by_steps.empty:
        raise NotMeasured("discriminators of the same number of steps for all generators")
    return np.stack(gains), list(dict.fromkeys(files)), by_steps, np.array(frechet)
