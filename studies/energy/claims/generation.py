"""Which classifiers and which settings generate the better images (generation section)."""

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from robustlens.analysis.claims import ONE_SEED_PAIRS, Claim, NotMeasured, Outcome, collector, decide, decide_all
from robustlens.analysis.measured import of
from robustlens.analysis.statistics import crossed_interval
from studies.energy.claims.data import EnergyData

CLAIMS: list[Claim] = []
DESCENT = ["recipe", "seed", "momentum", "steps", "step_size", "noise"]
START = ["init", "retained_variance", "sigma"]
OTHER_STARTS = ("noise", "gaussian")
PAIRS = "pairs of settings, which are not independent of each other"

claim = collector(CLAIMS)


@claim(
    "sat-generates-better",
    "A classifier trained on the cross-entropy of adversarial images (SAT) generates better images than one trained "
    "with the KL term (TRADES).",
    "generation section",
    "Fréchet distance of TRADES minus that of SAT, paired by seed, is above 0.",
)
def sat_generates_better(data: EnergyData) -> Outcome:
    sat, trades = of(data.scores, recipe="sat"), of(data.scores, recipe="trades")
    difference = (trades.set_index("seed")["frechet"] - sat.set_index("seed")["frechet"]).dropna().to_numpy()
    if not difference.size:
        raise NotMeasured("no seed with samples of both SAT and TRADES")
    detail = f"{sat['names'].iloc[0]['frechet']}, {difference.size} seeds"
    return decide(crossed_interval(difference[:, None]), "", detail, [*trades["source"], *sat["source"]])


@claim(
    "pca-starts-generate-better",
    "Descents that start from the principal components of a class end in better images than those that start from "
    "noise or from a Gaussian of the class.",
    "figure of generated images (our reading)",
    "Fréchet distance from the other start minus that from PCA, at the same classifier, momentum, steps, step size and "
    "noise, is above 0 for noise and for the Gaussian; settings without steps don't count. PCA counts with the mean "
    "over its variances and sigmas, so that no choice among them favours it. The less favourable of the two decides, "
    "at 97.5 %.",
)
def pca_starts_generate_better(data: EnergyData) -> Outcome:
    grid = data.grid[data.grid["steps"] > 0] if "steps" in data.grid else data.grid
    distances = {init: of(grid, init=init).groupby(DESCENT)["frechet"].mean() for init in ("pca", *OTHER_STARTS)}
    leads = {init: (distances[init] - distances["pca"]).dropna() for init in OTHER_STARTS}
    if not all(lead.size for lead in leads.values()):
        raise NotMeasured("no settings that differ in nothing but the start")
    what = f"{grid['frechet_name'].iloc[0]}, {len(leads['noise'])} pairs of settings:"
    parts = {init: lead.to_numpy()[:, None] for init, lead in leads.items()}
    return decide_all(parts, what, grid["source"], unit="", over=_pairs(leads.values()))


@claim(
    "momentum-generates-better",
    "Momentum ends in better images after the same number of steps.",
    "Eq. 7 (our reading)",
    "Fréchet distance without momentum minus that with momentum, all other settings and the classifier being the same, "
    "is above 0.",
)
def momentum_generates_better(data: EnergyData) -> Outcome:
    others = [name for name in (*DESCENT, *START) if name != "momentum"]
    without = of(data.grid, momentum=0.0).set_index(others)["frechet"]
    with_it = data.grid[data.grid["momentum"] > 0].groupby(others)["frechet"].mean()
    difference = (without - with_it).dropna()
    if not difference.size:
        raise NotMeasured("no settings with and without momentum that are the same otherwise")
    detail = f"{data.grid['frechet_name'].iloc[0]}, {difference.size} pairs of settings"
    interval = replace(crossed_interval(difference.to_numpy()[:, None]), factors=_pairs([difference]))
    return decide(interval, "", detail, data.grid["source"])


def _pairs(leads: Iterable[pd.Series]) -> str:
    """What an interval over these pairs generalises over, with recipe and seed in their index: over one seed if any
    classifier has no second one.
    """
    seeds = [lead.index.to_frame(index=False).groupby("recipe")["seed"].nunique().min() for lead in leads]
    return PAIRS if min(seeds) > 1 else ONE_SEED_PAIRS
