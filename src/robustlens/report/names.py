"""Identifiers as a reader sees them."""

from collections.abc import Iterable

RECIPES = {
    "standard": "Standard",
    "sat": "SAT",
    "trades": "TRADES",
    "mart": "MART",
    "mail-trades": "MAIL-TRADES",
    "weat-nat": "WEAT-nat",
    "weat-adv": "WEAT-adv",
    "weat": "WEAT",
    "gairat": "GAIRAT",
    "mail-at": "MAIL-AT",
    "sat-awp": "SAT + AWP",
    "trades-awp": "TRADES + AWP",
    "weat-adv-awp": "WEAT-adv + AWP",
    "weat-adv-normalised": "WEAT-adv, weights of mean 1",
    "weat-adv-attacked": "WEAT-adv, weights of E(x*)",
    "weat-adv-ce": "WEAT-adv, only the CE weighted",
    "weat-adv-kl": "WEAT-adv, only the KL weighted",
    "weat-adv-beta7": "WEAT-adv, β = 7",
    "weat-adv-steady": "WEAT-adv, steady momentum",
    "sat-early": "SAT, a few epochs",
    "sat-no-high": "without high-energy images",
    "sat-no-middle": "without middle-energy images",
    "sat-no-low": "without low-energy images",
    "sat-no-high-correct": "without correct high-energy images",
    "sat-no-misclassified": "without misclassified images",
    "sat-no-random": "without random images",
    "sat-no-high-paper": "without E(x) > \u22123.87",
    "sat-no-low-paper": "without E(x) \u2264 \u221211.47",
    "robust-classifier": "robust classifier",
    "jem": "JEM",
    "jem++": "JEM++",
    "sada-jem": "SADA-JEM",
    "jeat": "JEAT",
}
ATTACKS = {
    "clean": "clean",
    "fgsm": "FGSM",
    "pgd20": "PGD-20",
    "autoattack": "AutoAttack",
    "pgd": "PGD",
    "pgd-targeted": "PGD, targeted",
    "kl-pgd": "KL-PGD",
    "apgd-ce": "APGD-CE",
    "apgd-dlr": "APGD-DLR",
    "apgd-t": "APGD-T",
    "fab": "FAB",
    "fab-t": "FAB-T",
    "square": "Square",
    "cw": "CW",
}


_titles: dict[str, str] = {}


def learn(titles: dict[str, str]) -> None:
    """What the configuration calls datasets and the models of others; for the rest of this process."""
    _titles.update(titles)


def dataset(name: str) -> str:
    """The label of a dataset; without a title it keeps its identifier."""
    return _titles.get(name, name)


def datasets(names: Iterable[str]) -> str:
    """The labels of several datasets, as a list in a sentence."""
    return ", ".join(map(dataset, names))


def recipe(name: str) -> str:
    """The label of a recipe or of a model of others; one that is not listed keeps its identifier."""
    return RECIPES.get(name) or _titles.get(name, name)


def drawn(label: str) -> str:
    """A label as matplotlib is to be given it: a dollar sign begins no formula."""
    return label.replace("$", r"\$")


def attack(name: str) -> str:
    """The label of an attack; an attack that is not listed keeps its identifier."""
    return ATTACKS.get(name, name)
