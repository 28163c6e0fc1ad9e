"""What is measured of a classifier between the epochs of its training, and what is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Deployed:
    """The classifiers that a run leaves: the one that is measured, and further ones by name, which are kept with it."""

    tracked: nn.Module
    further: Mapping[str, nn.Module]


class Following:
    """The history of a run, energies of single images at chosen epochs, and the weights of the epochs that are best by
    `training.selection` and by each of `training.also_select`, and of the `training.checkpoints`.

    spec: as of a training (see `rules/train.smk`). images: those that are measured, by their splits, of which
    `validation` is the last. attacked: whether the method trains on adversarial images. untrained: what the run would
    leave before its first step.
    """

    def __init__(
        self,
        spec: dict,
        images: Mapping[str, Images],
        classes: int,
        threat: Threat,
        attacked: bool,
        untrained: Deployed,
    ):
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
        self.every = tracking["every"]
        epochs = self.settings["epochs"]  # a recipe may have fewer than its dataset's protocol
        self.energy_epochs = {epoch for epoch in tracking["energy_epochs"] if epoch <= epochs} or {epochs}
        self.criteria = {"best": criterion(self.settings, attacked)}
        self.criteria |= {f"best-{by}": by for by in self.settings["also_select"]}
        self.history: list[dict[str, Any]] = []
        self.energies: dict[str, Tensor] = {}
        self.checkpoints: dict[str, Tensor] = {}
        self.best: dict[str, Tensor] = {}
        self.chosen = dict.fromkeys(self.criteria, 0)  # the epochs
        self.reached = {name: [-1.0] for name in self.criteria}
        for name in self.criteria:
            self._choose(name, 0, untrained)

    def follow(self, epoch: int, deployed: Deployed, facts: dict[str, Any]) -> dict[str, Any]:
        """Keep and measure the classifier, after that epoch, where it is due. facts: what else its rows of the history
        say. Gives the last of them, or the facts alone for an epoch that isn't measured."""
        if epoch in self.settings["checkpoints"]:
            self.keep(str(epoch), deployed.tracked)
        if not self._measured(epoch):
            return facts
        model = InferenceModel(deployed.tracked)
        for tracker in self.trackers:
            measured = tracker.measure(model)
            self.history.append({"epoch": epoch, "split": tracker.split, **facts, **summarise(measured, self.classes)})
            if epoch in self.energy_epochs:
                self.energies[f"{epoch}.{tracker.split}"] = torch.from_numpy(measured[list(ENERGIES)].to_numpy())
        for name, by in self.criteria.items():
            reached = value(by, self.history[-1])
            if reached > self.reached[name]:
                self.reached[name] = reached
                self._choose(name, epoch, deployed)
        return self.history[-1]

    def _measured(self, epoch: int) -> bool:
        return epoch % self.every == 0 or epoch in self.energy_epochs or epoch == self.settings["epochs"]

    def _choose(self, name: str, epoch: int, deployed: Deployed) -> None:
        self.chosen[name] = epoch
        if name != "best":
            self.keep(name, deployed.tracked)
            return
        self.best = {key: t.clone() for key, t in deployed.tracked.state_dict().items()}
        for further, network in deployed.further.items():
            self.keep(f"best-{further}", network)

    def keep(self, checkpoint: str, network: nn.Module) -> None:
        """Among the checkpoints, as "<checkpoint>.<tensor>"."""
        self.checkpoints |= {f"{checkpoint}.{key}": t.clone() for key, t in network.state_dict().items()}

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
        return {"chosen": self.chosen, "reached": self.reached, "history": self.history}

    def load(self, tensors: dict[str, dict[str, Tensor]], record: dict[str, Any]) -> None:
        self.best, self.energies, self.checkpoints = (tensors[name] for name in ("best", "energies", "checkpoints"))
        self.chosen, self.reached, self.history = (record[name] for name in ("chosen", "reached", "history"))
