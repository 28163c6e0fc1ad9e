"""What the tables share: from values of several seeds to a cell, and from datasets to groups of rows."""

from collections.abc import Iterable

import pandas as pd

from robustlens.analysis.statistics import mean_std, resolvable_difference
from robustlens.report.cells import Cell
from robustlens.report.published import Published


def over_seeds(
    values: Iterable[float],
    digits: int,
    unit: str,
    sources: Iterable[str],
    n_images: int | None = None,
    published: Published | None = None,
) -> Cell:
    """Mean and standard deviation of one value per seed; an empty cell (but for `published`) when there is none."""
    values = [float(value) for value in values]
    if not values:
        return Cell(published=published, digits=digits, unit=unit)
    mean, std = mean_std(values)
    return Cell(
        value=mean,
        std=std,
        digits=digits,
        unit=unit,
        n_seeds=len(values),
        n_images=n_images,
        published=published,
        sources=tuple(dict.fromkeys(sources)),
    )


def image_count(rows: pd.DataFrame) -> int | None:
    """The smallest number of images behind any of the rows; None when there are no rows."""
    return int(rows["images"].min()) if len(rows) else None


def accuracy_digits(images: int | None) -> int:
    """Decimals of an accuracy in %: one image must not be finer than the last of them."""
    return 2 if images is not None and images >= 1000 else 1


def resolution_note(what: str, images: int, accuracy: float) -> str:
    """How many images stand behind a column and what difference they can show. accuracy: 0..1, typical."""
    return (
        f"{what}: {images} test images per seed. Two accuracies near {100 * accuracy:.0f} % must differ by "
        f"{resolvable_difference(images, accuracy):.1f} points or more to be told apart at 95 % confidence."
    )


RESOLUTION = (
    "The smallest difference that is told apart is 196 sqrt(2 p (1 \u2212 p) / n) points for n images and accuracies "
    "near p. This takes the answers of the two models as independent and leaves out the variation over seeds; the "
    "claims use paired intervals."
)


def seeds_note(seeds: Iterable[int]) -> str:
    """What the number behind ± is."""
    count = len(set(seeds))
    if count == 1:
        return "One seed: no spread over seeds can be given."
    return f"± is the standard deviation over {count} seeds (n \u2212 1)."
