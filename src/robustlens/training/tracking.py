"""What is measured of a network between epochs: energies, losses and accuracies, natural and under attack."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.energy.energies import joint_energy, kl_divergence, marginal_energy, trades_terms
from robustlens.models.inference import InferenceModel
from robustlens.seeds import generator
from robustlens.training.images import Images

ENERGIES = ("marginal_natural", "joint_natural", "marginal_adversarial", "joint_adversarial")


@dataclass(frozen=True)
class Tracker:
    """Measures a network on one split with PGD on the cross-entropy, always from the same random start."""

    split: str
    images: Images
    attack: PGD
    threat: Threat
    seed: int
    batch_size: int

    def measure(self, model: InferenceModel) -> pd.DataFrame:
        """One row per image: index, label, energies, losses, TRADES terms and correctness."""
        images = self.images
        noise = generator(self.seed, "track", self.split, device=images.device)
        batches = []
        for where in torch.arange(len(images), device=images.device).split(self.batch_size):
            x, y = images.batch(where), images.y[where]
            x_adv = self.attack(model, x, y, self.threat, noise)
            with torch.no_grad():
                batches.append(self._columns(model(x), model(x_adv), y))
        columns = {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in batches[0]}
        return pd.DataFrame({"index": images.index.cpu().numpy(), "label": images.y.cpu().numpy(), **columns})

    @staticmethod
    def _columns(natural: Tensor, adversarial: Tensor, y: Tensor) -> dict[str, Tensor]:
        conditional, marginal = trades_terms(natural, adversarial)
        return {
            "marginal_natural": marginal_energy(natural),
            "joint_natural": joint_energy(natural, y),
            "marginal_adversarial": marginal_energy(adversarial),
            "joint_adversarial": joint_energy(adversarial, y),
            "loss_natural": F.cross_entropy(natural, y, reduction="none"),
            "loss_adversarial": F.cross_entropy(adversarial, y, reduction="none"),
            "kl": kl_divergence(natural, adversarial),
            "conditional_term": conditional,
            "marginal_term": marginal,
            "clean_accuracy": (natural.argmax(1) == y).float(),
            "robust_accuracy": (adversarial.argmax(1) == y).float(),
        }


def summarise(measured: pd.DataFrame, classes: int) -> dict[str, float | list[int]]:
    """Means over the images, the standard deviations of the energies, and how many images of each class there are and
    are classified correctly, natural and attacked, as one row of the history."""
    energies = measured[list(ENERGIES)].astype("float64")
    energies["delta_marginal"] = energies["marginal_natural"] - energies["marginal_adversarial"]
    energies["delta_joint"] = energies["joint_natural"] - energies["joint_adversarial"]
    row = {name: float(energies[name].mean()) for name in energies}
    row |= {f"{name}_std": float(energies[name].std()) for name in energies}
    others = [name for name in measured if name not in (*ENERGIES, "index", "label")]
    row |= {name: float(measured[name].astype("float64").mean()) for name in others}
    labels = measured["label"]
    counted = {
        "class_total": labels,
        "class_clean": labels[measured["clean_accuracy"] > 0],
        "class_robust": labels[measured["robust_accuracy"] > 0],
    }
    return row | {name: np.bincount(of_class, minlength=classes).tolist() for name, of_class in counted.items()}
