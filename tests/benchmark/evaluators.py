"""What is compared: ways to evaluate a trained classifier under PGD-20. They run in this process or in a worker's.

folder: holds images.npy, uint8 (N, 3, 32, 32), labels.npy, and weights.pt of the network.
"""

from pathlib import Path

import numpy as np
import torch
from contestants import EPSILON, SEED, STEP_SIZE, Reference, network
from torch import nn

from robustlens.seeds import derive

ATTACK = "pgd20"


def trained(width: int, folder: Path, device: torch.device) -> nn.Module:
    """The network of the folder, in eval mode."""
    model = network(width).to(device)
    model.load_state_dict(torch.load(folder / "weights.pt", map_location=device, weights_only=True))
    return model.eval()


class Usual:
    """The loop that evaluates in much published code; which attack it runs is its subclass's."""

    def __init__(self, width: int, batch: int, folder: Path, device: torch.device):
        super().__init__(width, batch, folder, device)
        self.weights = trained(width, folder, device).state_dict()

    def reset(self, attack_steps: int) -> None:
        super().reset(attack_steps)
        self.model.eval()

    def step(self) -> None:
        """Leaves as `result` the predictions on the attacked images, int64 (N,)."""
        found, first = [], 0
        for x, y in zip(self.x, self.y, strict=True):
            torch.manual_seed(derive(SEED, ATTACK, first))  # the random start that robustlens draws
            x_adv = self.attack(x, y)
            with torch.no_grad():
                found.append(self.model(x_adv).argmax(1))
            first += len(x)
        self.result = torch.cat(found).cpu().numpy()


class PlainEvaluation(Usual, Reference):
    """Contiguous float32, and `backward()` in the attack."""


class OurEvaluation:
    """`attack_split`, as a job runs it."""

    def __init__(self, width: int, batch: int, folder: Path, device: torch.device):
        from robustlens.attacks.threat import Threat
        from robustlens.data.prepared import Split
        from robustlens.models.inference import InferenceModel

        images, labels = (np.load(folder / f"{name}.npy") for name in ("images", "labels"))
        self.split = Split(images, labels, np.arange(len(labels)), levels=255)
        self.model = InferenceModel(trained(width, folder, device)).to(device)
        self.threat = Threat("linf", EPSILON, STEP_SIZE)
        self.batch, self.device = batch, device

    def reset(self, attack_steps: int) -> None:
        from robustlens.attacks.pgd import PGD

        self.attack = PGD(steps=attack_steps)

    def step(self) -> None:
        from robustlens.evaluation.run import attack_split

        table = attack_split(
            self.model, self.split, self.attack, ATTACK, self.threat, SEED, self.batch, device=self.device
        )
        self.result = table["prediction_adversarial"].to_numpy()


class EarlyStoppedEvaluation(OurEvaluation):
    """Done with an image once it is misclassified."""

    def reset(self, attack_steps: int) -> None:
        from robustlens.attacks.early_stopped_pgd import EarlyStoppedPGD

        self.attack = EarlyStoppedPGD(steps=attack_steps)


class EarlyStoppedReducedEvaluation(OurEvaluation):
    """And searching in bfloat16."""

    def reset(self, attack_steps: int) -> None:
        from robustlens.attacks.early_stopped_pgd_bfloat16 import EarlyStoppedPGDInBfloat16

        self.attack = EarlyStoppedPGDInBfloat16(steps=attack_steps)


class ReducedEvaluation(OurEvaluation):
    """Searching in bfloat16."""

    def reset(self, attack_steps: int) -> None:
        from robustlens.attacks.pgd_bfloat16 import PGDInBfloat16

        self.attack = PGDInBfloat16(steps=attack_steps)
