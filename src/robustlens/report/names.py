"""Identifiers as a reader sees them."""

RECIPES = {
    "standard": "Standard",
    "sat": "SAT",
    "trades": "TRADES",
    "mart": "MART",
    "mail-trades": "MAIL-TRADES",
    "weat-nat": "WEAT-nat",
    "weat-adv": "WEAT-adv",
    "weat": "WEAT",
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
    "kl-pgd": "KL-PGD",
    "apgd-ce": "APGD-CE",
    "apgd-dlr": "APGD-DLR",
    "apgd-t": "APGD-T",
    "fab": "FAB",
    "fab-t": "FAB-T",
    "square": "Square",
    "cw": "CW",
}


def recipe(name: str) -> str:
    """The label of a recipe; a recipe that is not listed keeps its identifier."""
    return RECIPES.get(name, name)


def attack(name: str) -> str:
    """The label of an attack; an attack that is not listed keeps its identifier."""
    return ATTACKS.get(name, name)
