"""What attacks do to the energies of a non-robust model (section 3)."""

import pandas as pd

from robustlens.analysis.claims import Claim, NotMeasured, Outcome, collector, decide, decide_all
from robustlens.analysis.evaluations import with_points
from robustlens.analysis.frames import seeds_by_images
from robustlens.analysis.measured import differences
from robustlens.analysis.statistics import crossed_interval
from studies.energy.claims.data import EnergyData, attacked_standard

CLAIMS: list[Claim] = []
MINIMAL = ("apgd-t", "fab", "square", "cw")

claim = collector(CLAIMS)


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
    "kl-and-apgd-lower-energy",
    "The KL attack of TRADES and APGD on the cross-entropy lower the marginal energy, as PGD does.",
    "section 3, attack histograms",
    "Standard training, last checkpoint, test images: mean ΔE(x) is above 0 under KL-PGD and under APGD-CE. The less "
    "favourable of the two decides, at 97.5 %.",
)
def kl_and_apgd_lower_energy(data: EnergyData) -> Outcome:
    rows = {attack: attacked_standard(data, attack) for attack in ("kl-pgd", "apgd-ce")}
    falls = {attack: seeds_by_images(r, "delta_marginal").to_numpy() for attack, r in rows.items()}
    return decide_all(falls, "ΔE(x):", pd.concat(rows.values())["source"])


@claim(
    "targeted-attacks-raise-energy",
    "Targeted attacks raise the marginal energy of a non-robust model.",
    "abstract: the opposite of untargeted attacks",
    "Standard training, last checkpoint, test images: mean E(x*) \u2212 E(x) under targeted PGD is above 0.",
)
def targeted_attacks_raise_energy(data: EnergyData) -> Outcome:
    rows = attacked_standard(data, "pgd-targeted")
    rise = -seeds_by_images(rows, "delta_marginal").to_numpy()
    return decide(crossed_interval(rise), "nat", f"E(x*) \u2212 E(x) of {rise.shape[1]} images", rows["source"])


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
    return decide_all(rises, "E(x*) \u2212 E(x):", pd.concat(rows.values())["source"])


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
    return decide_all(leads, "ΔE(x) of PGD minus ΔE(x):", pd.concat([pgd, *rows.values()])["source"])


@claim(
    "kl-pgd-fools-fewer",
    "The KL attack of TRADES fools a non-robust model less often than PGD does.",
    "section 3, attack histograms",
    "Standard training, last checkpoint, test images: accuracy under KL-PGD minus that under PGD, paired by seed and "
    "image, is above 0 points.",
)
def kl_pgd_fools_fewer(data: EnergyData) -> Outcome:
    kl, pgd = (with_points(attacked_standard(data, attack)) for attack in ("kl-pgd", "pgd"))
    difference = differences(kl, pgd, "points")
    detail = f"{difference.shape[1]} images: KL-PGD {kl['points'].mean():.1f} %, PGD {pgd['points'].mean():.1f} %"
    return decide(crossed_interval(difference), "points", detail, [*kl["source"], *pgd["source"]])


@claim(
    "kl-pgd-is-bimodal",
    "The KL attack of TRADES splits images in two: E(x, y) rises above that of natural images, or sinks below it.",
    "section 3, attack histograms",
    "Standard training, last checkpoint, test images that are classified correctly without attack, seed by seed: under "
    "KL-PGD mean E(x*, y) \u2212 E(x, y) is above 0 for the images that it fools, and mean E(x, y) \u2212 E(x*, y) is "
    "above 0 for the others. The less favourable of the two decides, at 97.5 %. This tests the two sides, not a number "
    "of modes.",
)
def kl_pgd_is_bimodal(data: EnergyData) -> Outcome:
    rows = attacked_standard(data, "kl-pgd")
    rows = rows[rows["prediction_natural"] == rows["label"]]
    if rows.empty:
        raise NotMeasured("no image is classified correctly without attack")
    fooled = rows["prediction_adversarial"] != rows["label"]
    if fooled.all() or not fooled.any():
        raise NotMeasured(f"KL-PGD fools {'all' if fooled.all() else 'none'} of the images, so there are no two kinds")
    shifts = {
        "rise of the fooled": -rows[fooled].groupby("seed")["delta_joint"].mean(),
        "fall of the others": rows[~fooled].groupby("seed")["delta_joint"].mean(),
    }
    parts = {name: by_seed.to_numpy()[:, None] for name, by_seed in shifts.items()}
    return decide_all(parts, f"{100 * fooled.mean():.1f} % of {len(rows)} fooled;", rows["source"])
