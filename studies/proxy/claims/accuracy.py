"""What generated images do for robust training."""

import pandas as pd

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide, decide_all
from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import paired
from robustlens.analysis.measured import more_accurate, of
from robustlens.analysis.statistics import crossed_interval
from studies.proxy.claims.data import ALONE, ALONE_MATCHED, MATCHED, MIXED, PAIRED, PLAIN, ProxyData
from studies.proxy.curves import Curve, chosen
from studies.proxy.results import REFERENCE, STRONG, with_certificates

CLAIMS: list[Claim] = []
# Of generators. Without the narrow kernel density, a control that makes no new images.
OTHERS = ("port-diagonal", "port-full", "port-mixture", "port-kde-wide")
# Of the real images, with the recipes that have them: of ten classes, and of a hundred.
WEIGHTS = {
    **{0.2: "port-ddpm-0-2", 0.4: MIXED, 0.6: "port-ddpm-0-6", 0.8: "port-ddpm-0-8"},
    **{0.15: "port-ddpm-10000-0-15", 0.5: "port-ddpm-10000-0-5", 0.75: "port-ddpm-10000-0-75"},
    0.9: "port-ddpm-10000-0-9",
}
CERTIFIED_RADIUS = 0.25  # ours, of the four that papers print

claim = collector(CLAIMS)


@claim(
    "proxies-help-at-equal-compute",
    "Images of a diffusion model make robust training more robust than as many real ones a step do.",
    "ours: the paper's baselines are those of other papers, with half as many images a step",
    "Accuracy under PGD-20 with real images and images of the DDPM minus that with real ones alone, twice as many a "
    f"step and as many steps, {PAIRED}, is above 0 points.",
)
def proxies_help_at_equal_compute(data: ProxyData) -> Outcome:
    return more_accurate(data.points, MIXED, MATCHED, REFERENCE)


@claim(
    "proxies-help-under-autoattack",
    "So they do under AutoAttack.",
    "abstract (up to 7.5 and 6.7 points over other papers' models)",
    f"The same difference of accuracies under AutoAttack, {PAIRED}, is above 0 points.",
)
def proxies_help_under_autoattack(data: ProxyData) -> Outcome:
    return more_accurate(data.points, MIXED, MATCHED, STRONG)


@claim(
    "proxies-help-over-a-plain-baseline",
    "Images of a diffusion model, added to each batch, make robust training more robust.",
    "abstract; the blog post's table (CIFAR-10: 60.6 to 53.1 %)",
    f"Accuracy under PGD-20 with real images and images of the DDPM minus that of SAT, {PAIRED}, is above 0 points.",
)
def proxies_help_over_a_plain_baseline(data: ProxyData) -> Outcome:
    return more_accurate(data.points, MIXED, PLAIN, REFERENCE)


@claim(
    "proxies-alone-beat-real-images",
    "Images of a diffusion model alone make training more robust than real images alone.",
    "table 6 by its authors' account, and the blog post (CIFAR-10: 53.1 to 48.7 %)",
    "Accuracy under PGD-20 with images of the DDPM alone minus that with real ones alone, as many a step, "
    f"{PAIRED}, is above 0 points.",
)
def proxies_alone_beat_real_images(data: ProxyData) -> Outcome:
    return more_accurate(data.points, ALONE, PLAIN, REFERENCE)


@claim(
    "diffusion-is-the-best-proxy",
    "Images of a diffusion model help more than those of other generators.",
    "abstract of version 2, figure 3; there the others are GANs, here they are densities",
    "Accuracy under PGD-20 with images of the DDPM minus that with images of each other generator but the narrow "
    f"kernel density, which copies, whichever there are, {PAIRED}: all are above 0 points (together at 95 %).",
)
def diffusion_is_the_best_proxy(data: ProxyData) -> Outcome:
    ours = of(data.points, recipe=MIXED, attack=REFERENCE)
    others = {name: _under_reference(data, name) for name in OTHERS}
    values = {f"minus {name}": paired(ours, rows, "points") for name, rows in others.items() if len(rows)}
    if not values or not all(part.size for part in values.values()):
        raise NotMeasured("another generator, with seeds and images that both have")
    files = [file for rows in (ours, *others.values()) for file in sources(rows)]
    return decide_all(values, MIXED, files, "points")


@claim(
    "both-kinds-are-best",
    "Real and generated images together are better than either alone.",
    "figure 7, and a reply to a reviewer (CIFAR-100): a weight of 0.4 of the real images is best",
    "Accuracy under PGD-20 with the weight between 0 and 1 that has, seed by seed, the most robust best checkpoint on "
    "validation images, minus that with real images alone and minus that with images of the DDPM alone, both with as "
    f"many images a step and as many steps as the mixture, {PAIRED}: both are above 0 points (together at 95 %).",
)
def both_kinds_are_best(data: ProxyData) -> Outcome:
    selected = chosen_weights(data)
    inside = pd.concat([_of_seed(data, recipe, seed) for seed, recipe in selected.items()])
    ends = {name: of(data.points, recipe=name, attack=REFERENCE) for name in (MATCHED, ALONE_MATCHED)}
    values = {f"minus {name}": paired(inside, rows, "points") for name, rows in ends.items()}
    if not all(part.size for part in values.values()):
        raise NotMeasured("seeds and images that all of these have")
    names = ", ".join(f"seed {seed}: {recipe}" for seed, recipe in selected.items())
    files = [file for rows in (inside, *ends.values()) for file in sources(rows)]
    return decide_all(values, f"chosen for {names};", files, "points")


@claim(
    "selection-helps",
    "Of as many generated images those help more that a discriminator takes for real.",
    "section 2.3 and table 11 by its authors' account",
    "Accuracy under PGD-20 with the half of the DDPM's images that an adversarially trained discriminator finds most "
    f"real minus that with any half, {PAIRED}, is above 0 points.",
)
def selection_helps(data: ProxyData) -> Outcome:
    return more_accurate(data.points, "port-ddpm-top", "port-ddpm-any", REFERENCE)


@claim(
    "proxies-help-certified-robustness",
    "Images of a diffusion model raise the certified accuracy.",
    "abstract (up to 7.6 points)",
    f"Share of test images with a certificate of the right class of an L2 radius of {CERTIFIED_RADIUS:g} with images "
    "of the DDPM minus without, twice as many real ones a step, paired by seed and image, in points, is above 0.",
)
def proxies_help_certified_robustness(data: ProxyData) -> Outcome:
    rows = with_certificates(data.certified, CERTIFIED_RADIUS)
    ours, theirs = (of(rows, recipe=recipe) for recipe in ("port-smoothing", "smoothing-twice"))
    values = paired(ours, theirs, "points")
    if not values.size:
        raise NotMeasured("a seed and image that both have")
    return decide(crossed_interval(values), "points", "with minus without", [*sources(ours), *sources(theirs)])


def chosen_weights(data: ProxyData) -> dict[int, str]:
    """By seed, the recipe of WEIGHTS that is most robust on validation images, as the table `weights` chooses."""
    known = set(data.validation["recipe"]) if len(data.validation) else set()
    there = {weight: recipe for weight, recipe in WEIGHTS.items() if recipe in known}
    if len(there) < 2:
        raise NotMeasured("two weights of the real images between 0 and 1")
    curve = Curve("", there, None)
    return {seed: there[weight] for seed, weight in chosen(curve, data.validation).items()}


def _of_seed(data: ProxyData, recipe: str, seed: int) -> pd.DataFrame:
    return of(data.points, recipe=recipe, attack=REFERENCE, seed=seed)


def _under_reference(data: ProxyData, recipe: str) -> pd.DataFrame:
    return data.points[(data.points["recipe"] == recipe) & (data.points["attack"] == REFERENCE)]
