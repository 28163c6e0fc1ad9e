"""What a result of a scale is worth, said wherever a result is shown."""

IN_CAPTIONS = {
    "embedded": "Embedded scale: no evidence about CIFAR-10.",
    "pilot": "Pilot scale: training is shorter than in the paper.",
    "paper": "",
}
WARNINGS = {
    "embedded": "Embedded scale: small images and a small network. What holds here is no evidence about CIFAR-10.",
    "pilot": "Pilot scale: training is shorter than in the paper, so numbers are not comparable with published ones.",
    "paper": "",
}
OTHER = "Scale {}: not the protocol of the paper."


def warning(scale: str) -> str:
    """What a reader of a whole document must know first; empty at paper scale."""
    return WARNINGS.get(scale, OTHER.format(scale))


def caption(text: str, scale: str) -> str:
    """A caption with a short form of the warning behind it, for tables and figures that travel alone."""
    return f"{text} {IN_CAPTIONS.get(scale, OTHER.format(scale))}".strip()
