"""What is measured of a classifier after each epoch of its training, and what is kept of it."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import PreparedDataset
from robustlens.models.inference import InferenceModel
from robustlens.training.images import Images
from robustlens.training.selection import criterion, value
from robustlens.training.tracking import ENERGIES, Tracker, summarise


class Following:
    """The history of a run, energies of single images at chosen epochs, the weights of the best epoch and of the
    `training.checkpoints`.

    spec: as of a training (see `rules/train.smk`). attacked: whether the method trains on adversarial images.
    untrained: the network before the first step.
    """

    def __init__(
        self,
        spec: dict,
        data: PreparedDataset,
        threat: Threat,
        device: torch.device,
        attacked: bool,
        untrained: nn.Module,
    ):
        tracking, self.settings, self.classes = spec["tracking"], spec["training"], data.classes
        self.trackers = [
            Tracker(
                split,
                Images(data.splits[split], device, tracking["train_samples"] if split == "train" else None),
                attack=PGD(steps=tracking["attack_steps"]),
                threat=threat,
                seed=spec["seed"],
                batch_size=tracking["batch_size"],
            )
            for split in ("train", "validation")
        ]
        epochs = self.settings["epochs"]  # a recipe may have fewer than its dataset's protocol
        self.energy_epochs = {epoch for epoch in tracking["energy_epochs"] if epoch <= epochs} or {epochs}
        self.selected_by = criterion(self.settings, attacked)
        self.history: list[dict[str, Any]] = []
        self.energies: dict[str, Tensor] = {}
        self.checkpoints: dict[str, Tensor] = {}
        self.best, self.best_epoch, self.best_value = _weights(untrained), 0, [-1.0]

    def follow(self, epoch: int, network: nn.Module, facts: dict[str, Any]) -> None:
        """Measure the network, after that epoch. facts: what else its rows of the history say."""
        model = InferenceModel(network)
        for tracker in self.trackers:
            measured = tracker.measure(model)
            self.history.append({"epoch": epoch, "split": tracker.split, **facts, **summarise(measured, self.classes)})
            if epoch in self.energy_epochs:
                self.energies[f"{epoch}.{tracker.split}"] = torch.from_numpy(measured[list(ENERGIES)].to_numpy())
        reached = value(self.selected_by, self.history[-1])
        if reached > self.best_value:
            self.best, self.best_epoch, self.best_value = _weights(network), epoch, reached
        if epoch in self.settings["checkpoints"]:
            self.checkpoints |= {f"{epoch}.{name}": t for name, t in _weights(network).items()}

    def energy_table(self) -> pd.DataFrame:
        """The energies of each image at the chosen epochs, in the order of epochs, splits and images."""
        tables = []
        for epoch in sorted(self.energy_epochs):
            for tracker in self.trackers:
                table = pd.DataFrame(self.energies[f"{epoch}.{tracker.split}"].numpy(), columns=list(ENERGIES))
                table.insert(0, "label", tracker.images.y.cpu().numpy())
                table.insert(0, "index", tracker.images.index.cpu().numpy())
                table.insert(0, "split", tracker.split)
                table.insert(0, "epoch", epoch)
                tables.append(table)
        return pd.concat(tables, ignore_index=True)

    # State ----------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        return {"best": self.best, "energies": self.energies, "checkpoints": self.checkpoints}

    def record(self) -> dict[str, Any]:
        return {"best_epoch": self.best_epoch, "best_value": self.best_value, "history": self.history}

    def load(self, tensors: dict[str, dict[str, Tensor]], record: dict[str, Any]) -> None:
        self.best, self.energies, self.checkpoints = (tensors[name] for name in ("best", "energies", "checkpoints"))
        self.best_epoch, self.best_value, self.history = (
            record[name] for name in ("best_epoch", "best_value", "history")
        )


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in network.state_dict().items()}
