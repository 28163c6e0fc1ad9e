"""What is measured of a classifier after each epoch of its training, and what is kept of it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.models.inference import InferenceModel
from robustlens.training.images import Images
from robustlens.training.selection import criterion, value
from robustlens.training.tracking import ENERGIES, Tracker, summarise


class Following:
    """The history of a run, energies of single images at chosen epochs, the weights of the best epoch and of the
    `training.checkpoints`.

    spec: as of a training (see `rules/train.smk`). images: those that are measured, by their splits, of which
    `validation` is the last. attacked: whether the method trains on adversarial images.

    What a run deploys are networks by name: that of the name "" is measured, and the others are kept with it.
    """

    def __init__(self, spec: dict, images: Mapping[str, Images], classes: int, threat: Threat, attacked: bool):
        tracking, self.settings, self.classes = spec["tracking"], spec["training"], classes
        self.trackers = [
            Tracker(
                split,
                of_split,
                attack=PGD(steps=tracking["attack_steps"]),
                threat=threat,
                seed=spec["seed"],
                batch_size=tracking["batch_size"],
            )
            for split, of_split in images.items()
        ]
        epochs = self.settings["epochs"]  # a recipe may have fewer than its dataset's protocol
        self.energy_epochs = {epoch for epoch in tracking["energy_epochs"] if epoch <= epochs} or {epochs}
        self.selected_by = criterion(self.settings, attacked)
        self.history: list[dict[str, Any]] = []
        self.energies: dict[str, Tensor] = {}
        self.checkpoints: dict[str, Tensor] = {}
        self.best: dict[str, Tensor] = {}
        self.best_epoch, self.best_value = 0, [-1.0]

    def follow(self, epoch: int, deployed: Mapping[str, nn.Module], facts: dict[str, Any]) -> None:
        """Measure the network, after that epoch. facts: what else its rows of the history say."""
        model = InferenceModel(deployed[""])
        for tracker in self.trackers:
            measured = tracker.measure(model)
            self.history.append({"epoch": epoch, "split": tracker.split, **facts, **summarise(measured, self.classes)})
            if epoch in self.energy_epochs:
                self.energies[f"{epoch}.{tracker.split}"] = torch.from_numpy(measured[list(ENERGIES)].to_numpy())
        reached = value(self.selected_by, self.history[-1])
        if reached > self.best_value:
            self.best_value = reached
            self.keep_best(epoch, deployed)
        if epoch in self.settings["checkpoints"]:
            self.keep(str(epoch), {name: network.state_dict() for name, network in deployed.items()})

    def keep_best(self, epoch: int, deployed: Mapping[str, nn.Module]) -> None:
        weights = {name: network.state_dict() for name, network in deployed.items()}
        self.best_epoch, self.best = epoch, {name: t.clone() for name, t in weights.pop("").items()}
        self.keep("best", weights)

    def keep(self, checkpoint: str, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Among the checkpoints, as "<checkpoint>.<tensor>"; of a further network as "<checkpoint>-<name>.<tensor>"."""
        for of, tensors in weights.items():
            name = f"{checkpoint}-{of}" if of else checkpoint
            self.checkpoints |= {f"{name}.{key}": t.clone() for key, t in tensors.items()}

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
