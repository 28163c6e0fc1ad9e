"""Attack a classifier and write down what happened to every image."""

import contextlib
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.energy.energies import joint_energy, marginal_energy
from robustlens.errors import RobustlensError
from robustlens.evaluation.guards import buffers_digest, check_ball, check_images, check_logits, check_model
from robustlens.seeds import generator


def balanced_subset(labels: np.ndarray, count: int) -> np.ndarray:
    """Sorted positions of `count` images, of the classes in turn, so that these are as equal as can be.

    Within a class they are drawn at random: datasets are ordered, by who wrote a digit or where a photograph was found.
    The draw is always the same, and the images of a smaller count are among those of a larger one.
    """
    if count >= len(labels):
        return np.arange(len(labels))
    order = torch.randperm(len(labels), generator=generator(0, "balanced subset")).numpy()
    rank_in_class = pd.Series(labels[order]).groupby(labels[order]).cumcount().to_numpy()
    return np.sort(order[np.lexsort((labels[order], rank_in_class))[:count]])


def attack_split(
    model: nn.Module,
    split: Split,
    attack: Callable,
    name: str,
    threat: Threat,
    seed: int,
    batch_size: int,
    samples: int | None = None,
    device: torch.device | str = "cpu",
    remembered: Callable[[str, Callable[[], pd.DataFrame]], pd.DataFrame] = lambda _, compute: compute(),
    shard: tuple[int, int] = (1, 1),
) -> pd.DataFrame:
    """One row per image: index, label, predictions, energies, distance, broken_by (see the README's file formats).

    samples: attack only a class-balanced subset of that size. The random numbers of a batch depend on the seed, the
    attack's name and the batch's first position, not on what was attacked earlier. remembered: gets the name of a batch
    (the attack's, and that position) and a function that computes it; returns the batch. shard: the number of a job,
    from 1, and of how many that share the batches: only its own are attacked.
    Raises RobustlensError for a model in train mode, images outside [0, 1], logits that are not finite or are
    probabilities, adversarial images outside the ball (of so many epsilon as the attack has `radii`; without a limit if
    it is not `bounded`), and an attack that changes the model.
    """
    check_model(model)
    before = buffers_digest(model)
    chosen = balanced_subset(split.labels, samples or len(split.labels))
    batches = []
    number, shards = shard
    for start in range(0, len(chosen), batch_size)[number - 1 :: shards]:
        where = chosen[start : start + batch_size]
        noise = generator(seed, name, start, device=device)
        compute = partial(_attack_batch, model, split, where, attack, name, threat, noise)
        batches.append(remembered(f"{name} {start}", compute))
    if buffers_digest(model) != before:
        raise RobustlensError(f"{name}: the attack changed the model's weights or BatchNorm statistics")
    if not batches:
        return pd.DataFrame({"index": []})  # there are more jobs than batches
    table = pd.concat(batches, ignore_index=True)
    table.insert(0, "index", table.pop("index"))
    return table


def _attack_batch(
    model: nn.Module,
    split: Split,
    where: np.ndarray,
    attack: Callable,
    name: str,
    threat: Threat,
    noise: torch.Generator,
) -> pd.DataFrame:
    x = torch.from_numpy(split.pixels(where)).to(noise.device)
    y = torch.from_numpy(split.labels[where]).to(noise.device)
    check_images(x)
    with torch.no_grad():
        natural = model(x)
    check_logits(natural)
    if hasattr(attack, "cascade"):
        x_adv, broken_by = attack.cascade(model, x, y, threat, noise)
    else:
        x_adv, broken_by = attack(model, x, y, threat, noise), [""] * len(x)
    x_adv = x_adv.detach()
    check_images(x_adv, f"{name}: adversarial images")
    if getattr(attack, "bounded", True):
        check_ball(x_adv, x, threat, name, getattr(attack, "radii", 1.0))
    with torch.no_grad():
        adversarial = model(x_adv)
    check_logits(adversarial)
    columns = {
        "label": y,
        "prediction_natural": natural.argmax(1),
        "prediction_adversarial": adversarial.argmax(1),
        "marginal_natural": marginal_energy(natural),
        "joint_natural": joint_energy(natural, y),
        "marginal_adversarial": marginal_energy(adversarial),
        "joint_adversarial": joint_energy(adversarial, y),
        "distance": threat.distance(x_adv, x),
    }
    columns = {column: t.cpu().numpy() for column, t in columns.items()}
    return pd.DataFrame(columns | {"broken_by": broken_by, "index": split.index[where]})


# In front of "file.py:68: Warning: ...".
FOLDER = re.compile(r"^[^\n]*?/(?=[^/\n]+:\d+: \w+: )")


@contextlib.contextmanager
def collected_warnings(names: Iterable[str]) -> Iterator[list[str]]:
    """A list that the warnings of the named loggers are appended to inside. Python gives a warning (`py.warnings`) once
    per place in the code; inside it is given once, even if it was given earlier. Its place is told without the folder,
    which is another one on every machine."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(
                FOLDER.sub("", record.getMessage()) if record.name == "py.warnings" else record.getMessage()
            )

    collector, loggers = Collector(logging.WARNING), [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        with warnings.catch_warnings():
            yield messages
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
