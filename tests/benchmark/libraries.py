"""The usual loop with the PGD of a library that is not in the project's environment: in a process of a worker.

In eval mode, with the epsilon and step size of the other contestants.
"""

import importlib

import numpy as np
import torch
from contestants import CLASSES, EPSILON, Reference, Unavailable, step_size
from evaluators import Usual
from torch import Tensor, nn


class OfLibrary(Reference):
    """library: the module that `module` names. Raises Unavailable where it can't be imported."""

    module: str

    def __init__(self, *arguments: object):
        try:
            self.library = importlib.import_module(self.module)
        except ImportError as error:
            raise Unavailable(f"{self.module} can't be imported ({error})") from error
        super().__init__(*arguments)


class Torchattacks(OfLibrary):
    """As in the FastAT benchmark."""

    module = "torchattacks"

    def reset(self, attack_steps: int) -> None:
        super().reset(attack_steps)
        self.attack = self.library.PGD(self.model, eps=EPSILON, alpha=step_size(attack_steps), steps=attack_steps)


class Foolbox(OfLibrary):
    module = "foolbox"

    def reset(self, attack_steps: int) -> None:
        super().reset(attack_steps)
        self.pgd = self.library.attacks.LinfPGD(abs_stepsize=step_size(attack_steps), steps=attack_steps)
        self.wrapped = self.library.PyTorchModel(self.model.eval(), bounds=(0, 1))

    def attack(self, x: Tensor, y: Tensor) -> Tensor:
        self.model.eval()
        _, x_adv, _ = self.pgd(self.wrapped, x, y, epsilons=EPSILON)
        return x_adv


class AdversarialRobustnessToolbox(OfLibrary):
    """It takes and gives numpy arrays, and has a random start of its own: not that of the other contestants."""

    module = "art"

    def reset(self, attack_steps: int) -> None:
        super().reset(attack_steps)
        attacks = importlib.import_module("art.attacks.evasion")
        wrapped = importlib.import_module("art.estimators.classification").PyTorchClassifier(
            self.model,
            nn.CrossEntropyLoss(),
            input_shape=(3, 32, 32),
            nb_classes=CLASSES,
            clip_values=(0, 1),
            device_type="gpu" if self.y[0].is_cuda else "cpu",
        )
        self.pgd = attacks.ProjectedGradientDescentPyTorch(
            wrapped,
            norm="inf",
            eps=EPSILON,
            eps_step=step_size(attack_steps),
            max_iter=attack_steps,
            num_random_init=1,
            batch_size=len(self.y[0]),
            verbose=False,
        )

    def attack(self, x: Tensor, y: Tensor) -> Tensor:
        np.random.seed(torch.initial_seed() % 2**32)
        return torch.from_numpy(self.pgd.generate(x.cpu().numpy(), y.cpu().numpy())).to(x.device)


class TorchattacksEvaluation(Usual, Torchattacks):
    pass


class FoolboxEvaluation(Usual, Foolbox):
    pass


class ArtEvaluation(Usual, AdversarialRobustnessToolbox):
    pass


KINDS = {
    "torchattacks": Torchattacks,
    "foolbox": Foolbox,
    "torchattacks evaluation": TorchattacksEvaluation,
    "foolbox evaluation": FoolboxEvaluation,
    "art evaluation": ArtEvaluation,
}
