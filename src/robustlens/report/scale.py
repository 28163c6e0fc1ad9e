"""What a result of a scale is worth, said wherever a result is shown."""

WARNINGS = {
    "embedded": "Embedded scale: small images and a small network. What holds here is no evidence about CIFAR-10.",
    "pilot": "Pilot scale: training is shorter than in the paper, so numbers are not comparable with published ones.",
}


def warning(scale: str) -> str:
    """One or two sentences for captions and documents; empty at paper scale."""
    return WARNINGS.get(scale, "")


def caption(text: str, scale: str) -> str:
    """A caption with the scale's warning behind it."""
    return f"{text} {warning(scale)}".strip()
