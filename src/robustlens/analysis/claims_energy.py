"""The claims of "Shedding More Light on Robust Classifiers under the lens of Energy-based Models" (ECCV 2024).

Each function is the rule that stands above it in words. All say that something is greater than a bound.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, decide
from robustlens.analysis.energy_data import EnergyData, attacked_standard, differences, final_energies, of
from robustlens.analysis.frames import RUN, last_epoch, seeds_by_images
from robustlens.analysis.phases import three_phases
from robustlens.analysis.statistics import correlation_interval, crossed_interval

CLAIMS: list[Claim] = []
MINIMAL = ("apgd-t", "fab", "square", "cw")


def claim(name: str, statement: str, source: str, rule: str) -> Callable:
    """Registers the decorated rule under CLAIMS."""

    def register(evaluate: Callable[[EnergyData], Outcome]) -> Callable[[EnergyData], Outcome]:
        CLAIMS.append(Claim(name, statement, source, rule, evaluate))
        return evaluate

    return register


@claim(
    "pgd-lowers-energy",
    "Untargeted PGD on the cross-entropy lowers the marginal energy of a non-robust model.",
    "section 3, attack histograms",
    "Standard training, last checkpoint, test images: mean ΔE(x) under PGD is above 0.",
)
def pgd_lowers_energy(data: EnergyData) -> Outcome:
    rows = attacked_standard(data, "pgd")
    delta = seeds_by_images(rows, "delta_marginal").to_numpy()
    return decide(crossed_interval(delta), "nat", f"ΔE(x) of {delta.shape[1]} images", rows["source"])


@claim(
    "minimal-attacks-raise-energy",
    "APGD-T, FAB, Square and CW leave adversarial images at a higher marginal energy than natural ones.",
    "section 3, attack histograms",
    "Standard training, last checkpoint, test images: mean E(x*) \u2212 E(x) is above 0 for each of the four attacks, "
    "an image that the attack fails on being left as it is. The least favourable one decides, at 98.75 %.",
)
def minimal_attacks_raise_energy(data: EnergyData) -> Outcome:
    rows = {attack: attacked_standard(data, attack) for attack in MINIMAL}
    rises = {attack: -seeds_by_images(r, "delta_marginal").to_numpy() for attack, r in rows.items()}
    return _least_favourable(rises, "E(x*) \u2212 E(x):", pd.concat(rows.values())["source"])


@claim(
    "pgd-lowers-energy-most",
    "PGD lowers the marginal energy more than APGD-T, FAB, Square and CW do.",
    "section 3, attack histograms",
    "Standard training, last checkpoint, test images: mean ΔE(x) under PGD minus that under the attack, paired by "
    "image, is above 0 for each of the four attacks. The least favourable one decides, at 98.75 %.",
)
def pgd_lowers_energy_most(data: EnergyData) -> Outcome:
    pgd = attacked_standard(data, "pgd")
    rows = {attack: attacked_standard(data, attack) for attack in MINIMAL}
    leads = {attack: differences(pgd, r, "delta_marginal") for attack, r in rows.items()}
    return _least_favourable(leads, "ΔE(x) of PGD minus ΔE(x):", pd.concat([pgd, *rows.values()])["source"])


@claim(
    "sat-drops-late",
    "SAT has a last phase of training in which ΔE(x) falls steeply.",
    "figure 1 (a)",
    "Three straight pieces are fitted to the mean ΔE(x) of the training images of each seed: the third falls (minus "
    "its slope is above 0), and faster than the second (whose slope minus that of the third is above 0). The less "
    "favourable of the two decides, at 97.5 %.",
)
def sat_drops_late(data: EnergyData) -> Outcome:
    rows = of(data.history, recipe="sat", split="train")
    bends, falls = [], []
    for _, run in rows.groupby("seed"):
        phases = three_phases(run["epoch"].to_numpy(), run["delta_marginal"].to_numpy())
        if phases is None:
            raise NotMeasured(f"{len(run)} epochs are too few to fit three phases")
        bends.append(phases.slopes[1] - phases.slopes[2])
        falls.append(-phases.slopes[2])
    parts = {"minus the third slope": falls, "second minus third slope": bends}
    columns = {name: np.array(values)[:, None] for name, values in parts.items()}
    return _least_favourable(columns, "", rows["source"], "nat an epoch")


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
    return _least_favourable(parts, "energy gap:", [*trades["source"], *sat["source"]])


@claim(
    "energy-gap-tracks-overfitting",
    "The energy gap grows with robust overfitting.",
    "figure 1 (a)",
    "Last epoch, adversarially trained recipes, averaged over seeds (which are not independent evidence): |mean ΔE(x)| "
    "of training images correlates with robust accuracy on training minus validation images, above 0.",
)
def energy_gap_tracks_overfitting(data: EnergyData) -> Outcome:
    rows = of(data.history, split="train").merge(of(data.history, split="validation"), on=[*RUN, "epoch"])
    last = last_epoch(rows[rows["recipe"] != "standard"])
    overfit, gap = last["robust_accuracy_x"] - last["robust_accuracy_y"], last["delta_marginal_x"].abs()
    recipes = pd.DataFrame({"overfit": overfit, "gap": gap}).groupby(last["recipe"]).mean()
    if len(recipes) < 4:
        raise NotMeasured(f"{len(recipes)} adversarially trained recipes; a correlation needs at least 4")
    interval = correlation_interval(recipes["overfit"].to_numpy(), recipes["gap"].to_numpy())
    return decide(interval, "", f"correlation over {len(recipes)} recipes", last["source_x"])


@claim(
    "weat-adv-beats-trades",
    "WEAT-adv is more robust than TRADES.",
    "main table",
    "AutoAttack accuracy of WEAT-adv minus that of TRADES, best checkpoints, paired by seed and test image, is above "
    "0 points.",
)
def weat_adv_beats_trades(data: EnergyData) -> Outcome:
    return _robustness(data, "weat-adv", "trades", bound=0.0)


@claim(
    "weat-nat-matches-trades",
    "WEAT-nat is as robust as TRADES.",
    "main table, CIFAR-10 and SVHN",
    "AutoAttack accuracy of WEAT-nat minus that of TRADES, best checkpoints, paired by seed and test image, is above "
    "\u22121 point.",
)
def weat_nat_matches_trades(data: EnergyData) -> Outcome:
    return _robustness(data, "weat-nat", "trades", bound=-1.0)


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


def _robustness(data: EnergyData, first: str, second: str, bound: float) -> Outcome:
    """AutoAttack accuracy of `first` minus that of `second` in points, best checkpoints, against the bound."""
    rows = of(data.robustness, attack="autoattack", checkpoint="best")
    rows = rows.assign(points=100.0 * (rows["prediction_adversarial"] == rows["label"]))
    a, b = of(rows, recipe=first), of(rows, recipe=second)
    difference = differences(a, b, "points")
    detail = f"{difference.shape[0]} seeds, {difference.shape[1]} images"
    return decide(crossed_interval(difference), "points", detail, [*a["source"], *b["source"]], bound)


def _least_favourable(samples: dict[str, np.ndarray], what: str, sources: Sequence[str], unit: str = "nat") -> Outcome:
    """Decides on several parts that must all be above 0, each with an interval at 95 % for all of them together
    (Bonferroni): supported if all lie above 0, contradicted if any lies below. The part that decides is shown.
    """
    intervals = {name: crossed_interval(values, 1 - 0.05 / len(samples)) for name, values in samples.items()}
    below = [name for name in intervals if intervals[name].high < 0]
    deciding = min(below or intervals, key=lambda name: intervals[name].low)
    estimates = ", ".join(f"{name} {interval.estimate:.2f}" for name, interval in intervals.items())
    return decide(intervals[deciding], unit, f"{what} {estimates}; {deciding} decides".strip(), sources)


def _gap(rows: pd.DataFrame) -> pd.DataFrame:
    """|mean ΔE(x)| as sign * ΔE(x), so that the difference of two such gaps is a mean of paired differences."""
    return rows.assign(gap=np.sign(rows["delta_marginal"].mean()) * rows["delta_marginal"])


def _mean(rows: pd.DataFrame) -> str:
    return f"{rows['delta_marginal'].mean():.3f}"
