"""How robust WEAT is beside its baselines (abstract and main table)."""

from robustlens.analysis.claims import Claim, Outcome, collector, decide, decide_all
from robustlens.analysis.measured import differences
from robustlens.analysis.statistics import crossed_interval
from studies.energy.claims.data import EnergyData, attacked_points

CLAIMS: list[Claim] = []
BASELINES = ("sat", "trades", "mail-trades")  # those whose numbers in the main table are known

claim = collector(CLAIMS)


@claim(
    "weat-adv-matches-trades",
    "WEAT-adv is as robust as TRADES.",
    "abstract, of CIFAR-10 and SVHN",
    "AutoAttack accuracy of WEAT-adv minus that of TRADES, best checkpoints, paired by seed and test image, is above "
    "\u22121 point.",
    datasets=("cifar10", "svhn"),
)
def weat_adv_matches_trades(data: EnergyData) -> Outcome:
    return _lead(data, "weat-adv", "trades", bound=-1.0)


@claim(
    "weat-adv-beats-trades",
    "WEAT-adv is more robust than TRADES.",
    "abstract, of CIFAR-100 and Tiny ImageNet; main table",
    "AutoAttack accuracy of WEAT-adv minus that of TRADES, best checkpoints, paired by seed and test image, is above "
    "0 points.",
    datasets=("cifar100", "tiny-imagenet-200"),
)
def weat_adv_beats_trades(data: EnergyData) -> Outcome:
    return _lead(data, "weat-adv", "trades", bound=0.0)


@claim(
    "weat-adv-beats-baselines",
    "WEAT-adv is the most robust recipe of the main table.",
    "main table",
    "AutoAttack accuracy of WEAT-adv minus that of SAT, of TRADES and of MAIL-TRADES, best checkpoints, paired by seed "
    "and test image, is above 0 points for each of the three. The least favourable one decides, at 98.33 %.",
)
def weat_adv_beats_baselines(data: EnergyData) -> Outcome:
    weat = attacked_points(data, "weat-adv", "autoattack")
    others = {recipe: attacked_points(data, recipe, "autoattack") for recipe in BASELINES}
    leads = {recipe: differences(weat, rows, "points") for recipe, rows in others.items()}
    sources = [source for rows in (weat, *others.values()) for source in rows["source"].unique()]
    return decide_all(leads, "lead over", sources, "points")


@claim(
    "weat-nat-matches-trades",
    "WEAT-nat is as robust as TRADES.",
    "main table, CIFAR-10 and SVHN",
    "AutoAttack accuracy of WEAT-nat minus that of TRADES, best checkpoints, paired by seed and test image, is above "
    "\u22121 point.",
    datasets=("cifar10", "svhn"),
)
def weat_nat_matches_trades(data: EnergyData) -> Outcome:
    return _lead(data, "weat-nat", "trades", bound=-1.0)


@claim(
    "weat-adv-beats-weat-nat",
    "WEAT is more robust when its cross-entropy is that of adversarial images (WEAT-adv) than of natural ones "
    "(WEAT-nat).",
    "main table",
    "AutoAttack accuracy of WEAT-adv minus that of WEAT-nat, best checkpoints, paired by seed and test image, is above "
    "0 points.",
)
def weat_adv_beats_weat_nat(data: EnergyData) -> Outcome:
    return _lead(data, "weat-adv", "weat-nat", bound=0.0)


def _lead(data: EnergyData, first: str, second: str, bound: float) -> Outcome:
    """AutoAttack accuracy of `first` minus that of `second` in points, best checkpoints, against the bound."""
    a, b = attacked_points(data, first, "autoattack"), attacked_points(data, second, "autoattack")
    difference = differences(a, b, "points")
    detail = f"{difference.shape[0]} seeds, {difference.shape[1]} images"
    return decide(crossed_interval(difference), "points", detail, [*a["source"], *b["source"]], bound)
