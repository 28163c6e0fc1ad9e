"""The robust discrimination curve: how often real and generated images can be told apart, against the radius of the
balls that they may be moved in."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor, nn

from robustlens.discrimination.accuracy import balanced_accuracy
from robustlens.discrimination.area import CHANCE
from robustlens.discrimination.discriminator import Discriminator, Training, train
from robustlens.discrimination.sides import Sides
from robustlens.models.inference import InferenceModel
from robustlens.training.state import RunState


class Curve(NamedTuple):
    """table: one row per radius, see `curve_table`. validation: one row per discriminator and radius that it is
    attacked at: norm, steps, trained_epsilon, epsilon, accuracy on validation images. weights: of all discriminators,
    as `models.weights.load_model` reads them from a file, with `checkpoint_name` as the checkpoint."""

    table: pd.DataFrame
    validation: pd.DataFrame
    weights: dict[str, Tensor]


def measure_curve(
    settings: Discriminator,
    steps: int,
    parts: dict[str, Sides],
    build: Callable[[], nn.Module],
    seed: int,
    state: RunState,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[int, int, dict], None] = lambda *_: None,
) -> Curve:
    """The curve by discriminators that are trained for `steps` steps, one number of `settings.steps`, at each radius.

    d(epsilon) is the best balanced accuracy of any discriminator on images that are moved by at most epsilon. What is
    measured is an estimate and no bound: training finds less than the best discriminator, and PGD less than the worst
    movement. Any discriminator may be used at any radius; which one is chosen on validation images, and its accuracy is
    measured on test images.

    parts: see `sides.parts`. build: see `Training`. state, stop, report: see `discriminator.train`.
    """
    training = Training(settings, settings.epsilons, steps, parts, build, seed)
    weights = train(training, state, stop, report)
    validation = np.array(training.measured)
    test = np.full_like(validation, np.nan)
    for number, trained in enumerate(weights):
        radii = np.flatnonzero((chosen(validation) == number) | (np.arange(len(weights)) == number))
        training.network.load_state_dict(trained)
        model = InferenceModel(training.network)
        for radius in radii:
            epsilon = settings.epsilons[radius]
            test[number, radius] = balanced_accuracy(
                model, parts["test"], settings.norm, epsilon, settings.test_steps, seed
            )
    names = {
        f"{checkpoint_name(steps, number)}.{name}": tensor
        for number, trained in enumerate(weights)
        for name, tensor in trained.items()
    }
    return Curve(curve_table(settings, steps, validation, test), _validation_table(settings, steps, validation), names)


def checkpoint_name(steps: int, number: int) -> str:
    """The name of the discriminator of the radius of that number, from 0, among the weights of a curve."""
    return f"{steps}-{number}"


def chosen(validation: np.ndarray) -> np.ndarray:
    """For each radius the discriminator that is best at it on validation images, (E,); of equal ones, that of the
    smallest radius. validation: balanced accuracies (E, E), discriminators x radii."""
    return validation.argmax(axis=0)


def curve_table(settings: Discriminator, steps: int, validation: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """One row per radius: norm, steps, epsilon; accuracy, of the discriminator that was chosen for it, whose radius is
    chosen_epsilon; own_accuracy, of the one that was trained at it. All accuracies are balanced, from 0 to 1, on test
    images.

    `accuracy` is at least 1/2, which a constant discriminator has. It is raised to that after the choice; own_accuracy
    is not, and may be far lower. validation, test: balanced accuracies (E, E), discriminators x radii.
    """
    radii = np.arange(len(settings.epsilons))
    by = chosen(validation)
    return pd.DataFrame(
        {
            "norm": settings.norm,
            "steps": steps,
            "epsilon": np.array(settings.epsilons, np.float64),
            "accuracy": np.maximum(test[by, radii], CHANCE),
            "own_accuracy": test[radii, radii],
            "chosen_epsilon": np.array(settings.epsilons, np.float64)[by],
        }
    )


def _validation_table(settings: Discriminator, steps: int, validation: np.ndarray) -> pd.DataFrame:
    epsilons = np.array(settings.epsilons, np.float64)
    return pd.DataFrame(
        {
            "norm": settings.norm,
            "steps": steps,
            "trained_epsilon": epsilons.repeat(len(epsilons)),
            "epsilon": np.tile(epsilons, len(epsilons)),
            "accuracy": validation.ravel(),
        }
    )
