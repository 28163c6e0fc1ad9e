"""How the classes of the validation images are classified, for methods that decide by it between epochs."""

import torch

from robustlens.learning.learner import Learner, frozen
from robustlens.learning.method import Attack, Epoch
from robustlens.learning.statistics import ClassCounts, ClassStatistics


def validated(learner: Learner, epoch: Epoch, attack: Attack, classes: int) -> dict[str, ClassStatistics]:
    """Statistics of the validation images by kind, "natural" and "adversarial", as `epoch.statistics` has them of the
    training images. They are attacked under the run's threat, in eval mode, with random numbers of `epoch.random`;
    the learner is left in eval mode. classes: of the dataset, K."""
    counts = ClassCounts(1, classes).to(epoch.random.device)
    learner.eval()
    with frozen(learner):
        for x, y in epoch.validation():
            x_adv = attack(learner, x, y, epoch.threat, epoch.random)
            with torch.no_grad():
                counts.add(0, {"natural": learner(x), "adversarial": learner(x_adv)}, y)
    return counts.result(dict(counts.named_buffers()))
