"""How energies move during training, and what that has to do with overfitting (figure 1, proposition 1,
smoothness).
"""

import numpy as np
import pandas as pd

from robustlens.analysis.claims import (
    Claim,
    NotMeasured,
    Outcome,
    collector,
    decide,
    decide_all,
    decide_intervals,
)
from robustlens.analysis.frames import RUN, last_epoch, seeds_by_images, with_deltas
from robustlens.analysis.measured import differences, of
from robustlens.analysis.statistics import (
    Interval,
    correlation_interval,
    crossed_interval,
    rank_correlation_interval,
)
from studies.energy.claims.data import EnergyData, final_energies, one_of_each_family
from studies.energy.phases import Phases, three_phases

CLAIMS: list[Claim] = []

claim = collector(CLAIMS)


@claim(
    "sat-drops-early",
    "SAT has a first phase of training in which ΔE(x) falls, before it levels off.",
    "figure 1 (a)",
    "Three straight pieces, each at least 15 % of the epochs and 3 epochs long, are fitted to the mean ΔE(x) of the "
    "training images of each seed: the first falls (minus "
    "its slope is above 0), and faster than the second (whose slope minus that of the first is above 0). The less "
    "favourable of the two decides, at 97.5 %.",
)
def sat_drops_early(data: EnergyData) -> Outcome:
    rows, phases = _sat_phases(data)
    parts = {
        "minus the first slope": _column(-p.slopes[0] for p in phases),
        "second minus first slope": _column(p.slopes[1] - p.slopes[0] for p in phases),
    }
    return decide_all(parts, "", rows["source"], "nat per epoch")


@claim(
    "sat-drops-late",
    "SAT has a last phase of training in which ΔE(x) falls steeply.",
    "figure 1 (a)",
    "Three straight pieces, each at least 15 % of the epochs and 3 epochs long, are fitted to the mean ΔE(x) of the "
    "training images of each seed: the third falls (minus "
    "its slope is above 0), and faster than the second (whose slope minus that of the third is above 0). The less "
    "favourable of the two decides, at 97.5 %.",
)
def sat_drops_late(data: EnergyData) -> Outcome:
    rows, phases = _sat_phases(data)
    parts = {
        "minus the third slope": _column(-p.slopes[2] for p in phases),
        "second minus third slope": _column(p.slopes[1] - p.slopes[2] for p in phases),
    }
    return decide_all(parts, "", rows["source"], "nat per epoch")


@claim(
    "trades-aligns-energies",
    "SAT drives ΔE(x) far below 0 by the end of training, while TRADES keeps the two energies aligned.",
    "figure 1 (a), proposition 1",
    "Training images, last epoch: \u2212ΔE(x) of SAT is above 0, and so is |mean ΔE(x)| of SAT minus that of TRADES, "
    "paired by seed and image. The less favourable of the two decides, at 97.5 %.",
)
def trades_aligns_energies(data: EnergyData) -> Outcome:
    sat, trades = final_energies(data, "sat"), final_energies(data, "trades")
    own = -seeds_by_images(sat, "delta_marginal").to_numpy()
    parts = {"SAT alone": own, "SAT against TRADES": differences(_gap(sat), _gap(trades), "gap")}
    return decide_all(parts, "energy gap:", [*trades["source"], *sat["source"]])


@claim(
    "trades-shrinks-marginal-term",
    "It is the marginal term of the KL divergence, E(x) \u2212 E(x*), that TRADES keeps small, and SAT does not.",
    "proposition 1",
    "Training images, last epoch, seed by seed: |marginal term| as a part, in %, of |marginal term| + |conditional "
    "term|, both means over the images, of SAT minus that of TRADES, is above 0.",
)
def trades_shrinks_marginal_term(data: EnergyData) -> Outcome:
    if not {"marginal_term", "conditional_term"} <= set(data.history):
        raise NotMeasured("the two terms of the KL divergence")
    sat, trades = _marginal_part(data, "sat"), _marginal_part(data, "trades")
    difference = (sat["part"] - trades["part"]).dropna().to_numpy()
    if not difference.size:
        raise NotMeasured("no seed of both SAT and TRADES")
    detail = f"marginal part of SAT {sat['part'].mean():.1f} %, of TRADES {trades['part'].mean():.1f} %"
    sources = [*sat["source"], *trades["source"]]
    return decide(crossed_interval(difference[:, None]), "points", detail, sources)


@claim(
    "weat-adv-aligns-energies",
    "WEAT-adv ends with a smaller energy gap than TRADES.",
    "figure of ΔE(x) against epochs",
    "Training images, last epoch: |mean ΔE(x)| of TRADES minus that of WEAT-adv, paired by seed and image, is above 0. "
    "The signs of the two means are taken from the same images, which favours the recipe whose mean is nearer to 0.",
)
def weat_adv_aligns_energies(data: EnergyData) -> Outcome:
    trades, weat = final_energies(data, "trades"), final_energies(data, "weat-adv")
    difference = differences(_gap(trades), _gap(weat), "gap")
    detail = f"ΔE(x) of {difference.shape[1]} images: TRADES {_mean(trades)}, WEAT-adv {_mean(weat)}"
    return decide(crossed_interval(difference), "nat", detail, [*trades["source"], *weat["source"]])


@claim(
    "energy-gap-tracks-overfitting",
    "Recipes that overfit more end with a larger energy gap.",
    "our reading of figure 1 (a), over recipes",
    "Last epoch, adversarially trained recipes, averaged over seeds, those that vary another recipe not counted: the "
    "correlation of |mean ΔE(x)| of training images with robust accuracy on training minus validation images is above "
    "0, by Pearson's r and by Spearman's rank correlation. The less favourable of the two decides, at 97.5 %.",
)
def energy_gap_tracks_overfitting(data: EnergyData) -> Outcome:
    rows = of(data.history, split="train").merge(of(data.history, split="validation"), on=[*RUN, "epoch"])
    last = last_epoch(one_of_each_family(data, rows[rows["recipe"] != "standard"]))
    overfit, gap = last["robust_accuracy_x"] - last["robust_accuracy_y"], last["delta_marginal_x"].abs()
    recipes = pd.DataFrame({"overfit": overfit, "gap": gap}).groupby(last["recipe"]).mean()
    parts = _correlations(recipes["overfit"], recipes["gap"])
    return decide_intervals(parts, f"{len(recipes)} recipes:", last["source_x"], "")


@claim(
    "robust-models-are-smoother",
    "The more robust a classifier, the less an attack moves its marginal energy.",
    "figure of RobustBench models",
    "Adversarially trained recipes, averaged over seeds, those that vary another recipe not counted, and third-party "
    "models, test images under PGD-20, best or published checkpoint: the correlation of robust accuracy with minus the "
    "mean of |ΔE(x)| is above 0, by Pearson's r and by Spearman's rank correlation. The less favourable of the two "
    "decides, at 97.5 %.",
)
def robust_models_are_smoother(data: EnergyData) -> Outcome:
    rows = of(data.robustness, attack="pgd20")
    rows = one_of_each_family(
        data, rows[rows["checkpoint"].isin(("best", "published")) & (rows["recipe"] != "standard")]
    )
    rows = with_deltas(rows)
    right, moved = rows["prediction_adversarial"] == rows["label"], rows["delta_marginal"].abs()
    runs = pd.DataFrame({"right": right, "moved": moved}).groupby([rows["recipe"], rows["seed"]]).mean()
    recipes = runs.groupby("recipe").mean()
    parts = _correlations(recipes["right"], -recipes["moved"])
    return decide_intervals(parts, f"{len(recipes)} classifiers:", rows["source"], "")


def _sat_phases(data: EnergyData) -> tuple[pd.DataFrame, list[Phases]]:
    """The history of SAT on training images, and the phases of each seed."""
    rows, found = of(data.history, recipe="sat", split="train"), []
    for _, run in rows.groupby("seed"):
        phases = three_phases(run["epoch"].to_numpy(), run["delta_marginal"].to_numpy())
        if phases is None:
            raise NotMeasured(f"{len(run)} epochs are too few to fit three phases")
        found.append(phases)
    return rows, found


def _marginal_part(data: EnergyData, recipe: str) -> pd.DataFrame:
    """Indexed by seed: part, in %, that the marginal term has of both, and source."""
    last = last_epoch(of(data.history, recipe=recipe, split="train")).set_index("seed")
    marginal, conditional = last["marginal_term"].abs(), last["conditional_term"].abs()
    return last.assign(part=100 * marginal / (marginal + conditional))[["part", "source"]]


def _correlations(x: pd.Series, y: pd.Series) -> dict[str, Interval]:
    """By two measures, which hold together at 95 %."""
    if len(x) < 4:
        raise NotMeasured(f"{len(x)} adversarially trained recipes; a correlation needs at least 4")
    measures = {"Pearson's r": correlation_interval, "Spearman's rank correlation": rank_correlation_interval}
    return {name: measure(x.to_numpy(), y.to_numpy(), 0.975) for name, measure in measures.items()}


def _column(values) -> np.ndarray:
    """Numbers of the seeds (S, 1)."""
    return np.array(list(values))[:, None]


def _gap(rows: pd.DataFrame) -> pd.DataFrame:
    """|mean ΔE(x)| as sign * ΔE(x), so that the difference of two such gaps is a mean of paired differences."""
    return rows.assign(gap=np.sign(rows["delta_marginal"].mean()) * rows["delta_marginal"])


def _mean(rows: pd.DataFrame) -> str:
    return f"{rows['delta_marginal'].mean():.3f}".replace("-", "\u2212")
